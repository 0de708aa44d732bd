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

/* vsnprintf may cut inside a UTF-8 sequence; a JSON encoder would then refuse the whole message. */
static void drop_partial_character(char *text) {
    size_t n = strlen(text);
    size_t back = 0;
    while (back < 4 && back < n && ((unsigned char)text[n - 1 - back] & 0xC0) == 0x80)
        back++;
    if (back >= n)
        return;
    unsigned char lead = (unsigned char)text[n - 1 - back];
    size_t want = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
    if (want != back)
        text[n - 1 - back] = 0;
}

[[gnu::format(printf, 2, 0)]] static void format_message(struct err_info *reterr, const char *format, va_list args) {
    if (vsnprintf(reterr->message, sizeof reterr->message, format, args) >= (int)sizeof reterr->message)
        drop_partial_character(reterr->message);
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
