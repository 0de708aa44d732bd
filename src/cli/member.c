/* SPDX-License-Identifier: MPL-2.0 */
#include "cli/member.h"

#include <stdio.h>
#include <string.h>

#include "cli/number.h"

static enum err read_number(const struct member *member, const char *option, const char *text, double *ret,
                            struct err_info *reterr) {
    char digits[32];
    size_t len = strlen(text);
    bool is_percent = member->type == MEMBER_PERCENT && len > 1 && len < sizeof digits && text[len - 1] == '%';
    if (is_percent)
        snprintf(digits, sizeof digits, "%.*s", (int)(len - 1), text);
    bool is_whole = member->type == MEMBER_INTEGER;
    if (!number_parse(is_percent ? digits : text, ret) || (is_whole && *ret != (double)(int64_t)*ret))
        return err_set(reterr, ERR_INVALID, "--%s: expected a %snumber, found '%s'", option, is_whole ? "whole " : "",
                       text);
    if (is_percent)
        *ret /= 100;
    return ERR_OK;
}

enum err member_add(yyjson_mut_doc *doc, yyjson_mut_val *object, const struct member *member, const char *option,
                    const char *text, struct err_info *reterr) {
    const char *key = member->key;
    double number = 0;
    enum err err = ERR_OK;
    switch (member->type) {
    case MEMBER_TRUE:
    case MEMBER_FALSE:
        yyjson_mut_obj_add_bool(doc, object, key, member->type == MEMBER_TRUE);
        return ERR_OK;
    case MEMBER_WORD:
        yyjson_mut_obj_add_str(doc, object, key, member->word);
        return ERR_OK;
    case MEMBER_TEXT:
    case MEMBER_NUMBER:
    case MEMBER_INTEGER:
    case MEMBER_PERCENT:
        break;
    }
    if (member->word && strcmp(text, member->word) == 0)
        yyjson_mut_obj_add_null(doc, object, key);
    else if (member->type == MEMBER_TEXT)
        yyjson_mut_obj_add_str(doc, object, key, text);
    else if ((err = read_number(member, option, text, &number, reterr)))
        return err;
    else if (member->type == MEMBER_INTEGER)
        yyjson_mut_obj_add_sint(doc, object, key, (int64_t)number);
    else
        yyjson_mut_obj_add_real(doc, object, key, number);
    return ERR_OK;
}
