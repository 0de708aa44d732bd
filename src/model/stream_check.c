/* SPDX-License-Identifier: MPL-2.0 */
#include "model/stream_check.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static_assert(sizeof((struct stream_spec *)0)->display_name == LIMIT_NAME + 1);
static_assert(sizeof((struct external_connection *)0)->media_uri == LIMIT_URI + 1);
static_assert(sizeof((struct external_connection *)0)->allowed_sources /
                  sizeof *((struct external_connection *)0)->allowed_sources ==
              LIMIT_ALLOWED_SOURCES);

static const char *const ROLE_MEMBERS[] = {
    [URI_MEDIA] = "media_uri", [URI_REPAIR] = "repair_uri", [URI_CONTROL] = "control_uri"};

static const char *side_name(bool as_source) {
    return as_source ? "source" : "destination";
}

/* Puts the pointer to what a parser said. */
static enum err at(struct err_info *reterr, enum err err, bool as_source, const char *member) {
    if (err && reterr)
        snprintf(reterr->pointer, sizeof reterr->pointer, "/%s/%s", side_name(as_source), member);
    return err;
}

static enum err check_repair(const struct stream_side *side, bool as_source, struct err_info *reterr) {
    const char *media = uri_scheme_name(side->uri[URI_MEDIA].scheme);
    enum uri_fec fec = uri_scheme_fec(side->uri[URI_MEDIA].scheme);
    if (fec == URI_FEC_NONE && side->has_uri[URI_REPAIR])
        return at(
            reterr,
            err_set(reterr, ERR_INVALID,
                    "%s:// has no repair packets: leave repair_uri out, or name the code in media_uri, as in rtp+%s://",
                    media, uri_scheme_name(side->uri[URI_REPAIR].scheme)),
            as_source, "repair_uri");
    if (fec != URI_FEC_NONE && !side->has_uri[URI_REPAIR])
        return at(
            reterr,
            err_set(reterr, ERR_INVALID,
                    "%s:// needs a repair_uri, as in %s://192.0.2.10:10002; without repair packets media_uri is rtp://",
                    media, uri_fec_name(fec)),
            as_source, "repair_uri");
    if (fec != URI_FEC_NONE && uri_scheme_fec(side->uri[URI_REPAIR].scheme) != fec)
        return at(reterr,
                  err_set(reterr, ERR_INVALID,
                          "media_uri is %s:// and repair_uri is %s://: both must name the same code", media,
                          uri_scheme_name(side->uri[URI_REPAIR].scheme)),
                  as_source, "repair_uri");
    return ERR_OK;
}

static enum err check_own_ports(const struct stream_side *side, bool as_source, struct err_info *reterr) {
    for (int a = 0; a < URI_N_ROLES; a++)
        for (int b = a + 1; b < URI_N_ROLES; b++)
            if (side->has_uri[a] && side->has_uri[b] && uri_roc_clash(&side->uri[a], &side->uri[b]))
                return at(reterr,
                          err_set(reterr, ERR_INVALID, "%s and %s name the same port %u: each needs one of its own",
                                  ROLE_MEMBERS[a], ROLE_MEMBERS[b], (unsigned)side->uri[a].port),
                          as_source, ROLE_MEMBERS[b]);
    return ERR_OK;
}

static enum err check_allowed(const struct external_connection *external, bool as_source, struct err_info *reterr) {
    if (!as_source && external->n_allowed_sources > 0)
        return err_set_at(reterr, ERR_INVALID, "/destination/allowed_sources",
                          "allowed_sources is for external sources only: leave it out of the destination");
    for (uint32_t i = 0; i < external->n_allowed_sources; i++) {
        struct in6_addr address;
        const char *text = external->allowed_sources[i];
        if (inet_pton(AF_INET, text, &address) != 1 && inet_pton(AF_INET6, text, &address) != 1) {
            char pointer[ERR_POINTER_MAX];
            snprintf(pointer, sizeof pointer, "/source/allowed_sources/%u", (unsigned)i);
            return err_set_at(reterr, ERR_INVALID, pointer,
                              "this is no IP address: want something like 192.0.2.20 or 2001:db8::20");
        }
    }
    return ERR_OK;
}

