/* SPDX-License-Identifier: MPL-2.0 */
#include "api/query.h"

#include <stdio.h>
#include <string.h>

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* One name or value up to `end`, decoded and NUL-terminated at *to; false: a bad escape or a control character. */
static bool decode(const char *from, const char *end, char **to) {
    while (from < end) {
        char c = *from++;
        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            int high = end - from >= 2 ? hex_digit(from[0]) : -1;
            int low = high >= 0 ? hex_digit(from[1]) : -1;
            if (low < 0)
                return false;
            c = (char)(high << 4 | low);
            from += 2;
        }
        if ((unsigned char)c < ' ' || c == 0x7F)
            return false;
        *(*to)++ = c;
    }
    *(*to)++ = 0;
    return true;
}

static enum err refuse_name(const char *name, const char *const *known, struct err_info *reterr) {
    if (!known[0])
        return err_set(reterr, ERR_INVALID, "query parameter '%s' is unknown: this resource has none", name);
    char names[256] = "";
    size_t used = 0;
    for (size_t i = 0; known[i] && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", known[i]);
    return err_set(reterr, ERR_INVALID, "query parameter '%s' is unknown: this resource has %s", name, names);
}

static enum err add(struct query *query, const char *name, const char *value, const char *const *known,
                    struct err_info *reterr) {
    size_t i = 0;
    while (known[i] && strcmp(known[i], name) != 0)
        i++;
    if (!known[i])
        return refuse_name(name, known, reterr);
    if (query_get(query, name))
        return err_set(reterr, ERR_INVALID, "query parameter '%s' is given twice: give it once", name);
    if (query->n_params == QUERY_PARAMS_MAX)
        return err_set(reterr, ERR_INVALID, "the query has more than %zu parameters", QUERY_PARAMS_MAX);
    query->params[query->n_params].name = known[i];
    query->params[query->n_params++].value = value;
    return ERR_OK;
}

enum err query_parse(const char *raw, const char *const *known, struct query *ret, struct err_info *reterr) {
    ret->n_params = 0;
    size_t len = raw ? strlen(raw) : 0;
    /* Decoding never makes it longer, but "a&b" gets a NUL for an absent value. */
    if (len > QUERY_TEXT_MAX / 2)
        return err_set(reterr, ERR_INVALID, "the query is longer than %zu bytes", QUERY_TEXT_MAX / 2);
    char *to = ret->text;
    const char *end = len ? raw + len : nullptr;
    for (const char *at = len ? raw : nullptr; at < end;) {
        const char *stop = memchr(at, '&', (size_t)(end - at));
        if (!stop)
            stop = end;
        if (stop > at) {
            const char *equals = memchr(at, '=', (size_t)(stop - at));
            const char *name = to;
            bool good = decode(at, equals ? equals : stop, &to);
            const char *value = to;
            if (!good || !decode(equals ? equals + 1 : stop, stop, &to))
                return err_set(reterr, ERR_INVALID, "the query holds a broken %%-escape or a control character");
            enum err err = add(ret, name, value, known, reterr);
            if (err)
                return err;
        }
        at = stop + 1;
    }
    return ERR_OK;
}

const char *query_get(const struct query *query, const char *name) {
    for (size_t i = 0; i < query->n_params; i++)
        if (strcmp(query->params[i].name, name) == 0)
            return query->params[i].value;
    return nullptr;
}

static const char *skip_space(const char *at) {
    while (*at == ' ' || *at == '\t')
        at++;
    return at;
}

static bool is_star(const char *text) {
    text = skip_space(text);
    return *text == '*' && !*skip_space(text + 1);
}

/* The digits between two quotes as a generation; -1: not a tag of ours. */
static int64_t tag_generation(const char *text, const char *end) {
    int64_t value = 0;
    if (text == end || (*text == '0' && end - text > 1))
        return -1;
    for (; text < end; text++)
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *text - '0', &value))
            return -1;
    return value;
}

/* entity-tag of RFC 9110, 8.8.3, at *at; moves behind it. false: not one. */
static bool read_tag(const char **at, bool *ret_weak, const char **ret_text, const char **ret_end) {
    const char *p = *at;
    *ret_weak = p[0] == 'W' && p[1] == '/';
    if (*ret_weak)
        p += 2;
    if (*p++ != '"')
        return false;
    *ret_text = p;
    while (*p && *p != '"') {
        if ((unsigned char)*p <= ' ' || *p == 0x7F)
            return false;
        p++;
    }
    *ret_end = p;
    *at = p + 1;
    return *p == '"';
}

enum err if_match_parse(const char *text, struct if_match *ret, struct err_info *reterr) {
    struct if_match if_match = {.given = text != nullptr};
    if (!text || is_star(text)) {
        if_match.any = text != nullptr;
        *ret = if_match;
        return ERR_OK;
    }
    const char *at = skip_space(text);
    for (size_t n_tags = 1;; n_tags++) {
        bool weak;
        const char *tag, *end;
        if (n_tags > IF_MATCH_MAX || !read_tag(&at, &weak, &tag, &end))
            return err_set(reterr, ERR_INVALID,
                           "If-Match is not an ETag: send the one you were given, quotes included, like \"3\"");
        int64_t generation = weak ? -1 : tag_generation(tag, end);
        if (generation >= 0)
            if_match.generations[if_match.n_generations++] = generation;
        at = skip_space(at);
        if (!*at)
            break;
        if (*at++ != ',')
            return err_set(reterr, ERR_INVALID, "If-Match is not a list of ETags separated by commas");
        at = skip_space(at);
    }
    *ret = if_match;
    return ERR_OK;
}

bool if_match_holds(const struct if_match *if_match, int64_t generation) {
    bool holds = !if_match->given || if_match->any;
    for (size_t i = 0; i < if_match->n_generations && !holds; i++)
        holds = if_match->generations[i] == generation;
    return holds;
}

enum err if_none_match_parse(const char *text, bool *ret_must_not_exist, struct err_info *reterr) {
    if (text && !is_star(text))
        return err_set(reterr, ERR_INVALID, "If-None-Match takes only * here: make it if there is none");
    *ret_must_not_exist = text != nullptr;
    return ERR_OK;
}
