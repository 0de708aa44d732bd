/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <yyjson.h>

#include "base/err.h"

/*
 * How the value of an option is written into a request: commands have a table of members, one for each option.
 *
 * Threads: any.
 */
enum member_type {
    MEMBER_TEXT,
    MEMBER_NUMBER,
    MEMBER_INTEGER,
    MEMBER_PERCENT, /* a number; 40% is 0.4 */
    MEMBER_TRUE,    /* flags */
    MEMBER_FALSE,
    MEMBER_WORD,
};

struct member {
    const char *key;
    enum member_type type;
    const char
        *word; /* MEMBER_WORD: what the flag stands for; of values: what is typed for null, nullptr: nothing is */
};

/* ERR_INVALID: the text is no such value; the message names the option. Texts are borrowed by the document. */
enum err member_add(yyjson_mut_doc *doc, yyjson_mut_val *object, const struct member *member, const char *option,
                    const char *text, struct err_info *reterr);
