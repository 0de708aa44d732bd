/* SPDX-License-Identifier: MPL-2.0 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_finish(struct buf *buf) {
    if (!buf)
        return;
    free(buf->data);
    *buf = (struct buf){.max = buf->max};
}

void buf_clear(struct buf *buf) {
    buf->len = 0;
    buf->failed = false;
    if (buf->data)
        buf->data[0] = 0;
}

/* Room for `more` bytes and the NUL. */
static bool reserve(struct buf *buf, size_t more) {
    size_t need;
    if (buf->failed)
        return false;
    if (__builtin_add_overflow(buf->len, more, &need) || (buf->max && need > buf->max) || need == SIZE_MAX) {
        buf->failed = true;
        return false;
    }
    if (need + 1 <= buf->cap)
        return true;
    size_t cap = buf->cap ? buf->cap : 128;
    while (cap < need + 1)
        cap = cap > SIZE_MAX / 2 ? need + 1 : cap * 2;
    char *data = realloc(buf->data, cap);
    if (!data) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->cap = cap;
    return true;
}

bool buf_append(struct buf *buf, const void *bytes, size_t len) {
    if (!reserve(buf, len))
        return false;
    if (len)
        memcpy(buf->data + buf->len, bytes, len);
    buf->len += len;
    buf->data[buf->len] = 0;
    return true;
}

bool buf_append_str(struct buf *buf, const char *text) {
    return buf_append(buf, text, strlen(text));
}

bool buf_printf(struct buf *buf, const char *format, ...) {
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(nullptr, 0, format, args);
    va_end(args);
    bool ok = n >= 0 && reserve(buf, (size_t)n);
    if (ok) {
        vsnprintf(buf->data + buf->len, (size_t)n + 1, format, again);
        buf->len += (size_t)n;
    }
    va_end(again);
    return ok;
}

void buf_consume(struct buf *buf, size_t n) {
    if (n >= buf->len) {
        buf->len = 0;
    } else {
        memmove(buf->data, buf->data + n, buf->len - n);
        buf->len -= n;
    }
    if (buf->data)
        buf->data[buf->len] = 0;
}

char *buf_take(struct buf *buf, size_t *ret_len) {
    if (!reserve(buf, 0)) {
        buf_finish(buf);
        return nullptr;
    }
    buf->data[buf->len] = 0;
    char *data = buf->data;
    if (ret_len)
        *ret_len = buf->len;
    *buf = (struct buf){.max = buf->max};
    return data;
}