static enum err check_external(const struct external_connection *external, bool as_source, struct stream_side *ret,
                               struct err_info *reterr) {
    const char *const texts[] = {external->media_uri, external->repair_uri, external->control_uri};
    ret->has_uri[URI_MEDIA] = true;
    ret->has_uri[URI_REPAIR] = external->has_repair_uri == PRESENCE_VALUE;
    ret->has_uri[URI_CONTROL] = external->has_control_uri == PRESENCE_VALUE;
    for (int role = 0; role < URI_N_ROLES; role++) {
        if (!ret->has_uri[role])
            continue;
        enum err err = uri_parse_roc(texts[role], (enum uri_role)role, as_source, &ret->uri[role], reterr);
        if (err)
            return at(reterr, err, as_source, ROLE_MEMBERS[role]);
    }
    enum err err = check_repair(ret, as_source, reterr);
    if (!err)
        err = check_own_ports(ret, as_source, reterr);
    return err ? err : check_allowed(external, as_source, reterr);
}

static enum err check_side(const struct connection *connection, bool as_source, struct stream_side *ret,
                           struct err_info *reterr) {
    switch (connection->connection_type) {
    case CONNECTION_TYPE_ENDPOINT:
        ret->is_endpoint = true;
        return at(reterr, uri_parse_endpoint(connection->endpoint.endpoint_uri, &ret->endpoint, reterr), as_source,
                  "endpoint_uri");
    case CONNECTION_TYPE_EXTERNAL:
        return check_external(&connection->external, as_source, ret, reterr);
    }
    return err_set(reterr, ERR_INTERNAL, "unknown type of connection");
}

static enum uri_fec settings_fec(const struct stream_settings *settings) {
    switch (settings->fec) {
    case FEC_CODE_RS8M:
        return URI_FEC_RS8M;
    case FEC_CODE_LDPC:
        return URI_FEC_LDPC;
    case FEC_CODE_NONE:
        return URI_FEC_NONE;
    }
    return URI_FEC_NONE;
}

static enum err check_fec(const struct stream_settings *settings, const struct stream_side *side, bool as_source,
                          struct err_info *reterr) {
    if (side->is_endpoint)
        return ERR_OK;
    enum uri_scheme scheme = side->uri[URI_MEDIA].scheme;
    enum uri_fec wanted = settings_fec(settings), named = uri_scheme_fec(scheme);
    if (wanted == named)
        return ERR_OK;
    return err_set_at(reterr, ERR_INVALID, "/settings/fec",
                      "settings.fec is %s and %s.media_uri is %s://: set fec to %s, or media_uri to %s%s://",
                      uri_fec_name(wanted), side_name(as_source), uri_scheme_name(scheme), uri_fec_name(named),
                      wanted == URI_FEC_NONE ? "rtp" : "rtp+", wanted == URI_FEC_NONE ? "" : uri_fec_name(wanted));
}

static enum err check_settings(const struct stream_settings *settings, bool external, struct err_info *reterr) {
    switch (settings->transport) {
    case TRANSPORT_MODE_AUTO:
    case TRANSPORT_MODE_DIRECT:
        break;
    case TRANSPORT_MODE_P2P:
    case TRANSPORT_MODE_RELAY:
        return err_set_at(reterr, ERR_UNSUPPORTED, "/settings/transport",
                          "transport '%s' is not built yet: use auto or direct",
                          transport_mode_name(settings->transport));
    }
    if (external && settings->encryption == ENCRYPTION_MODE_REQUIRED)
        return err_set_at(reterr, ERR_UNSUPPORTED, "/settings/encryption",
                          "Roc URIs carry plain packets, so encryption cannot be required here: use auto or off");
    if (strncmp(settings->encoding, "l16/", 4) != 0)
        return err_set_at(reterr, ERR_UNSUPPORTED, "/settings/encoding",
                          "the encoding '%s' is not built yet: use l16, as in l16/48000/2", settings->encoding);
    return ERR_OK;
}

enum err stream_check(const struct stream_spec *spec, struct stream_sides *ret, struct err_info *reterr) {
    struct stream_sides sides = {};
    enum err err = check_side(&spec->source, true, &sides.source, reterr);
    if (!err)
        err = check_side(&spec->destination, false, &sides.destination, reterr);
    if (err)
        return err;
    const struct stream_side *source = &sides.source, *destination = &sides.destination;
    if (!source->is_endpoint && !destination->is_endpoint)
        return err_set_at(reterr, ERR_INVALID, "/destination",
                          "both sides are external, and rocd does not relay: one of them must be an endpoint, as in "
                          "{\"connection_type\": \"endpoint\", \"endpoint_uri\": \"/peers/self/endpoints/…\"}");
    if (source->is_endpoint && destination->is_endpoint &&
        strcmp(source->endpoint.endpoint_uid, destination->endpoint.endpoint_uid) == 0)
        return err_set_at(reterr, ERR_INVALID, "/destination/endpoint_uri",
                          "source and destination are the same endpoint: sound would only go round in it");
    bool external = !source->is_endpoint || !destination->is_endpoint;
    err = check_settings(&spec->settings, external, reterr);
    if (!err)
        err = check_fec(&spec->settings, source, true, reterr);
    if (!err)
        err = check_fec(&spec->settings, destination, false, reterr);
    if (err)
        return err;
    *ret = sides;
    return ERR_OK;
}

