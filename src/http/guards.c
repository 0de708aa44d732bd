/* SPDX-License-Identifier: MPL-2.0 */
#include "http/guards.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The name without brackets and port. false: it does not fit, or the brackets are broken. */
static bool host_name(const char *host, char name[static 256]) {
    const char *end;
    if (*host == '[') {
        end = strchr(++host, ']');
        if (!end || (end[1] && end[1] != ':'))
            return false;
    } else {
        end = strchr(host, ':');
        if (!end)
            end = host + strlen(host);
    }
    size_t n = (size_t)(end - host);
    if (n == 0 || n > 255)
        return false;
    memcpy(name, host, n);
    name[n] = 0;
    return true;
}

static bool is_loopback(const char *name) {
    struct in_addr v4;
    struct in6_addr v6;
    if (strcasecmp(name, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, name, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, name, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

enum err guard_host(const char *host, struct err_info *reterr) {
    char name[256];
    if (!host)
        return err_set(reterr, ERR_INVALID, "the request has no Host header: HTTP/1.1 wants one");
    if (!host_name(host, name) || !is_loopback(name))
        return err_set(
            reterr, ERR_MISDIRECTED,
            "this server is asked for as '%.100s': use localhost, 127.0.0.1 or [::1], so that no foreign web "
            "page can pose as it",
            host);
    return ERR_OK;
}

enum err guard_origin(const char *host, const char *origin, const char *sec_fetch_site, bool is_navigation,
                      struct err_info *reterr) {
    if (sec_fetch_site && !is_navigation && strcmp(sec_fetch_site, "same-origin") != 0 &&
        strcmp(sec_fetch_site, "none") != 0)
        return err_set(reterr, ERR_FORBIDDEN, "a page of another site may not ask this server (Sec-Fetch-Site: %.40s)",
                       sec_fetch_site);
    if (origin && (!host || strncmp(origin, "http://", 7) != 0 || strcasecmp(origin + 7, host) != 0))
        return err_set(reterr, ERR_FORBIDDEN, "a page of another origin may not ask this server (Origin: %.100s)",
                       origin);
    return ERR_OK;
}

static int hex(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
static bool is_utf8(const char *text) {
    const uint8_t *s = (const uint8_t *)text;
    while (*s) {
        uint32_t lead = *s++;
        int more = lead < 0x80                   ? 0
                   : lead >= 0xC2 && lead < 0xE0 ? 1
                   : lead >= 0xE0 && lead < 0xF0 ? 2
                   : lead >= 0xF0 && lead < 0xF5 ? 3
                                                 : -1;
        if (more < 0)
            return false;
        uint32_t c = more == 0 ? lead : lead & (0x3Fu >> more);
        for (int i = 0; i < more; i++, s++) {
            if ((*s & 0xC0) != 0x80)
                return false;
            c = c << 6 | (*s & 0x3Fu);
        }
        if ((more == 2 && c < 0x800) || (more == 3 && (c < 0x10000 || c > 0x10FFFF)) || (c >= 0xD800 && c < 0xE000))
            return false;
    }
    return true;
}

enum err guard_target(const char *target, char path[static GUARD_TARGET_MAX + 1], const char **ret_query,
                      struct err_info *reterr) {
    if (target[0] != '/')
        return err_set(reterr, ERR_INVALID, "the request target must be a path that begins with '/'");
    if (strlen(target) > GUARD_TARGET_MAX)
        return err_set(reterr, ERR_INVALID, "the request target is longer than %zu bytes", GUARD_TARGET_MAX);
    size_t n = 0;
    const char *s = target;
    for (; *s && *s != '?'; s++) {
        int c = (unsigned char)*s;
        if (c == '%') {
            int high = hex(s[1]);
            int low = high < 0 ? -1 : hex(s[2]);
            if (low < 0)
                return err_set(reterr, ERR_INVALID, "the path has a '%%' without two hexadecimal digits behind it");
            c = high * 16 + low;
            s += 2;
        }
        if (c < 0x20 || c == 0x7F)
            return err_set(reterr, ERR_INVALID, "the path holds a control character");
        if (c == '/' && n == 1 && path[0] == '/') /* leading slashes count as one */
            continue;
        path[n++] = (char)c;
    }
    while (n > 1 && path[n - 1] == '/')
        n--;
    path[n] = 0;
    if (!is_utf8(path))
        return err_set(reterr, ERR_INVALID, "the path is not UTF-8");
    *ret_query = *s == '?' ? s + 1 : nullptr;
    return ERR_OK;
}
