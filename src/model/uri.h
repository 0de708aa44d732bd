/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "model/maxima.h"

/*
 * The two kinds of URI that name the side of a stream:
 *
 *   Roc URIs, outside of rocd     rtp+rs8m://192.0.2.10:10001   rs8m://[2001:db8::1]:10002   rtcp://studio.example:10003
 *   endpoints, the REST path      /peers/6uibwb-h3z9nn-1nwaw6/endpoints/a0f2c1-77h3kz-pq8w2d   (`self` for the peer)
 *
 * Parsing is strict: scheme in lower case, host and port required, nothing behind the port, IPv6 in brackets, no
 * user, no query. Names are not looked up here. Errors say what is wrong and show one that is right; they have no pointer,
 * for only the caller knows in which member the text stood.
 *
 * Threads: any.
 */
enum uri_scheme { URI_RTP, URI_RTP_RS8M, URI_RTP_LDPC, URI_RS8M, URI_LDPC, URI_RTCP };
constexpr int URI_N_SCHEMES = 6;

enum uri_role { URI_MEDIA, URI_REPAIR, URI_CONTROL };
constexpr int URI_N_ROLES = 3;

enum uri_fec { URI_FEC_NONE, URI_FEC_RS8M, URI_FEC_LDPC };

struct uri_roc {
    enum uri_scheme scheme;
    char host[LIMIT_HOST + 1]; /* without brackets */
    bool is_ipv6;              /* host is an IPv6 address */
    uint16_t port;             /* 0: any that is free (local addresses only) */
};

/* `local`: an address to listen at, whose port may be 0. ERR_INVALID. */
enum err uri_parse_roc(const char *text, enum uri_role role, bool local, struct uri_roc *ret, struct err_info *reterr);

constexpr size_t URI_SIZE = LIMIT_URI + 1;
void uri_format_roc(char text[static URI_SIZE], const struct uri_roc *uri);

const char *uri_scheme_name(enum uri_scheme scheme); /* "rtp+rs8m" */
enum uri_fec uri_scheme_fec(enum uri_scheme scheme);
const char *uri_fec_name(enum uri_fec fec); /* "rs8m", "ldpc", "none" */

/* May both be bound at once? Not if the ports are equal and the hosts are, or one of them means every address. Ports 0
 * never clash. */
bool uri_roc_clash(const struct uri_roc *a, const struct uri_roc *b);

struct uri_endpoint {
    bool is_self; /* "self": peer_uid is empty */
    char peer_uid[UID_SIZE];
    char endpoint_uid[UID_SIZE];
};

enum err uri_parse_endpoint(const char *text, struct uri_endpoint *ret, struct err_info *reterr);
