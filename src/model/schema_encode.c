/* SPDX-License-Identifier: MPL-2.0 */
#include "model/schema_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of the UTF-8 sequence at `p`, or 0 when there is none; RFC 3629, so no surrogates and nothing overlong. */
static size_t utf8_length(const unsigned char *p, size_t left) {
    static const struct {
        unsigned char first, last, second_min, second_max;
        size_t length;
    } rows[] = {
        {0x00, 0x7F, 0, 0, 1},       {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
        {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
        {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (*p < rows[i].first || *p > rows[i].last)
            continue;
        if (rows[i].length > left || (rows[i].length > 1 && (p[1] < rows[i].second_min || p[1] > rows[i].second_max)))
            return 0;
        for (size_t k = 2; k < rows[i].length; k++)
            if (p[k] < 0x80 || p[k] > 0xBF)
                return 0;
        return rows[i].length;
    }
    return 0;
}

/* A device or a file system may hand us names that are not UTF-8; one such name must not spoil all of /state. */
static yyjson_mut_val *encode_string(const char *text, size_t size, yyjson_mut_doc *doc) {
    size_t length = strnlen(text, size);
    const unsigned char *bytes = (const unsigned char *)text;
    size_t good = 0;
    for (size_t n; good < length && (n = utf8_length(bytes + good, length - good)) > 0;)
        good += n;
    if (good == length)
        return yyjson_mut_strncpy(doc, text, length);
    char *clean = malloc(3 * length + 1);
    if (!clean)
        return nullptr;
    size_t used = 0;
    for (size_t i = 0; i < length;) {
        size_t n = utf8_length(bytes + i, length - i);
        if (n > 0) {
            memcpy(clean + used, text + i, n);
            used += n;
            i += n;
        } else {
            memcpy(clean + used, "\xEF\xBF\xBD", 3);
            used += 3;
            i++;
        }
    }
    yyjson_mut_val *value = yyjson_mut_strncpy(doc, clean, used);
    free(clean);
    return value;
}

/* JSON knows neither infinity nor NaN. Whole numbers are written without ".0", as people write them. */
static yyjson_mut_val *encode_number(const struct schema_member *member, double number, yyjson_mut_doc *doc) {
    if (!isfinite(number)) {
        double low = member->flags & SCHEMA_MIN ? member->min : 0;
        number = isinf(number) && number > 0 && member->flags & SCHEMA_MAX ? member->max : low;
    }
    constexpr double EXACT = 9007199254740992.0; /* 2^53 */
    if (number == trunc(number) && fabs(number) <= EXACT)
        return yyjson_mut_sint(doc, (int64_t)number);
    return yyjson_mut_real(doc, number);
}

static yyjson_mut_val *encode_value(const struct schema_member *member, const void *value, yyjson_mut_doc *doc) {
    bool boolean;
    int32_t i32;
    int64_t i64;
    double number;
    switch (member->kind) {
    case SCHEMA_BOOL:
        memcpy(&boolean, value, sizeof boolean);
        return yyjson_mut_bool(doc, boolean);
    case SCHEMA_INT32:
        memcpy(&i32, value, sizeof i32);
        return yyjson_mut_sint(doc, i32);
    case SCHEMA_INT64:
        memcpy(&i64, value, sizeof i64);
        return yyjson_mut_sint(doc, i64);
    case SCHEMA_NUMBER:
        memcpy(&number, value, sizeof number);
        return encode_number(member, number, doc);
    case SCHEMA_STRING:
        return encode_string(value, member->size, doc);
    case SCHEMA_ENUM:
        memcpy(&i32, value, sizeof i32);
        return yyjson_mut_str(doc, schema_enum_name(member->enumeration, i32));
    case SCHEMA_OBJECT:
        return schema_encode(member->nested, value, doc);
    }
    return nullptr;
}

static yyjson_mut_val *encode_member(const struct schema_member *member, const void *object, yyjson_mut_doc *doc) {
    if (schema_presence(member, object) == PRESENCE_NULL)
        return yyjson_mut_null(doc);
    if (!(member->flags & SCHEMA_ARRAY))
        return encode_value(member, schema_item(member, object, 0), doc);
    yyjson_mut_val *array = yyjson_mut_arr(doc);
    uint32_t n_items = schema_count(member, object);
    for (uint32_t i = 0; i < n_items; i++)
        if (!yyjson_mut_arr_append(array, encode_value(member, schema_item(member, object, i), doc)))
            return nullptr;
    return array;
}

static bool encode_members(const struct schema *schema, const void *object, yyjson_mut_doc *doc, yyjson_mut_val *to) {
    for (size_t i = 0; i < schema->n_members; i++) {
        const struct schema_member *member = &schema->members[i];
        if (schema_presence(member, object) == PRESENCE_ABSENT)
            continue;
        /* The name is constant, so the document need not copy it. */
        if (!yyjson_mut_obj_add(to, yyjson_mut_str(doc, member->name), encode_member(member, object, doc)))
            return false;
    }
    return true;
}

yyjson_mut_val *schema_encode(const struct schema *schema, const void *object, yyjson_mut_doc *doc) {
    yyjson_mut_val *to = yyjson_mut_obj(doc);
    bool ok;
    if (schema->tag_name) {
        int tag = schema_tag(schema, object);
        ok = yyjson_mut_obj_add_str(doc, to, schema->tag_name, schema->tag->names[tag]) &&
             encode_members(schema->variants[tag], (const char *)object + schema->variant_offset, doc, to);
    } else {
        ok = encode_members(schema, object, doc, to);
    }
    return ok ? to : nullptr;
}

enum err schema_encode_text(const struct schema *schema, const void *object, char **ret_text, size_t *ret_length,
                            struct err_info *reterr) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(nullptr);
    yyjson_mut_val *value = schema_encode(schema, object, doc);
    size_t length;
    char *text = value ? yyjson_mut_val_write(value, YYJSON_WRITE_NOFLAG, &length) : nullptr;
    yyjson_mut_doc_free(doc);
    if (!text)
        return err_set(reterr, ERR_NO_MEMORY, "no memory to write a %s as JSON", schema->name);
    *ret_text = text;
    if (ret_length)
        *ret_length = length;
    return ERR_OK;
}
