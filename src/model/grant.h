/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdint.h>

#include "base/crypto.h"
#include "base/err.h"
#include "base/id.h"

/*
 * The grant: a commander's signature under a stream. The stream's owner shows it to the source's peer, which so knows
 * who wanted the stream, and lets sound go only if that commander may command it there, now: the owner's word is not
 * enough (it would be a confused deputy).
 *
 * What is signed (Ed25519, the commander's key) is this text, every line ended by a newline:
 *
 *   rocd-grant-1
 *   <stream uid>
 *   <generation, decimal>        the stream's first generation that the grant is for; it holds for later ones
 *   <source>                     the URI of the source endpoint, with real uids: /peers/<uid>/endpoints/<uid>
 *   <destination>                likewise, or "external"
 *   <commander>                  uid of the signing peer
 *   <user>                       name of the commander's user, as in its log; UTF-8 without control characters
 *   <issued, decimal>            wall clock of the commander, milliseconds since 1970
 *
 * As JSON an object with the same names and `signature` in hexadecimal:
 *
 *   {"stream":…,"generation":1,"source":…,"destination":…,"commander":…,"user":…,"issued":…,"signature":…}
 *
 * All eight and nothing else: a member that was not signed would say what nobody vouches for, so a later version that has
 * more is another first line and another reader.
 *
 * Threads: any.
 */
constexpr size_t GRANT_URI_SIZE = 64;
constexpr size_t GRANT_USER_SIZE = 64;
constexpr size_t GRANT_JSON_MAX = 1024;

struct grant {
    char stream[UID_SIZE];
    int64_t generation; /* from 1 */
    char source[GRANT_URI_SIZE];
    char destination[GRANT_URI_SIZE];
    char commander[UID_SIZE];
    char user[GRANT_USER_SIZE];
    int64_t issued_ms; /* from 0 */
    uint8_t signature[CRYPTO_SIGNATURE_SIZE];
};

/* Fills in the signature; all other members are set. One that is not as told above is an error of the caller's: then the
 * signature is all zero, which no key has made. */
void grant_sign(struct grant *grant, const struct crypto_sign_key *commander);
/* ERR_FORBIDDEN: the signature is not that of this key, or a member is not as told above. The caller knows whose key it
 * must be, and its role; that `commander` is that peer is the caller's to check, too. */
enum err grant_verify(const struct grant *grant, const uint8_t public_key[static CRYPTO_PUBLIC_KEY_SIZE],
                      struct err_info *reterr);

/* Of a grant that was signed or parsed. malloc'd; nullptr: out of memory (or its user is not UTF-8). */
char *grant_format(const struct grant *grant);
/* Strict: untrusted bytes. Says nothing of the signature but that there is one. ERR_INVALID with the member's name as
 * pointer ("/user"), ERR_MALFORMED, ERR_TOO_LARGE (above GRANT_JSON_MAX), ERR_NO_MEMORY; *ret is then untouched. */
enum err grant_parse(const char *json, size_t len, struct grant *ret, struct err_info *reterr);
