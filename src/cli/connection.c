/* SPDX-License-Identifier: MPL-2.0 */
#include "cli/connection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum part { PART_MEDIA, PART_REPAIR, PART_CONTROL };

static const struct {
    const char *scheme; /* with "://" */
    enum part part;
    const char *fec;    /* MEDIA */
    const char *repair; /* scheme of its repair URI */
} SCHEMES[] = {
    {"rtp://", PART_MEDIA, "none", nullptr},     {"rtp+rs8m://", PART_MEDIA, "rs8m", "rs8m"},
    {"rtp+ldpc://", PART_MEDIA, "ldpc", "ldpc"}, {"rs8m://", PART_REPAIR, nullptr, nullptr},
    {"ldpc://", PART_REPAIR, nullptr, nullptr},  {"rtcp://", PART_CONTROL, nullptr, nullptr},
};
constexpr size_t N_SCHEMES = sizeof SCHEMES / sizeof SCHEMES[0];

/* N_SCHEMES: none of them */
static size_t scheme_of(const char *uri) {
    size_t i = 0;
    while (i < N_SCHEMES && strncmp(uri, SCHEMES[i].scheme, strlen(SCHEMES[i].scheme)))
        i++;
    return i;
}

bool connection_is_companion(const char *typed) {
    size_t i = scheme_of(typed);
    return i < N_SCHEMES && SCHEMES[i].part != PART_MEDIA;
}

static enum err add_uri(struct connection *c, const char *uri, size_t len, struct err_info *reterr) {
    char text[CONNECTION_URI_SIZE];
    if (len >= sizeof text)
        return err_set(reterr, ERR_INVALID, "the URI '%.40s…' is longer than %zu bytes", uri, sizeof text - 1);
    memcpy(text, uri, len);
    text[len] = 0;
    size_t i = scheme_of(text);
    if (i == N_SCHEMES)
        return err_set(reterr, ERR_INVALID,
                       "'%s' is no Roc URI: give rtp://, rtp+rs8m:// or rtp+ldpc:// and host:port, then rs8m:// or "
                       "ldpc:// for repair and rtcp:// for control",
                       text);
    char *const slots[] = {c->media, c->repair, c->control};
    char *slot = slots[SCHEMES[i].part];
    if (slot[0])
        return err_set(reterr, ERR_INVALID, "'%s' and '%s' are the same part of a side: give one of them", slot, text);
    memcpy(slot, text, len + 1);
    return ERR_OK;
}

enum err connection_add(struct connection *c, const char *typed, struct err_info *reterr) {
    enum err e = ERR_OK;
    if (c->endpoint)
        return err_set(reterr, ERR_INVALID, "'%s' needs a media URI before it, and '%s' is an endpoint", typed,
                       c->endpoint);
    while (e == ERR_OK) {
        size_t n = strcspn(typed, ",");
        e = add_uri(c, typed, n, reterr);
        if (!typed[n])
            break;
        typed += n + 1;
    }
    return e;
}

enum err connection_parse(struct connection *ret, const char *typed, struct err_info *reterr) {
    struct connection c = {};
    if (!strstr(typed, "://")) {
        c.endpoint = typed;
        *ret = c;
        return ERR_OK;
    }
    enum err e = connection_add(&c, typed, reterr);
    if (e == ERR_OK && !c.media[0])
        e = err_set(reterr, ERR_INVALID, "'%s' has no media URI: begin with rtp://, rtp+rs8m:// or rtp+ldpc://", typed);
    if (e == ERR_OK)
        *ret = c;
    return e;
}

const char *connection_fec(const struct connection *c) {
    size_t i = c->endpoint ? N_SCHEMES : scheme_of(c->media);
    return i < N_SCHEMES ? SCHEMES[i].fec : nullptr;
}

/* The media URI with another scheme and a port `offset` higher; port 0 (any) stays 0. */
static enum err neighbour(const struct connection *c, const char *scheme, long offset,
                          char ret[static CONNECTION_URI_SIZE], struct err_info *reterr) {
    const char *host = strstr(c->media, "://") + 3;
    const char *colon = strrchr(host, ':');
    const char *bracket = strrchr(host, ']');
    char *end = nullptr;
    long port = colon && colon > bracket ? strtol(colon + 1, &end, 10) : -1;
    if (!colon || colon == host || !end || end == colon + 1 || *end || port < 0 || port > 65535)
        return err_set(reterr, ERR_INVALID, "'%s' needs a port: %shost:port", c->media,
                       SCHEMES[scheme_of(c->media)].scheme);
    if (port + offset > 65535)
        return err_set(reterr, ERR_INVALID, "there is no port %ld after '%s' for %s: give its URI after a comma",
                       port + offset, c->media, scheme);
    int n = snprintf(ret, CONNECTION_URI_SIZE, "%s://%.*s:%ld", scheme, (int)(colon - host), host,
                     port ? port + offset : 0);
    if (n >= (int)CONNECTION_URI_SIZE)
        return err_set(reterr, ERR_INVALID, "the URI '%.40s…' is too long", c->media);
    return ERR_OK;
}

enum err connection_derive(struct connection *c, bool no_control, struct err_info *reterr) {
    size_t i = c->endpoint ? N_SCHEMES : scheme_of(c->media);
    if (i == N_SCHEMES || !SCHEMES[i].repair)
        return ERR_OK;
    enum err e = ERR_OK;
    if (!c->repair[0]) {
        e = neighbour(c, SCHEMES[i].repair, 1, c->repair, reterr);
        c->repair_derived = e == ERR_OK;
    }
    if (e == ERR_OK && !c->control[0] && !no_control) {
        e = neighbour(c, "rtcp", 2, c->control, reterr);
        c->control_derived = e == ERR_OK;
    }
    return e;
}
