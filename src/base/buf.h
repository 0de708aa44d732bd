/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * A growing byte buffer, always NUL-terminated while it holds something, so that it serves as text too.
 *
 * Life cycle: zero-initialise (optionally with .max), append, buf_finish(). Failure (memory, max) is sticky:
 * further appends do nothing, buf_failed() tells, and what was appended before stays whole.
 * Ownership: the buffer owns its bytes; buf_take() hands them out (free() them).
 * Threads: none; one owner.
 */
struct buf {
    char *data; /* owned; nullptr while empty */
    size_t len; /* without the NUL */
    size_t cap;
    size_t max; /* 0 = no limit but memory */
    bool failed;
};

void buf_finish(struct buf *buf);
void buf_clear(struct buf *buf);
bool buf_append(struct buf *buf, const void *bytes, size_t len);
bool buf_append_str(struct buf *buf, const char *text);
[[gnu::format(printf, 2, 3)]] bool buf_printf(struct buf *buf, const char *format, ...);
/* Removes the first n bytes. */
void buf_consume(struct buf *buf, size_t n);
static inline bool buf_failed(const struct buf *buf) {
    return buf->failed;
}
/* The bytes as an owned, NUL-terminated string; the buffer is empty afterwards. nullptr if it failed. */
char *buf_take(struct buf *buf, size_t *ret_len);
