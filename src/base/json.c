/* SPDX-License-Identifier: MPL-2.0 */
#include "base/json.h"

static enum err malformed_at(const char *text, size_t length, size_t position, const char *what,
                             struct err_info *reterr) {
    size_t line = 1;
    size_t column = 1;
    size_t character;
    yyjson_locate_pos(text, length, position, &line, &column, &character);
    return err_set(reterr, ERR_MALFORMED, "not JSON at line %zu, column %zu: %s", line, column, what);
}

/* Finds where the text nests too deep; true when it does not. Brackets in strings do not count. Need not understand
 * the text otherwise: the parser will. */
static bool depth_is_fine(const char *text, size_t length, size_t max_depth, size_t *ret_position) {
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > max_depth) {
                *ret_position = i;
                return false;
            }
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return true;
}

enum err json_parse(const char *text, size_t length, const struct json_limits *limits, yyjson_doc **ret_doc,
                    struct err_info *reterr) {
    if (length > limits->max_bytes) {
        return err_set(reterr, ERR_TOO_LARGE, "the JSON text has %zu bytes, and at most %zu are taken", length,
                       limits->max_bytes);
    }
    if (length == 0)
        return err_set(reterr, ERR_MALFORMED, "not JSON: the text is empty");
    size_t position;
    if (!depth_is_fine(text, length, limits->max_depth, &position)) {
        char what[64];
        snprintf(what, sizeof what, "nested deeper than %zu", limits->max_depth);
        return malformed_at(text, length, position, what, reterr);
    }
    yyjson_read_err problem;
    /* Without the in-situ flag the text is copied, not changed; the parameter is only not const. */
    yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)text, length, YYJSON_READ_NOFLAG, nullptr, &problem);
    if (!doc) {
        if (problem.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
            return err_set(reterr, ERR_NO_MEMORY, "no memory to read a JSON text of %zu bytes", length);
        return malformed_at(text, length, problem.pos, problem.msg, reterr);
    }
    *ret_doc = doc;
    return ERR_OK;
}
