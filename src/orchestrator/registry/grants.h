/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "model/grant.h"
#include "model/roster.h"
#include "model/stream_check.h"

/*
 * Whether a grant gives the right to a stream, here and now: both the owner of a stream and the peer of its source ask.
 * The commander must be one of the site (or this peer itself) and an operator at least as this peer sees it, whatever
 * others think of it; its signature must be under this stream, between these endpoints, from this generation or an
 * earlier one on. Wall clocks have no part in it.
 *
 * Pure. Threads: any.
 */
struct grants_case {
    char stream[UID_SIZE];
    int64_t generation;
    char source[GRANT_URI_SIZE];
    char destination[GRANT_URI_SIZE];
};

/* With real uids for `self`. */
struct grants_case grants_case_of(const char *stream_uid, int64_t generation, const struct stream_sides *sides,
                                  const char *self_uid);
void grants_make(struct grant *ret, const struct grants_case *wanted, const char *self_uid, int64_t now_ms,
                 const struct crypto_sign_key *key);
/* ERR_FORBIDDEN, with a sentence for the owner's user. `roster` and `key` may be nullptr: then nobody, and not this peer
 * itself, may command. */
enum err grants_check(const struct grant *grant, const struct grants_case *wanted, const struct roster *roster,
                      const char *self_uid, const struct crypto_sign_key *key, struct err_info *reterr);
