/* SPDX-License-Identifier: MPL-2.0 */
#include "cli/site.h"

#include <string.h>

#include "base/cleanup.h"
#include "cli/resolve.h"
#include "cli/text.h"

enum cli_exit site_load(struct cli *cli, struct site *ret) {
    yyjson_doc *doc = nullptr;
    enum cli_exit exit = cli_request(cli, "GET", "/state", nullptr, &doc);
    if (exit != CLI_OK)
        return exit;
    yyjson_val *root = yyjson_doc_get_root(doc);
    *ret = (struct site){.doc = doc,
                         .peers = yyjson_obj_get(root, "peers"),
                         .endpoints = yyjson_obj_get(root, "endpoints"),
                         .streams = yyjson_obj_get(root, "streams")};
    ret->self = site_self(ret->peers);
    return CLI_OK;
}

void site_finish(struct site *site) {
    yyjson_doc_free(site->doc);
    *site = (struct site){};
}

enum cli_exit site_with_stream(struct cli *cli, const char *typed,
                               enum cli_exit (*use)(struct cli *cli, yyjson_val *stream)) {
    struct site site = {};
    struct err_info info;
    yyjson_val *stream = nullptr;
    enum cli_exit exit = site_load(cli, &site);
    if (exit != CLI_OK)
        return exit;
    if (resolve_stream(site.streams, typed, &stream, &info) == ERR_OK)
        exit = use(cli, stream);
    else
        exit = cli_fail(cli, CLI_FAILED, "%s", info.message);
    site_finish(&site);
    return exit;
}

yyjson_val *site_self(yyjson_val *peers) {
    size_t i, n;
    yyjson_val *peer;
    yyjson_arr_foreach(peers, i, n, peer) if (n == 1 || yyjson_get_bool(yyjson_obj_get(peer, "self"))) return peer;
    return nullptr;
}

bool site_has_several(const struct site *site) {
    return yyjson_arr_size(site->peers) > 1;
}

const char *site_peer_name(yyjson_val *peers, const char *uid) {
    size_t i, n, n_same = 0;
    yyjson_val *peer;
    const char *name = "";
    yyjson_arr_foreach(peers, i, n, peer) if (!strcmp(json_str(peer, "peer_uid"), uid)) name = json_str(peer, "name");
    yyjson_arr_foreach(peers, i, n, peer) n_same += !strcmp(json_str(peer, "name"), name);
    return n_same == 1 && name[0] ? name : uid;
}

enum err site_find_peer(yyjson_val *peers, const char *typed, yyjson_val **ret, struct err_info *reterr) {
    const struct resolve r = {.list = peers, .what = "peer", .uid_member = "peer_uid", .name_members = {"name"}};
    yyjson_val *self = strcmp(typed, "self") ? nullptr : site_self(peers);
    if (!self)
        return resolve_object(&r, typed, ret, reterr);
    *ret = self;
    return ERR_OK;
}

void site_show_endpoint(const struct site *site, struct buf *out, yyjson_val *endpoint) {
    const char *name = json_str(endpoint, "display_name");
    if (site_has_several(site)) {
        text_append(out, site_peer_name(site->peers, json_str(endpoint, "peer_uid")));
        buf_append_str(out, "/");
    }
    text_append(out, name[0] ? name : json_str(endpoint, "endpoint_uid"));
}

static void show_endpoint(const void *arg, struct buf *out, yyjson_val *endpoint) {
    site_show_endpoint(arg, out, endpoint);
}

static yyjson_val *find_uri(yyjson_val *endpoints, const char *uri) {
    size_t i, n;
    yyjson_val *endpoint;
    yyjson_arr_foreach(endpoints, i, n, endpoint) if (!strcmp(json_str(endpoint, "endpoint_uri"), uri)) return endpoint;
    return nullptr;
}

/* Names may have slashes in them, so each may be the one between the peer and its endpoint. */
static enum err find_at_peer(const struct site *site, const struct resolve *anywhere, const char *typed,
                             yyjson_val **ret, struct err_info *reterr) {
    struct err_info first = {};
    for (const char *slash = strchr(typed, '/'); slash; slash = strchr(slash + 1, '/')) {
        _cleanup_(freep) char *peer_part = strndup(typed, (size_t)(slash - typed));
        yyjson_val *peer = nullptr;
        struct err_info info;
        if (!peer_part)
            return err_set(reterr, ERR_NO_MEMORY, "out of memory");
        if (site_find_peer(site->peers, peer_part, &peer, &info) != ERR_OK) {
            if (first.code == ERR_OK)
                first = info;
            continue;
        }
        struct resolve there = *anywhere;
        there.peer_uid = json_str(peer, "peer_uid");
        there.peer_name = site_peer_name(site->peers, there.peer_uid);
        return resolve_object(&there, slash + 1, ret, reterr);
    }
    return err_set(reterr, first.code, "%s", first.message);
}

enum err site_find_endpoint(const struct site *site, const char *typed, yyjson_val **ret, struct err_info *reterr) {
    const struct resolve anywhere = {.list = site->endpoints,
                                     .what = "endpoint",
                                     .uid_member = "endpoint_uid",
                                     .name_members = {"display_name", "system_name"},
                                     .show = show_endpoint,
                                     .arg = site};
    *ret = find_uri(site->endpoints, typed);
    if (*ret)
        return ERR_OK;
    enum err e = resolve_object(&anywhere, typed, ret, reterr);
    return e == ERR_NOT_FOUND && strchr(typed, '/') ? find_at_peer(site, &anywhere, typed, ret, reterr) : e;
}

void site_show_connection(const struct site *site, struct buf *out, yyjson_val *connection) {
    const char *uri = json_str(connection, "endpoint_uri");
    if (!uri[0]) {
        text_append(out, json_str(connection, "media_uri"));
        return;
    }
    yyjson_val *endpoint = find_uri(site->endpoints, uri);
    const char *slash = strrchr(uri, '/');
    if (endpoint)
        site_show_endpoint(site, out, endpoint);
    else
        text_append(out, slash ? slash + 1 : uri);
}
