/* SPDX-License-Identifier: MPL-2.0 */
#include "model/schema_priv.h"

#include <string.h>

int schema_enum_find(const struct schema_enum *enumeration, const char *name) {
    for (size_t i = 0; i < enumeration->n_names; i++)
        if (strcmp(enumeration->names[i], name) == 0)
            return (int)i;
    return -1;
}

const char *schema_enum_name(const struct schema_enum *enumeration, int value) {
    return value >= 0 && (size_t)value < enumeration->n_names ? enumeration->names[value] : "?";
}

enum presence schema_presence(const struct schema_member *member, const void *object) {
    if (member->presence_offset == SCHEMA_NO_OFFSET)
        return PRESENCE_VALUE;
    enum presence presence;
    memcpy(&presence, (const char *)object + member->presence_offset, sizeof presence);
    return presence;
}

void schema_set_presence(const struct schema_member *member, void *object, enum presence presence) {
    if (member->presence_offset != SCHEMA_NO_OFFSET)
        memcpy((char *)object + member->presence_offset, &presence, sizeof presence);
}

uint32_t schema_count(const struct schema_member *member, const void *object) {
    if (!(member->flags & SCHEMA_ARRAY))
        return 1;
    uint32_t count;
    memcpy(&count, (const char *)object + member->count_offset, sizeof count);
    /* The struct may come from code that miscounts; the table may not be left. */
    return count <= member->max_items ? count : member->max_items;
}

const void *schema_item(const struct schema_member *member, const void *object, uint32_t index) {
    return (const char *)object + member->offset + (size_t)index * member->size;
}

int schema_tag(const struct schema *schema, const void *object) {
    int32_t tag;
    memcpy(&tag, (const char *)object + schema->tag_offset, sizeof tag);
    return tag >= 0 && (size_t)tag < schema->tag->n_names ? tag : 0;
}

/* ---- defaults ---- */

static void default_value(const struct schema_member *member, void *value) {
    int32_t i32 = (int32_t)member->default_number;
    int64_t i64 = (int64_t)member->default_number;
    bool boolean = member->default_number != 0;
    switch (member->kind) {
    case SCHEMA_BOOL:
        memcpy(value, &boolean, sizeof boolean);
        break;
    case SCHEMA_INT32:
    case SCHEMA_ENUM:
        memcpy(value, &i32, sizeof i32);
        break;
    case SCHEMA_INT64:
        memcpy(value, &i64, sizeof i64);
        break;
    case SCHEMA_NUMBER:
        memcpy(value, &member->default_number, sizeof(double));
        break;
    case SCHEMA_STRING:
        if (member->default_text)
            memcpy(value, member->default_text, strlen(member->default_text) + 1);
        break;
    case SCHEMA_OBJECT:
        schema_defaults(member->nested, value);
        break;
    }
}

void schema_default_member(const struct schema_member *member, void *object) {
    uint32_t n_items = member->flags & SCHEMA_ARRAY ? member->max_items : 1;
    memset((char *)object + member->offset, 0, (size_t)n_items * member->size);
    if (member->flags & SCHEMA_ARRAY) {
        memset((char *)object + member->count_offset, 0, sizeof(uint32_t));
    } else {
        /* Also where the member is absent: who reads an optional object finds the defaults of its members. */
        default_value(member, (char *)object + member->offset);
    }
    schema_set_presence(member, object,
                        member->flags & SCHEMA_DEFAULT        ? PRESENCE_VALUE
                        : member->flags & SCHEMA_DEFAULT_NULL ? PRESENCE_NULL
                                                              : PRESENCE_ABSENT);
}

void schema_defaults(const struct schema *schema, void *object) {
    memset(object, 0, schema->size);
    if (schema->tag_name) {
        schema_defaults(schema->variants[0], (char *)object + schema->variant_offset);
        return;
    }
    for (size_t i = 0; i < schema->n_members; i++)
        schema_default_member(&schema->members[i], object);
}

/* ---- comparison ---- */

static bool value_equal(const struct schema_member *member, const void *a, const void *b) {
    switch (member->kind) {
    case SCHEMA_STRING:
        return strncmp(a, b, member->size) == 0;
    case SCHEMA_OBJECT:
        return schema_equal(member->nested, a, b);
    case SCHEMA_NUMBER: {
        double x;
        double y;
        memcpy(&x, a, sizeof x);
        memcpy(&y, b, sizeof y);
        return x == y; /* what was written and read again is the same to the last bit */
    }
    case SCHEMA_BOOL:
    case SCHEMA_INT32:
    case SCHEMA_INT64:
    case SCHEMA_ENUM:
        break;
    }
    return memcmp(a, b, member->size) == 0;
}

bool schema_member_equal(const struct schema_member *member, const void *a, const void *b) {
    enum presence presence = schema_presence(member, a);
    if (presence != schema_presence(member, b))
        return false;
    if (presence != PRESENCE_VALUE)
        return true;
    uint32_t n_items = schema_count(member, a);
    if (n_items != schema_count(member, b))
        return false;
    for (uint32_t i = 0; i < n_items; i++)
        if (!value_equal(member, schema_item(member, a, i), schema_item(member, b, i)))
            return false;
    return true;
}

bool schema_equal(const struct schema *schema, const void *a, const void *b) {
    if (schema->tag_name) {
        int tag = schema_tag(schema, a);
        return tag == schema_tag(schema, b) &&
               schema_equal(schema->variants[tag], (const char *)a + schema->variant_offset,
                            (const char *)b + schema->variant_offset);
    }
    for (size_t i = 0; i < schema->n_members; i++)
        if (!schema_member_equal(&schema->members[i], a, b))
            return false;
    return true;
}
