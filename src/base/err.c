/* SPDX-License-Identifier: MPL-2.0 */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    const char *title;
    int http_status;
} TABLE[] = {
#define X(code, status, name, title) [code] = {name, title, status},
    ERR_LIST(X)
#undef X
};

const char *err_name(enum err code) {
    return TABLE[code].name;
}

const char *err_title(enum err code) {
    return TABLE[code].title;
}

int err_http_status(enum err code) {
    return TABLE[code].http_status;
}

/* Texts that are cut, by a precision or by the end of the message, may be cut within a character; a JSON encoder would then
 * show another one instead. */
static void drop_partial_characters(char *text) {
    char *to = text;
    for (const char *p = text; *p;) {
        unsigned char lead = (unsigned char)*p;
        size_t want = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
        size_t there = 1;
        while (there < want && ((unsigned char)p[there] & 0xC0) == 0x80)
            there++;
        if (there == want && (lead & 0xC0) != 0x80) {
            memmove(to, p, there);
            to += there;
        }
        p += there;
    }
    *to = 0;
}

[[gnu::format(printf, 2, 0)]] static void format_message(struct err_info *reterr, const char *format, va_list args) {
    vsnprintf(reterr->message, sizeof reterr->message, format, args);
    drop_partial_characters(reterr->message);
}

enum err err_set(struct err_info *reterr, enum err code, const char *format, ...) {
    if (!reterr)
        return code;
    va_list args;
    va_start(args, format);
    reterr->code = code;
    reterr->pointer[0] = 0;
    format_message(reterr, format, args);
    va_end(args);
    return code;
}

enum err err_set_at(struct err_info *reterr, enum err code, const char *pointer, const char *format, ...) {
    if (!reterr)
        return code;
    va_list args;
    va_start(args, format);
    reterr->code = code;
    snprintf(reterr->pointer, sizeof reterr->pointer, "%s", pointer);
    format_message(reterr, format, args);
    va_end(args);
    return code;
}

static enum err from_errno(int error_number) {
    switch (error_number) {
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_DENIED;
    case ENOENT:
        return ERR_NOT_FOUND;
    case ENOMEM:
        return ERR_NO_MEMORY;
    case EADDRINUSE:
    case EBUSY:
        return ERR_BUSY;
    case ENOSPC:
    case EDQUOT:
        return ERR_STORAGE;
    default:
        return ERR_IO;
    }
}

enum err err_set_errno(struct err_info *reterr, int error_number, const char *format, ...) {
    enum err code = from_errno(error_number);
    if (!reterr)
        return code;
    va_list args;
    va_start(args, format);
    reterr->code = code;
    reterr->pointer[0] = 0;
    format_message(reterr, format, args);
    va_end(args);
    size_t used = strlen(reterr->message);
    char reason[128];
    const char *text = strerror_r(error_number, reason, sizeof reason);
    snprintf(reterr->message + used, sizeof reterr->message - used, ": %s", text);
    return code;
}
