/* SPDX-License-Identifier: MPL-2.0 */
#include "api/stream_write.h"

#include <stdio.h>
#include <string.h>

#include "api/api_priv.h"
#include "base/buf.h"
#include "base/clock.h"
#include "model/roster.h"
#include "model/stream_check.h"
#include "orchestrator/orchestrator.h"
#include "signaling/links.h"

bool stream_write_spec(struct api_call *call, struct stream_spec *ret) {
    if (!call_decode(call, ret))
        return false;
    stream_resolve_self(ret, orchestrator_self(call->orchestrator)->uid);
    return true;
}

void stream_write_uid(const struct api_call *call, char ret[static UID_SIZE]) {
    const struct api_request *request = call->request;
    if (!request->idempotency_key) {
        uid_random(ret);
        return;
    }
    /* Lengths are bounded: 64, UID_SIZE and API_IDEMPOTENCY_KEY_MAX. */
    char seed[64 + UID_SIZE + API_IDEMPOTENCY_KEY_MAX + 16];
    int n = snprintf(seed, sizeof seed, "%s\n%s\n%s", orchestrator_self(call->orchestrator)->uid,
                     request->principal.name, request->idempotency_key);
    uid_reproducible(ret, UID_TAG_STREAM, seed, (size_t)n);
}

static void fill(struct grant *grant, const char *uid, int64_t generation, const struct stream_spec *spec) {
    *grant = (struct grant){.generation = generation};
    snprintf(grant->stream, sizeof grant->stream, "%s", uid);
    snprintf(grant->source, sizeof grant->source, "%s", spec->source.endpoint.endpoint_uri);
    snprintf(grant->destination, sizeof grant->destination, "%s",
             spec->destination.connection_type == CONNECTION_TYPE_ENDPOINT ? spec->destination.endpoint.endpoint_uri
                                                                           : "external");
}

static enum err check(const struct api_call *call, const struct grant *wanted, const struct grant *grant,
                      struct err_info *reterr) {
    const char *peer = call->request->principal.peer_uid;
    const struct roster_member *member = call->api->links ? roster_find(links_roster(call->api->links), peer) : nullptr;
    if (!member || strcmp(grant->commander, peer) != 0)
        return err_set(reterr, ERR_FORBIDDEN, "the grant is that of peer %s, and peer %s sends it", grant->commander,
                       peer);
    if (strcmp(grant->stream, wanted->stream) != 0 || strcmp(grant->source, wanted->source) != 0 ||
        strcmp(grant->destination, wanted->destination) != 0)
        return err_set(reterr, ERR_FORBIDDEN, "the grant is for another stream, source or destination than the change");
    /* It holds for later generations, too: somebody else may have been faster. */
    if (grant->generation > wanted->generation)
        return err_set(reterr, ERR_FORBIDDEN, "the grant is for a later generation of the stream than the next");
    return grant_verify(grant, member->public_key, reterr);
}

bool stream_write_grant(struct api_call *call, const char *uid, int64_t generation, const struct stream_spec *spec,
                        struct grant *ret, bool *ret_has) {
    const struct api_request *request = call->request;
    *ret_has = false;
    if (spec->source.connection_type != CONNECTION_TYPE_ENDPOINT)
        return true;
    struct grant wanted, given;
    fill(&wanted, uid, generation, spec);
    if (!request->principal.peer_uid[0]) {
        if (!call->api->key)
            return true;
        snprintf(wanted.commander, sizeof wanted.commander, "%s", orchestrator_self(call->orchestrator)->uid);
        snprintf(wanted.user, sizeof wanted.user, "%s", request->principal.name);
        wanted.issued_ms = clock_wall_ns(call->api->clock) / NS_PER_MS;
        grant_sign(&wanted, call->api->key);
        *ret = wanted;
        *ret_has = true;
        return true;
    }
    if (!request->grant)
        return true;
    struct err_info info = {};
    if (grant_parse(request->grant, strlen(request->grant), &given, &info) != ERR_OK ||
        check(call, &wanted, &given, &info) != ERR_OK) {
        info.code = info.code == ERR_FORBIDDEN ? ERR_FORBIDDEN : ERR_INVALID;
        info.pointer[0] = 0; /* it would lead into the body */
        call_problem(call, &info, nullptr);
        return false;
    }
    *ret = given;
    *ret_has = true;
    return true;
}
