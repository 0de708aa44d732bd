/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "base/json.h"
#include "signaling/frame_members.h"

static const void *at(const struct frame *frame, const struct frame_member *m) {
    return (const char *)frame + m->offset;
}

static enum err wrong(const struct frame_member *m, struct err_info *reterr) {
    return err_set_at(reterr, ERR_INVALID, m->name, "%s is not valid in a frame, or longer than it may be", m->name);
}

static yyjson_mut_val *write_headers(yyjson_mut_doc *doc, const struct frame *frame) {
    yyjson_mut_val *object = yyjson_mut_obj(doc);
    for (size_t i = 0; i < frame->n_headers; i++) {
        const struct links_header *h = &frame->headers[i];
        if (!frame_header_name_is_valid(h->name, strlen(h->name)) ||
            !frame_text_is_valid(FRAME_TEXT, h->value, strlen(h->value), 0, FRAME_HEADER_VALUE_MAX))
            return nullptr;
        yyjson_mut_obj_add_str(doc, object, h->name, h->value);
    }
    return object;
}

static yyjson_mut_val *write_json(yyjson_mut_doc *doc, const char *text, size_t max) {
    const struct json_limits limits = {.max_bytes = max, .max_depth = 2};
    yyjson_doc *parsed;
    if (json_parse(text, strlen(text), &limits, &parsed, nullptr) != ERR_OK)
        return nullptr;
    yyjson_mut_val *v =
        yyjson_is_obj(yyjson_doc_get_root(parsed)) ? yyjson_val_mut_copy(doc, yyjson_doc_get_root(parsed)) : nullptr;
    yyjson_doc_free(parsed);
    return v;
}

static yyjson_mut_val *write_text(yyjson_mut_doc *doc, const struct frame_member *m, const char *text) {
    if (!frame_text_is_valid(m->kind, text, strlen(text), m->min, m->max))
        return nullptr;
    return yyjson_mut_str(doc, text);
}

static yyjson_mut_val *write_epoch(yyjson_mut_doc *doc, uint64_t epoch) {
    char text[17];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)epoch);
    return epoch ? yyjson_mut_strcpy(doc, text) : nullptr;
}

static yyjson_mut_val *write_number(yyjson_mut_doc *doc, const struct frame_member *m, int64_t n) {
    return n >= m->min && n <= m->max ? yyjson_mut_sint(doc, n) : nullptr;
}

/* An optional member that says nothing is left out. */
static bool is_absent(const struct frame *frame, const struct frame_member *m) {
    switch (m->kind) {
    case FRAME_EPOCH:
    case FRAME_ID:
        return *(const uint64_t *)at(frame, m) == 0;
    case FRAME_NUMBER:
    case FRAME_MS:
        return *(const int64_t *)at(frame, m) == 0;
    case FRAME_FLAG:
        return !*(const bool *)at(frame, m);
    case FRAME_HEADERS:
        return frame->n_headers == 0;
    case FRAME_ROLE:
    case FRAME_RANGE:
        return false;
    case FRAME_TEXT:
    case FRAME_METHOD:
    case FRAME_PATH:
    case FRAME_JSON:
        return *(const char *const *)at(frame, m) == nullptr;
    }
    return false;
}

/* nullptr: not valid, or out of memory */
static yyjson_mut_val *write_member(yyjson_mut_doc *doc, const struct frame *frame, const struct frame_member *m) {
    const void *p = at(frame, m);
    const int64_t *n = p;
    const char *text = nullptr;
    switch (m->kind) {
    case FRAME_EPOCH:
        return write_epoch(doc, *(const uint64_t *)p);
    case FRAME_ID:
    case FRAME_NUMBER:
        return write_number(doc, m, *n);
    case FRAME_MS:
        return write_number(doc, m, *n / 1'000'000);
    case FRAME_FLAG:
        return yyjson_mut_bool(doc, *(const bool *)p);
    case FRAME_RANGE: {
        yyjson_mut_val *range = yyjson_mut_arr(doc);
        if (n[0] < m->min || n[0] > n[1] || n[1] > m->max)
            return nullptr;
        yyjson_mut_arr_add_sint(doc, range, n[0]);
        yyjson_mut_arr_add_sint(doc, range, n[1]);
        return range;
    }
    case FRAME_ROLE:
        text = frame_role_name(*(const enum roster_role *)p);
        return text ? yyjson_mut_str(doc, text) : nullptr;
    case FRAME_HEADERS:
        return write_headers(doc, frame);
    case FRAME_TEXT:
    case FRAME_METHOD:
    case FRAME_PATH:
        text = *(const char *const *)p;
        return text ? write_text(doc, m, text) : nullptr;
    case FRAME_JSON:
        text = *(const char *const *)p;
        return text ? write_json(doc, text, (size_t)m->max) : nullptr;
    }
    return nullptr;
}

static enum err write_members(yyjson_mut_doc *doc, const struct frame *frame, struct err_info *reterr) {
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "t", frame_type_name(frame->type));
    for (size_t i = 0; i < FRAME_MEMBERS; i++) {
        const struct frame_member *m = &frame_members[i];
        bool needed = m->needed >> frame->type & 1;
        if (!needed && (!(m->optional >> frame->type & 1) || is_absent(frame, m)))
            continue;
        yyjson_mut_val *value = write_member(doc, frame, m);
        if (!value)
            return wrong(m, reterr);
        yyjson_mut_obj_add(root, yyjson_mut_str(doc, m->name), value);
    }
    return ERR_OK;
}

enum err frame_encode(const struct frame *frame, struct buf *ret, struct err_info *reterr) {
    enum err err = frame_check(frame, reterr);
    if (err)
        return err;
    yyjson_mut_doc *doc = yyjson_mut_doc_new(nullptr);
    if (!doc)
        return err_set(reterr, ERR_NO_MEMORY, "no memory to write a frame");
    err = write_members(doc, frame, reterr);
    size_t len = 0;
    yyjson_write_err problem;
    char *text = err ? nullptr : yyjson_mut_write_opts(doc, YYJSON_WRITE_NOFLAG, nullptr, &len, &problem);
    yyjson_mut_doc_free(doc);
    if (err)
        return err;
    if (!text) {
        return problem.code == YYJSON_WRITE_ERROR_MEMORY_ALLOCATION
                   ? err_set(reterr, ERR_NO_MEMORY, "no memory to write a frame")
                   : err_set(reterr, ERR_INVALID, "a member of the frame is not UTF-8");
    }
    if (len > FRAME_HEADER_MAX) {
        err = err_set(reterr, ERR_TOO_LARGE, "the header of the frame has %zu bytes, and at most %zu are taken", len,
                      FRAME_HEADER_MAX);
    } else if (!buf_append(ret, text, len) || !buf_append(ret, "\n", 1) ||
               !buf_append(ret, frame->body, frame->body_len)) {
        err = err_set(reterr, ERR_NO_MEMORY, "no memory to write a frame");
    }
    free(text);
    return err;
}
