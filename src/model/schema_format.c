/* SPDX-License-Identifier: MPL-2.0 */
#include "base/id.h"
#include "model/schema_priv.h"

#include <arpa/inet.h>
#include <string.h>

/* C0, DEL and C1: what could steer a terminal or break a line of the log. `text` is valid UTF-8. */
static bool has_control_character(const char *text) {
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7F || (*p == 0xC2 && p[1] >= 0x80 && p[1] <= 0x9F))
            return true;
    return false;
}

/* Only the form; whether the file lies in the media directory is seen when it is opened. */
static bool is_file_name(const char *text) {
    if (has_control_character(text) || strchr(text, '\\'))
        return false;
    for (const char *part = text;; part++) {
        size_t length = strcspn(part, "/");
        if (length == 0 || (length == 1 && part[0] == '.') || (length == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        part += length;
        if (*part == 0)
            return true;
    }
}

static bool is_ip(const char *text) {
    unsigned char address[16];
    return inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1;
}

static bool is_date_time(const char *text) {
    static const char form[] = "0000-00-00T00:00:00.000Z";
    for (size_t i = 0; i < sizeof form; i++)
        if (form[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
            return false;
    return true;
}

const char *schema_format_check(enum schema_format format, const char *text) {
    switch (format) {
    case SCHEMA_FORMAT_NONE:
        break;
    case SCHEMA_FORMAT_UID:
        return uid_is_valid(text) ? nullptr : "want a uid: three groups of six from a-z and 0-9, joined by '-'";
    case SCHEMA_FORMAT_NAME:
        return has_control_character(text) ? "want no control characters in it" : nullptr;
    case SCHEMA_FORMAT_FILE_NAME:
        return is_file_name(text) ? nullptr
                                  : "want a file name relative to the media directory, without '..', '.', empty parts, "
                                    "backslashes and control characters";
    case SCHEMA_FORMAT_IP:
        return is_ip(text) ? nullptr : "want an IPv4 or IPv6 address";
    case SCHEMA_FORMAT_DATE_TIME:
        return is_date_time(text) ? nullptr : "want a time like 2026-11-25T06:00:00.000Z";
    }
    return nullptr;
}
