/* SPDX-License-Identifier: MPL-2.0 */
#include "app/peering.h"

#include <stdlib.h>
#include <string.h>

#include "app/version.h"
#include "base/crypto.h"
#include "base/loop_uv.h"
#include "signaling/carrier.h"
#include "signaling/links.h"
#include "signaling/zmq/zmq_carrier.h"
#include "transport/sealed.h"

static enum err open_port(const struct config *config, struct log_sink *sink, struct peering *peering,
                          struct err_info *reterr) {
    /* host:port, or [host]:port; the configuration has been checked */
    char host[256];
    const char *address = config->media.address, *colon = strrchr(address, ':');
    bool is_bracketed = *address == '[';
    size_t len = colon ? (size_t)(colon - address) - 2u * is_bracketed : 0;
    if (len == 0 || len >= sizeof host)
        return err_set_at(reterr, ERR_INVALID, "media.address", "media.address, '%s', is no host:port", address);
    memcpy(host, address + is_bracketed, len);
    host[len] = 0;
    const struct media_port_config port = {.log = {sink, "media"},
                                           .address = host,
                                           .port = (uint16_t)strtoul(colon + 1, nullptr, 10),
                                           .realtime = config->audio.realtime};
    return media_port_open(&port, &peering->port, reterr);
}

static enum err open_links(const struct config *config, const struct identity *identity, const struct roster *roster,
                           struct loop_uv *loop, struct log_sink *sink, struct peering *peering,
                           struct err_info *reterr) {
    const struct zmq_carrier_config carrier = {.log = {sink, "links"},
                                               .loop = loop,
                                               .roster = roster,
                                               .key = &identity->key,
                                               .address = config->signaling.address};
    enum err e = zmq_carrier_create(&carrier, &peering->carrier, reterr);
    if (e != ERR_OK)
        return e;
    uint64_t epoch;
    crypto_random(&epoch, sizeof epoch);
    const struct links_config links = {.log = {sink, "links"},
                                       .loop = loop_uv_loop(loop),
                                       .carrier = peering->carrier,
                                       .roster = roster,
                                       .own_uid = identity->peer_uid,
                                       .epoch = epoch ? epoch : 1,
                                       .version = ROCD_VERSION};
    return links_create(&links, &peering->links, reterr);
}

enum err peering_open(const struct config *config, const struct identity *identity, const struct roster *roster,
                      struct loop_uv *loop, struct log_sink *sink, struct peering *ret, struct err_info *reterr) {
    if (roster->n == 0)
        return ERR_OK;
    if (!*config->signaling.address) {
        log_warn(((struct log){sink, "links"}),
                 "site.peers lists peers, but signaling.address is empty: they are neither called nor heard");
        return ERR_OK;
    }
    enum err e = open_port(config, sink, ret, reterr);
    if (e == ERR_OK)
        e = open_links(config, identity, roster, loop, sink, ret, reterr);
    if (e != ERR_OK) {
        peering_close_links(ret);
        peering_close(ret);
    }
    return e;
}

enum err peering_start(struct peering *peering, struct err_info *reterr) {
    return peering->links ? links_start(peering->links, reterr) : ERR_OK;
}

void peering_close_links(struct peering *peering) {
    links_destroy(peering->links);
    peering->links = nullptr;
    if (peering->carrier)
        peering->carrier->ops->close(peering->carrier);
    peering->carrier = nullptr;
}

void peering_close(struct peering *peering) {
    media_port_close(peering->port);
    *peering = (struct peering){};
}