static void resolve_self(struct connection *connection, const char *self_uid) {
    struct uri_endpoint uri;
    char *text = connection->endpoint.endpoint_uri;
    if (connection->connection_type == CONNECTION_TYPE_ENDPOINT && uri_parse_endpoint(text, &uri, nullptr) == ERR_OK)
        snprintf(text, sizeof connection->endpoint.endpoint_uri, "/peers/%s/endpoints/%s",
                 uri.is_self ? self_uid : uri.peer_uid, uri.endpoint_uid);
}

void stream_resolve_self(struct stream_spec *spec, const char *self_uid) {
    resolve_self(&spec->source, self_uid);
    resolve_self(&spec->destination, self_uid);
}

enum err stream_owner(const struct stream_spec *spec, const char *self_uid, char ret_peer_uid[static UID_SIZE],
                      struct err_info *reterr) {
    bool of_source = spec->destination.connection_type != CONNECTION_TYPE_ENDPOINT;
    const struct connection *connection = of_source ? &spec->source : &spec->destination;
    struct uri_endpoint uri = {.is_self = true};
    if (connection->connection_type == CONNECTION_TYPE_ENDPOINT) {
        enum err err = uri_parse_endpoint(connection->endpoint.endpoint_uri, &uri, reterr);
        if (err)
            return at(reterr, err, of_source, "endpoint_uri");
    }
    snprintf(ret_peer_uid, UID_SIZE, "%s", uri.is_self ? self_uid : uri.peer_uid);
    return ERR_OK;
}

static void locate(struct stream_side *side, const char *self_uid) {
    side->is_remote = side->is_endpoint && !side->endpoint.is_self && strcmp(side->endpoint.peer_uid, self_uid) != 0;
}

void stream_sides_locate(struct stream_sides *sides, const char *self_uid) {
    locate(&sides->source, self_uid);
    locate(&sides->destination, self_uid);
}

static bool is_of(const struct stream_side *side, const char *endpoint_uid) {
    return stream_side_is_here(side) && strcmp(side->endpoint.endpoint_uid, endpoint_uid) == 0;
}

bool stream_sides_name(const struct stream_sides *sides, const char *endpoint_uid) {
    return is_of(&sides->source, endpoint_uid) || is_of(&sides->destination, endpoint_uid);
}

enum err stream_check_direction(bool as_source, const char *endpoint_uid, enum stream_direction direction,
                                struct err_info *reterr) {
    if (direction == STREAM_DIRECTION_DUPLEX || (direction == STREAM_DIRECTION_INPUT) == as_source)
        return ERR_OK;
    return err_set_at(reterr, ERR_INVALID, as_source ? "/source/endpoint_uri" : "/destination/endpoint_uri",
                      as_source ? "endpoint %s takes sound and gives none, so it cannot be a source"
                                : "endpoint %s gives sound and takes none, so it cannot be a destination",
                      endpoint_uid);
}

enum err stream_check_ports(const struct stream_sides *sides, const char *other_uid, const char *other_name,
                            const struct stream_sides *other, struct err_info *reterr) {
    const struct stream_side *mine = &sides->source, *theirs = &other->source;
    if (mine->is_endpoint || theirs->is_endpoint)
        return ERR_OK;
    for (int a = 0; a < URI_N_ROLES; a++)
        for (int b = 0; b < URI_N_ROLES; b++)
            if (mine->has_uri[a] && theirs->has_uri[b] && uri_roc_clash(&mine->uri[a], &theirs->uri[b]))
                return at(reterr,
                          err_set(reterr, ERR_CONFLICT,
                                  "stream %s%s%s%s listens at port %u already: choose another, or 0 to let rocd choose",
                                  other_uid, *other_name ? " (" : "", other_name, *other_name ? ")" : "",
                                  (unsigned)mine->uri[a].port),
                          true, ROLE_MEMBERS[a]);
    return ERR_OK;
}
