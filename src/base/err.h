/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

/*
 * Errors: one list of codes for the whole program, and a small record that says what happened.
 *
 * Functions that can fail return enum err (ERR_OK = 0) and take a last parameter `struct err_info *reterr`
 * (may be nullptr), written on failure only. The message is a sentence for a person: what happened, to which
 * object, why, and what to do. Errors of foreign libraries are translated in the one folder that may include
 * them. Lower modules return; the owner of the operation logs, once.
 *
 * Threads: plain data, any thread.
 */

/* code, HTTP status, name in the API (`error_code`), title of the problem */
#define ERR_LIST(X) \
    X(ERR_OK, 200, "ok", "Success") \
    X(ERR_INVALID, 400, "invalid_request", "The request is not valid") \
    X(ERR_MALFORMED, 400, "malformed_json", "The body is not JSON") \
    X(ERR_UNSUPPORTED, 400, "unsupported", "This is not built yet") \
    X(ERR_FORBIDDEN, 403, "forbidden", "Not allowed") \
    X(ERR_NOT_FOUND, 404, "not_found", "There is no such object") \
    X(ERR_METHOD, 405, "method_not_allowed", "The resource does not know this method") \
    X(ERR_CONFLICT, 409, "conflict", "The object is in another state than this request needs") \
    X(ERR_GENERATION, 412, "generation_mismatch", "The object has changed since it was read") \
    X(ERR_TOO_LARGE, 413, "too_large", "The request is too large") \
    X(ERR_MEDIA_TYPE, 415, "unsupported_media_type", "The body must be JSON") \
    X(ERR_MISDIRECTED, 421, "misdirected_request", "The request belongs to another server") \
    X(ERR_IDEMPOTENCY, 422, "idempotency_mismatch", "The Idempotency-Key stands for another request") \
    X(ERR_LIMIT, 429, "limit_reached", "A limit is reached") \
    X(ERR_INTERNAL, 500, "internal", "rocd failed") \
    X(ERR_NO_MEMORY, 500, "no_memory", "Out of memory") \
    X(ERR_IO, 500, "io", "Input or output failed") \
    X(ERR_DENIED, 500, "permission_denied", "The system refused access") \
    X(ERR_BUSY, 503, "busy", "The resource is in use") \
    X(ERR_UNAVAILABLE, 503, "unavailable", "Not available at present") \
    X(ERR_PEER_UNREACHABLE, 503, "peer_unreachable", "The peer that owns this cannot be reached") \
    X(ERR_STORAGE, 507, "storage_failed", "The change could not be stored")

enum [[nodiscard]] err {
#define X(code, status, name, title) code,
    ERR_LIST(X)
#undef X
};

constexpr size_t ERR_MESSAGE_MAX = 512;
constexpr size_t ERR_POINTER_MAX = 128;

struct err_info {
    enum err code;
    char pointer[ERR_POINTER_MAX]; /* JSON Pointer or config path of the offending member; may be empty */
    char message[ERR_MESSAGE_MAX]; /* for a person */
};

/* "not_found" */
const char *err_name(enum err code);
/* "There is no such object" */
const char *err_title(enum err code);
int err_http_status(enum err code);

/* Fill *reterr (if not nullptr) and return `code`, so that `return err_set(reterr, ERR_X, "…")` reads well.
 * A message that does not fit is cut at a character boundary. */
[[gnu::format(printf, 3, 4)]] enum err err_set(struct err_info *reterr, enum err code, const char *format, ...);

/* The same with the pointer of the member that is wrong ("/settings/fec"). */
[[gnu::format(printf, 4, 5)]] enum err err_set_at(struct err_info *reterr, enum err code, const char *pointer,
                                                  const char *format, ...);

/* Translates errno: message + ": " + strerror. EACCES → ERR_DENIED, ENOENT → ERR_NOT_FOUND, ENOMEM, EADDRINUSE,
 * EBUSY … → their kind, anything else → ERR_IO. */
[[gnu::format(printf, 3, 4)]] enum err err_set_errno(struct err_info *reterr, int error_number, const char *format,
                                                     ...);
