/* SPDX-License-Identifier: MPL-2.0 */
#include "model/uri.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *name;
    enum uri_role role;
    enum uri_fec fec;
} SCHEMES[] = {
    [URI_RTP] = {"rtp", URI_MEDIA, URI_FEC_NONE},           [URI_RTP_RS8M] = {"rtp+rs8m", URI_MEDIA, URI_FEC_RS8M},
    [URI_RTP_LDPC] = {"rtp+ldpc", URI_MEDIA, URI_FEC_LDPC}, [URI_RS8M] = {"rs8m", URI_REPAIR, URI_FEC_RS8M},
    [URI_LDPC] = {"ldpc", URI_REPAIR, URI_FEC_LDPC},        [URI_RTCP] = {"rtcp", URI_CONTROL, URI_FEC_NONE},
};
static_assert(sizeof SCHEMES / sizeof *SCHEMES == URI_N_SCHEMES);

static const struct {
    const char *wanted, *example;
} ROLES[] = {
    [URI_MEDIA] = {"rtp, rtp+rs8m or rtp+ldpc", "rtp+rs8m://192.0.2.10:10001"},
    [URI_REPAIR] = {"rs8m or ldpc", "rs8m://192.0.2.10:10002"},
    [URI_CONTROL] = {"rtcp", "rtcp://192.0.2.10:10003"},
};
static_assert(sizeof ROLES / sizeof *ROLES == URI_N_ROLES);

const char *uri_scheme_name(enum uri_scheme scheme) {
    return SCHEMES[scheme].name;
}

enum uri_fec uri_scheme_fec(enum uri_scheme scheme) {
    return SCHEMES[scheme].fec;
}

const char *uri_fec_name(enum uri_fec fec) {
    static const char *const NAMES[] = {[URI_FEC_NONE] = "none", [URI_FEC_RS8M] = "rs8m", [URI_FEC_LDPC] = "ldpc"};
    return NAMES[fec];
}

