/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/err.h"
#include "model/grant.h"
#include "model_gen.h"

/*
 * A stream as the store holds it: the members of its spec, and beside them what the API never shows, all in one object, so
 * that they are written together or not at all. What older versions stored has the spec alone.
 *
 * Pure. Threads: any.
 */
struct stored_stream {
    bool is_removed;    /* a tombstone, which has no spec */
    int64_t removed_ms; /* wall clock, milliseconds since 1970 */
    struct stream_spec spec;
    bool has_grant;
    struct grant grant;
};

/* `grant` may be nullptr. The text is malloc'd. ERR_NO_MEMORY. */
enum err stored_stream_encode(const struct stream_spec *spec, const struct grant *grant, char **ret_json,
                              size_t *ret_len, struct err_info *reterr);
/* The tombstone of a stream, which takes its place in one write. */
enum err stored_stream_encode_removed(int64_t removed_ms, char **ret_json, size_t *ret_len, struct err_info *reterr);
enum err stored_stream_decode(const char *json, size_t len, struct stored_stream *ret, struct err_info *reterr);

/* The grant between its form in the contract and its own. ERR_INVALID: the signature is not hexadecimal. */
void stored_stream_show_grant(const struct grant *grant, struct attachment_grant *ret);
enum err stored_stream_read_grant(const struct attachment_grant *shown, struct grant *ret, struct err_info *reterr);
