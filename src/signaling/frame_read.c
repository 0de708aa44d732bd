/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "base/crypto.h"
#include "base/json.h"
#include "signaling/frame_members.h"

constexpr struct json_limits HEADER_LIMITS = {.max_bytes = FRAME_HEADER_MAX, .max_depth = 3};

static void *at(struct frame *frame, const struct frame_member *m) {
    return (char *)frame + m->offset;
}

static bool read_epoch(yyjson_val *value, uint64_t *ret) {
    const char *text = yyjson_get_str(value);
    if (!text || yyjson_get_len(value) != 16 || strspn(text, "0123456789abcdef") != 16)
        return false;
    *ret = strtoull(text, nullptr, 16);
    return *ret != 0;
}

static bool read_number(yyjson_val *value, const struct frame_member *m, int64_t *ret) {
    if (!yyjson_is_uint(value) || yyjson_get_uint(value) > INT64_MAX)
        return false;
    *ret = (int64_t)yyjson_get_uint(value);
    return *ret >= m->min && *ret <= m->max;
}

static bool read_range(yyjson_val *value, const struct frame_member *m, int64_t *ret) {
    return yyjson_is_arr(value) && yyjson_arr_size(value) == 2 && read_number(yyjson_arr_get(value, 0), m, &ret[0]) &&
           read_number(yyjson_arr_get(value, 1), m, &ret[1]) && ret[0] <= ret[1];
}

static bool read_text(yyjson_val *value, const struct frame_member *m, const char **ret) {
    *ret = yyjson_get_str(value);
    return *ret && frame_text_is_valid(m->kind, *ret, yyjson_get_len(value), m->min, m->max);
}

static bool read_role(yyjson_val *value, enum roster_role *ret) {
    for (int role = ROSTER_VIEWER; role <= ROSTER_ADMIN; role++) {
        if (yyjson_equals_str(value, frame_role_name((enum roster_role)role))) {
            *ret = (enum roster_role)role;
            return true;
        }
    }
    return false;
}

static bool read_headers(yyjson_val *value, struct frame *frame) {
    if (!yyjson_is_obj(value) || yyjson_obj_size(value) > LINKS_HEADERS_MAX)
        return false;
    size_t i, n;
    yyjson_val *key, *v;
    yyjson_obj_foreach(value, i, n, key, v) {
        const char *text = yyjson_get_str(v);
        if (!text || !frame_text_is_valid(FRAME_TEXT, text, yyjson_get_len(v), 0, FRAME_HEADER_VALUE_MAX) ||
            !frame_header_name_is_valid(yyjson_get_str(key), yyjson_get_len(key)))
            return false;
        for (size_t j = 0; j < frame->n_headers; j++)
            if (strcmp(frame->headers[j].name, yyjson_get_str(key)) == 0)
                return false;
        frame->headers[frame->n_headers++] = (struct links_header){yyjson_get_str(key), text};
    }
    return true;
}

/* The text of an object again: who reads it has a strict reader of its own. */
static bool read_json(yyjson_val *value, const struct frame_member *m, struct frame *frame, const char **ret) {
    size_t len = 0;
    if (!yyjson_is_obj(value))
        return false;
    frame->grant = yyjson_val_write(value, YYJSON_WRITE_NOFLAG, &len);
    *ret = frame->grant;
    return frame->grant && len <= (size_t)m->max;
}

static bool read_member(yyjson_val *value, const struct frame_member *m, struct frame *frame) {
    void *p = at(frame, m);
    switch (m->kind) {
    case FRAME_EPOCH:
        return read_epoch(value, p);
    case FRAME_ID: {
        int64_t n;
        bool is_valid = read_number(value, m, &n);
        if (is_valid)
            *(uint64_t *)p = (uint64_t)n;
        return is_valid;
    }
    case FRAME_NUMBER:
        return read_number(value, m, p);
    case FRAME_MS: {
        int64_t ms;
        bool is_valid = read_number(value, m, &ms);
        if (is_valid)
            *(int64_t *)p = ms * 1'000'000;
        return is_valid;
    }
    case FRAME_FLAG:
        *(bool *)p = yyjson_is_true(value);
        return yyjson_is_bool(value);
    case FRAME_RANGE:
        return read_range(value, m, p);
    case FRAME_TEXT:
    case FRAME_METHOD:
    case FRAME_PATH:
        return read_text(value, m, p);
    case FRAME_ROLE:
        return read_role(value, p);
    case FRAME_HEADERS:
        return read_headers(value, frame);
    case FRAME_JSON:
        return read_json(value, m, frame, p);
    }
    return false;
}

