/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/err.h"

#include <yyjson.h>

/*
 * Reading JSON text that anybody may have written. Size and depth are capped before anything is built, the text must be
 * strict RFC 8259 in UTF-8, and an error says where it is. What the members mean, and whether one is given twice, is the
 * business of model/schema.
 *
 * Threads: any.  Ownership: the document is the caller's, yyjson_doc_free().
 */

struct json_limits {
    size_t max_bytes;
    size_t max_depth; /* arrays and objects inside one another; the outermost is 1 */
};

/* What the API takes. */
constexpr struct json_limits JSON_LIMITS = {.max_bytes = 65'536, .max_depth = 16};

/* ERR_TOO_LARGE, ERR_MALFORMED (with line and column), ERR_NO_MEMORY. `text` need not end with NUL. */
enum err json_parse(const char *text, size_t length, const struct json_limits *limits, yyjson_doc **ret_doc,
                    struct err_info *reterr);
