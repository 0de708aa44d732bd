/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * What a request says outside of path and body: the query string and the two precondition headers. Strict: what is not
 * known or not well formed is refused with a sentence, never skipped.
 *
 * Life cycle: plain values, filled by the parse functions. Threads: any.
 */
constexpr size_t QUERY_TEXT_MAX = 2048;
constexpr size_t QUERY_PARAMS_MAX = 8;

struct query {
    size_t n_params;
    struct {
        const char *name;  /* of the caller's list of known names */
        const char *value; /* in `text` */
    } params[QUERY_PARAMS_MAX];
    char text[QUERY_TEXT_MAX];
};

/* `raw` is what follows the '?', or nullptr; `known` is ended by nullptr. ERR_INVALID names the parameter. The result
 * points into itself: do not copy it. */
enum err query_parse(const char *raw, const char *const *known, struct query *ret, struct err_info *reterr);
/* nullptr: not given. */
const char *query_get(const struct query *query, const char *name);

constexpr size_t IF_MATCH_MAX = 8;

/* If-Match: the generations that will do. A tag that is not one of ours (weak ones included) matches nothing. */
struct if_match {
    bool given;
    bool any; /* "*" */
    size_t n_generations;
    int64_t generations[IF_MATCH_MAX];
};

/* `text` may be nullptr: not given. */
enum err if_match_parse(const char *text, struct if_match *ret, struct err_info *reterr);
bool if_match_holds(const struct if_match *if_match, int64_t generation);
/* If-None-Match: only "*" makes sense for what can be made by PUT. */
enum err if_none_match_parse(const char *text, bool *ret_must_not_exist, struct err_info *reterr);