static enum err read_type(yyjson_val *root, enum frame_type *ret, struct err_info *reterr) {
    yyjson_val *value = yyjson_obj_get(root, "t");
    for (int t = 0; t < FRAME_TYPES; t++) {
        if (yyjson_equals_str(value, frame_type_name((enum frame_type)t))) {
            *ret = (enum frame_type)t;
            return ERR_OK;
        }
    }
    return err_set_at(reterr, ERR_INVALID, "t", value ? "a type of frame that is not known" : "the type is missing");
}

/* Of a member of this type of frame; FRAME_MEMBERS: none is called so. */
static size_t find_member(enum frame_type type, yyjson_val *key) {
    size_t i = 0;
    for (; i < FRAME_MEMBERS; i++) {
        const struct frame_member *m = &frame_members[i];
        if ((m->needed | m->optional) >> type & 1 && yyjson_equals_str(key, m->name))
            break;
    }
    return i;
}

static enum err read_members(yyjson_val *root, struct frame *frame, struct err_info *reterr) {
    enum err err = read_type(root, &frame->type, reterr);
    if (err)
        return err;
    bool is_given[FRAME_MEMBERS + 1] = {};
    size_t i, n, n_types = 0;
    yyjson_val *key, *value;
    yyjson_obj_foreach(root, i, n, key, value) {
        size_t k = find_member(frame->type, key);
        bool is_type = yyjson_equals_str(key, "t");
        n_types += is_type;
        if (is_type ? n_types > 1 : is_given[k] && k < FRAME_MEMBERS)
            return err_set_at(reterr, ERR_INVALID, yyjson_get_str(key), "a member is given twice");
        if (k < FRAME_MEMBERS && !read_member(value, &frame_members[k], frame))
            return err_set_at(reterr, ERR_INVALID, frame_members[k].name, "the value of a member is not valid");
        is_given[k] = true;
    }
    for (size_t k = 0; k < FRAME_MEMBERS; k++)
        if (!is_given[k] && frame_members[k].needed >> frame->type & 1)
            return err_set_at(reterr, ERR_INVALID, frame_members[k].name, "a member is missing");
    return ERR_OK;
}

enum err frame_decode(const void *bytes, size_t len, struct frame *ret, struct err_info *reterr) {
    *ret = (struct frame){};
    if (len > CARRIER_FRAME_MAX)
        return err_set(reterr, ERR_TOO_LARGE, "a frame of %zu bytes", len);
    size_t within = len < FRAME_HEADER_MAX + 1 ? len : FRAME_HEADER_MAX + 1;
    const char *end = len ? memchr(bytes, '\n', within) : nullptr;
    if (!end)
        return err_set(reterr, ERR_MALFORMED, "no header of at most %zu bytes, ended by a newline", FRAME_HEADER_MAX);
    size_t header_len = (size_t)(end - (const char *)bytes);
    yyjson_doc *doc;
    enum err err = json_parse(bytes, header_len, &HEADER_LIMITS, &doc, reterr);
    if (err)
        return err;
    ret->doc = doc;
    ret->body = end + 1;
    ret->body_len = len - header_len - 1;
    if (!yyjson_is_obj(yyjson_doc_get_root(doc)))
        err = err_set(reterr, ERR_INVALID, "the header is no object");
    if (!err)
        err = read_members(yyjson_doc_get_root(doc), ret, reterr);
    if (!err)
        err = frame_check(ret, reterr);
    if (err)
        frame_finish(ret);
    return err;
}

void frame_finish(struct frame *frame) {
    if (!frame)
        return;
    yyjson_doc_free(frame->doc);
    free(frame->grant);
    *frame = (struct frame){};
}