static bool is_alnum(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Letters, digits and hyphens in labels of 1–63, as DNS has them (RFC 1123). One dot may end a full name. */
static bool is_host_name(const char *host) {
    size_t label = 0;
    char before = '.';
    for (const char *c = host; *c; before = *c++) {
        if (*c == '.') {
            if (label == 0 || before == '-')
                return false;
            label = 0;
        } else if ((!is_alnum(*c) && *c != '-') || (*c == '-' && label == 0) || ++label > 63) {
            return false;
        }
    }
    return before != '-' && *host != '\0';
}

static bool looks_like_ipv4(const char *host) {
    return host[strspn(host, "0123456789.")] == '\0';
}

static enum err parse_scheme(const char *text, size_t len, enum uri_role role, enum uri_scheme *ret,
                             struct err_info *reterr) {
    for (int s = 0; s < URI_N_SCHEMES; s++) {
        if (strlen(SCHEMES[s].name) != len || memcmp(SCHEMES[s].name, text, len) != 0)
            continue;
        if (SCHEMES[s].role != role)
            break;
        *ret = (enum uri_scheme)s;
        return ERR_OK;
    }
    return err_set(reterr, ERR_INVALID, "the scheme '%.*s' cannot stand here: want %s, as in %s",
                   (int)(len < 32 ? len : 32), text, ROLES[role].wanted, ROLES[role].example);
}

static enum err parse_host(const char *text, size_t len, struct uri_roc *uri, enum uri_role role,
                           struct err_info *reterr) {
    const char *example = ROLES[role].example;
    if (len == 0)
        return err_set(reterr, ERR_INVALID, "the host is missing: want something like %s", example);
    if (len > LIMIT_HOST)
        return err_set(reterr, ERR_INVALID, "the host has %zu bytes, which is more than a host name can have (%zu)",
                       len, LIMIT_HOST);
    memcpy(uri->host, text, len);
    uri->host[len] = '\0';
    struct in_addr v4;
    if (looks_like_ipv4(uri->host) ? inet_pton(AF_INET, uri->host, &v4) != 1 : !is_host_name(uri->host))
        return err_set(
            reterr, ERR_INVALID,
            "the host is neither an address nor a host name: want something like %s; IPv6 stands in brackets, "
            "as in %s://[::1]:10001",
            example, SCHEMES[uri->scheme].name);
    return ERR_OK;
}

static enum err parse_ipv6(const char *text, size_t len, struct uri_roc *uri, struct err_info *reterr) {
    struct in6_addr v6;
    char host[INET6_ADDRSTRLEN] = "";
    if (len < sizeof host)
        memcpy(host, text, len);
    if (inet_pton(AF_INET6, host, &v6) != 1)
        return err_set(reterr, ERR_INVALID,
                       "what stands in brackets is no IPv6 address: want something like %s://[::1]:10001",
                       SCHEMES[uri->scheme].name);
    memcpy(uri->host, host, sizeof host);
    uri->is_ipv6 = true;
    return ERR_OK;
}

static enum err parse_port(const char *text, bool local, enum uri_role role, uint16_t *ret, struct err_info *reterr) {
    size_t digits = strspn(text, "0123456789");
    const char *example = ROLES[role].example;
    if (digits == 0)
        return err_set(reterr, ERR_INVALID, "the port is missing: want something like %s", example);
    if (text[digits] == '/' || text[digits] == '?' || text[digits] == '#')
        return err_set(reterr, ERR_INVALID, "nothing may follow the port, and '%.16s' does: want something like %s",
                       text + digits, example);
    if (text[digits])
        return err_set(reterr, ERR_INVALID, "the port is not a number: want something like %s", example);
    unsigned port = 0;
    for (size_t i = 0; i < digits && port <= 65535; i++)
        port = port * 10 + (unsigned)(text[i] - '0');
    if (port > 65535 || digits > 5 || (text[0] == '0' && digits > 1))
        return err_set(reterr, ERR_INVALID, "the port is not a number from 1 to 65535 without leading zeros");
    if (port == 0 && !local)
        return err_set(
            reterr, ERR_INVALID,
            "port 0 lets rocd choose where to listen; a destination needs the port the other side listens at, "
            "as in %s",
            example);
    *ret = (uint16_t)port;
    return ERR_OK;
}

enum err uri_parse_roc(const char *text, enum uri_role role, bool local, struct uri_roc *ret, struct err_info *reterr) {
    const char *example = ROLES[role].example;
    if (strnlen(text, LIMIT_URI + 1) > LIMIT_URI)
        return err_set(reterr, ERR_INVALID, "a URI has at most %zu bytes", LIMIT_URI);
    const char *colon = strstr(text, "://");
    if (!colon)
        return err_set(reterr, ERR_INVALID, "this is no Roc URI: want something like %s", example);
    struct uri_roc uri = {};
    enum err err = parse_scheme(text, (size_t)(colon - text), role, &uri.scheme, reterr);
    if (err)
        return err;

    const char *authority = colon + 3;
    if (authority[strcspn(authority, "/?#@")] == '@')
        return err_set(reterr, ERR_INVALID, "a Roc URI names no user: want something like %s", example);
    const char *end; /* of the host, brackets included */
    if (*authority == '[') {
        const char *bracket = strchr(authority, ']');
        if (!bracket)
            return err_set(reterr, ERR_INVALID,
                           "the bracket of the IPv6 address is not closed: want something like %s://[::1]:10001",
                           SCHEMES[uri.scheme].name);
        err = parse_ipv6(authority + 1, (size_t)(bracket - authority) - 1, &uri, reterr);
        end = bracket + 1;
    } else {
        end = authority + strcspn(authority, ":/?#");
        err = parse_host(authority, (size_t)(end - authority), &uri, role, reterr);
    }
    if (err)
        return err;
    if (*end != ':')
        return err_set(reterr, ERR_INVALID, "the port is missing: want something like %s", example);
    err = parse_port(end + 1, local, role, &uri.port, reterr);
    if (err)
        return err;
    *ret = uri;
    return ERR_OK;
}

void uri_format_roc(char text[static URI_SIZE], const struct uri_roc *uri) {
    snprintf(text, URI_SIZE, uri->is_ipv6 ? "%s://[%s]:%u" : "%s://%s:%u", SCHEMES[uri->scheme].name, uri->host,
             (unsigned)uri->port);
}

static bool is_any_address(const struct uri_roc *uri) {
    struct in6_addr v6;
    if (!uri->is_ipv6)
        return strcmp(uri->host, "0.0.0.0") == 0;
    return inet_pton(AF_INET6, uri->host, &v6) == 1 && IN6_IS_ADDR_UNSPECIFIED(&v6);
}

/* Several texts may mean one IPv6 address. */
static bool is_same_host(const struct uri_roc *a, const struct uri_roc *b) {
    struct in6_addr a6, b6;
    if (a->is_ipv6 && b->is_ipv6 && inet_pton(AF_INET6, a->host, &a6) == 1 && inet_pton(AF_INET6, b->host, &b6) == 1)
        return memcmp(&a6, &b6, sizeof a6) == 0;
    return a->is_ipv6 == b->is_ipv6 && strcasecmp(a->host, b->host) == 0;
}

bool uri_roc_clash(const struct uri_roc *a, const struct uri_roc *b) {
    return a->port != 0 && a->port == b->port && (is_any_address(a) || is_any_address(b) || is_same_host(a, b));
}

enum err uri_parse_endpoint(const char *text, struct uri_endpoint *ret, struct err_info *reterr) {
    static const char PEERS[] = "/peers/", ENDPOINTS[] = "/endpoints/";
    static const char EXAMPLE[] = "/peers/self/endpoints/a0f2c1-77h3kz-pq8w2d";
    if (strncmp(text, PEERS, sizeof PEERS - 1) != 0)
        return err_set(reterr, ERR_INVALID, "this is no path of an endpoint: want something like %s", EXAMPLE);
    struct uri_endpoint uri = {};
    const char *peer = text + sizeof PEERS - 1;
    size_t len = strcspn(peer, "/");
    uri.is_self = len == 4 && memcmp(peer, "self", 4) == 0;
    if (!uri.is_self) {
        if (len == UID_LEN)
            memcpy(uri.peer_uid, peer, UID_LEN);
        if (!uid_is_valid(uri.peer_uid))
            return err_set(reterr, ERR_INVALID, "the peer is neither 'self' nor a uid: want something like %s",
                           EXAMPLE);
    }
    if (strncmp(peer + len, ENDPOINTS, sizeof ENDPOINTS - 1) != 0)
        return err_set(reterr, ERR_INVALID, "this is no path of an endpoint: want something like %s", EXAMPLE);
    const char *endpoint = peer + len + sizeof ENDPOINTS - 1;
    if (strnlen(endpoint, UID_LEN + 1) == UID_LEN)
        memcpy(uri.endpoint_uid, endpoint, UID_LEN);
    if (!uid_is_valid(uri.endpoint_uid))
        return err_set(reterr, ERR_INVALID, "the path does not end with the uid of an endpoint: want something like %s",
                       EXAMPLE);
    *ret = uri;
    return ERR_OK;
}
