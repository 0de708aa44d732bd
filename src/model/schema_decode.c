/* SPDX-License-Identifier: MPL-2.0 */
#include "base/json.h"
#include "model/schema_priv.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Decoding and patching are one walk over table, JSON and struct, in one of three modes. The walk works on a copy of the
 * struct, goes on after an error to find the others, and the copy is taken over only if there was none. It recurses as
 * deep as the schemas nest, which the contract bounds, not the text.
 */
enum mode {
    MODE_DECODE, /* the value is the whole object */
    MODE_FRESH,  /* a merge patch of something that is not there yet: like the above, but null means "leave it out" */
    MODE_PATCH,  /* a merge patch of the struct as it stands */
};

struct walk {
    unsigned flags;
    const char *before; /* MODE_PATCH: the struct as it was, */
    char *after;        /* and its copy, on which the walk works */
    struct schema_errors *errors;
    char pointer[ERR_POINTER_MAX];
};

/* ---- reporting ---- */

[[gnu::format(printf, 2, 3)]] static void complain(struct walk *walk, const char *format, ...) {
    if (walk->errors->n_errors == SCHEMA_ERRORS_MAX) {
        walk->errors->more = true;
        return;
    }
    struct schema_error *error = &walk->errors->errors[walk->errors->n_errors++];
    memcpy(error->pointer, walk->pointer, sizeof error->pointer);
    va_list args;
    va_start(args, format);
    vsnprintf(error->detail, sizeof error->detail, format, args); /* our own words, so plain ASCII */
    va_end(args);
}

/* Appends "/name" as RFC 6901 wants it and returns the length before, for pop(). A name that does not fit is cut, at a
 * character boundary; the pointer then leads to the right neighbourhood. */
static size_t push(struct walk *walk, const char *name, size_t name_length) {
    size_t before = strlen(walk->pointer);
    size_t used = before;
    constexpr size_t ROOM = sizeof walk->pointer - 1;
    if (used < ROOM)
        walk->pointer[used++] = '/';
    for (size_t i = 0; i < name_length && name[i]; i++) {
        const char *escaped = name[i] == '~' ? "~0" : name[i] == '/' ? "~1" : nullptr;
        if (used + 2 > ROOM) {
            while (used > before && i > 0 && ((unsigned char)name[i] & 0xC0) == 0x80) {
                used--; /* the sequence this byte belongs to is not whole */
                i--;
            }
            break;
        }
        if (escaped) {
            walk->pointer[used++] = escaped[0];
            walk->pointer[used++] = escaped[1];
        } else {
            walk->pointer[used++] = name[i];
        }
    }
    walk->pointer[used] = 0;
    return before;
}

static void pop(struct walk *walk, size_t length) {
    walk->pointer[length] = 0;
}

static void append(char *text, size_t size, const char *more) {
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%s", more);
}

static void append_names(char *text, size_t size, const struct schema_enum *enumeration) {
    for (size_t i = 0; i < enumeration->n_names; i++) {
        append(text, size, i ? ", " : "");
        append(text, size, enumeration->names[i]);
    }
}

static void append_range(char *text, size_t size, const struct schema_member *member) {
    char range[80] = "";
    unsigned limits = member->flags & (SCHEMA_MIN | SCHEMA_MAX);
    if (limits == (SCHEMA_MIN | SCHEMA_MAX))
        snprintf(range, sizeof range, " from %.15g to %.15g", member->min, member->max);
    else if (limits == SCHEMA_MIN)
        snprintf(range, sizeof range, " not below %.15g", member->min);
    else if (limits == SCHEMA_MAX)
        snprintf(range, sizeof range, " not above %.15g", member->max);
    append(text, size, range);
}

/* "want a number from -60 to 12 or null": says all that one value must be. */
static void complain_want(struct walk *walk, const struct schema_member *member, bool whole) {
    char want[SCHEMA_DETAIL_MAX] = "want ";
    if (whole && member->flags & SCHEMA_ARRAY) {
        char array[48];
        snprintf(array, sizeof array, "an array of at most %u items", member->max_items);
        append(want, sizeof want, array);
    } else {
        switch (member->kind) {
        case SCHEMA_BOOL:
            append(want, sizeof want, "true or false");
            break;
        case SCHEMA_INT32:
        case SCHEMA_INT64:
            append(want, sizeof want, "an integer");
            append_range(want, sizeof want, member);
            break;
        case SCHEMA_NUMBER:
            append(want, sizeof want, "a number");
            append_range(want, sizeof want, member);
            break;
        case SCHEMA_STRING:
            append(want, sizeof want, "a string");
            break;
        case SCHEMA_ENUM:
            append(want, sizeof want, "one of: ");
            append_names(want, sizeof want, member->enumeration);
            break;
        case SCHEMA_OBJECT:
            append(want, sizeof want, "an object");
            break;
        }
    }
    append(want, sizeof want, whole && member->flags & SCHEMA_NULLABLE ? ", or null" : "");
    complain(walk, "%s", want);
}

static void complain_unknown(struct walk *walk, const struct schema *schema, const char *tag_name, const char *name) {
    for (size_t i = 0; schema->read_form && i < schema->read_form->n_members; i++) {
        if (strcmp(schema->read_form->members[i].name, name) == 0) {
            complain(walk, "is read-only: rocd sets it, leave it out of what you send");
            return;
        }
    }
    char known[SCHEMA_DETAIL_MAX] = "";
    append(known, sizeof known, tag_name ? tag_name : "");
    for (size_t i = 0; i < schema->n_members; i++) {
        append(known, sizeof known, *known ? ", " : "");
        append(known, sizeof known, schema->members[i].name);
    }
    complain(walk, "is unknown here; known are: %s", known);
}

/* ---- single values ---- */

static bool in_range(const struct schema_member *member, double number) {
    return !(member->flags & SCHEMA_MIN && number < member->min) &&
           !(member->flags & SCHEMA_MAX && number > member->max);
}

/* 48000.0 and 4.8e4 are integers to JSON. */
static bool get_integer(yyjson_val *value, int64_t *ret) {
    if (yyjson_is_sint(value)) {
        *ret = yyjson_get_sint(value);
        return true;
    }
    if (yyjson_is_uint(value) && yyjson_get_uint(value) <= INT64_MAX) {
        *ret = (int64_t)yyjson_get_uint(value);
        return true;
    }
    double number = yyjson_is_real(value) ? yyjson_get_real(value) : (double)NAN;
    if (number == trunc(number) && fabs(number) <= 9007199254740992.0) {
        *ret = (int64_t)number;
        return true;
    }
    return false;
}

static void walk_string(struct walk *walk, const struct schema_member *member, yyjson_val *value, char *to) {
    size_t max = member->size - 1;
    const char *text = yyjson_get_str(value);
    size_t length = yyjson_get_len(value);
    if (!text) {
        complain_want(walk, member, true);
    } else if (length > max) {
        complain(walk, "want at most %zu bytes, and this has %zu", max, length);
    } else if (length < member->min_length) {
        complain(walk, "want at least %u bytes, and this has %zu", member->min_length, length);
    } else if (strlen(text) != length) {
        complain(walk, "must not hold a NUL character");
    } else {
        const char *want = schema_format_check(member->format, text);
        if (want) {
            complain(walk, "%s", want);
            return;
        }
        memset(to, 0, member->size);
        memcpy(to, text, length);
    }
}

static void walk_struct(struct walk *walk, const struct schema *schema, yyjson_val *value, void *object,
                        enum mode mode);

/* One value, which is not an array; `to` is where it goes. */
static void walk_value(struct walk *walk, const struct schema_member *member, yyjson_val *value, void *to,
                       enum mode mode) {
    bool whole = !(member->flags & SCHEMA_ARRAY);
    int64_t integer;
    switch (member->kind) {
    case SCHEMA_BOOL:
        if (yyjson_is_bool(value)) {
            memcpy(to, &(bool){yyjson_get_bool(value)}, sizeof(bool));
            return;
        }
        break;
    case SCHEMA_INT32:
        if (get_integer(value, &integer) && integer >= INT32_MIN && integer <= INT32_MAX &&
            in_range(member, (double)integer)) {
            memcpy(to, &(int32_t){(int32_t)integer}, sizeof(int32_t));
            return;
        }
        break;
    case SCHEMA_INT64:
        if (get_integer(value, &integer) && in_range(member, (double)integer)) {
            memcpy(to, &integer, sizeof integer);
            return;
        }
        break;
    case SCHEMA_NUMBER:
        if (yyjson_is_num(value) && in_range(member, yyjson_get_num(value))) {
            memcpy(to, &(double){yyjson_get_num(value)}, sizeof(double));
            return;
        }
        break;
    case SCHEMA_STRING:
        walk_string(walk, member, value, to);
        return;
    case SCHEMA_ENUM: {
        const char *name = yyjson_get_str(value);
        int32_t found =
            name && strlen(name) == yyjson_get_len(value) ? schema_enum_find(member->enumeration, name) : -1;
        if (found >= 0) {
            memcpy(to, &found, sizeof found);
            return;
        }
        break;
    }
    case SCHEMA_OBJECT:
        walk_struct(walk, member->nested, value, to, mode);
        return;
    }
    complain_want(walk, member, whole);
}

static void walk_array(struct walk *walk, const struct schema_member *member, yyjson_val *value, void *object) {
    if (!yyjson_is_arr(value) || yyjson_arr_size(value) > member->max_items) {
        complain_want(walk, member, true);
        return;
    }
    /* A merge patch replaces arrays whole, and inside them null is null: RFC 7396. */
    schema_default_member(member, object);
    size_t i;
    size_t n;
    yyjson_val *item;
    yyjson_arr_foreach(value, i, n, item) {
        char index[16];
        int length = snprintf(index, sizeof index, "%zu", i);
        size_t before = push(walk, index, (size_t)length);
        walk_value(walk, member, item, (char *)object + member->offset + i * member->size, MODE_DECODE);
        pop(walk, before);
    }
    memcpy((char *)object + member->count_offset, &(uint32_t){(uint32_t)n}, sizeof(uint32_t));
}

/* ---- members and objects ---- */

static void walk_null(struct walk *walk, const struct schema_member *member, void *object, enum mode mode) {
    bool nullable = member->flags & SCHEMA_NULLABLE;
    if (mode != MODE_DECODE && !(member->flags & SCHEMA_REQUIRED)) {
        schema_default_member(member, object);
    } else if (nullable) {
        schema_default_member(member, object);
        schema_set_presence(member, object, PRESENCE_NULL);
    } else if (mode != MODE_DECODE) {
        complain(walk, "is required, so it cannot be taken away");
    } else {
        complain_want(walk, member, true);
    }
}

static void walk_member(struct walk *walk, const struct schema_member *member, yyjson_val *value, char *object,
                        enum mode mode) {
    size_t n_before = walk->errors->n_errors;
    if (member->flags & SCHEMA_READ_ONLY) {
        complain(walk, "is read-only: rocd sets it, leave it out of what you send");
    } else if (yyjson_is_null(value)) {
        walk_null(walk, member, object, mode);
    } else {
        bool here = schema_presence(member, object) == PRESENCE_VALUE;
        if (member->flags & SCHEMA_ARRAY)
            walk_array(walk, member, value, object);
        else
            walk_value(walk, member, value, object + member->offset, mode == MODE_PATCH && !here ? MODE_FRESH : mode);
        schema_set_presence(member, object, PRESENCE_VALUE);
    }
    if (mode == MODE_PATCH && member->flags & SCHEMA_IMMUTABLE && walk->errors->n_errors == n_before &&
        !schema_member_equal(member, walk->before + (object - walk->after), object)) {
        complain(walk, "cannot change: make a new object instead");
    }
}

/* An object that is no oneOf, or one variant of it: then `tag_name` is the member that the oneOf has read already. */
static void walk_object(struct walk *walk, const struct schema *schema, const char *tag_name, yyjson_val *value,
                        void *object, enum mode mode) {
    if (mode != MODE_PATCH)
        schema_defaults(schema, object);
    uint64_t seen = 0; /* tools/gen-api refuses schemas of more than 63 members */
    size_t k;
    size_t n;
    yyjson_val *key;
    yyjson_val *item;
    yyjson_obj_foreach(value, k, n, key, item) {
        const char *name = yyjson_get_str(key);
        size_t i = 0;
        while (i < schema->n_members && !yyjson_equals_str(key, schema->members[i].name))
            i++;
        bool is_tag = tag_name && yyjson_equals_str(key, tag_name);
        bool known = i < schema->n_members || is_tag;
        size_t before = push(walk, name, yyjson_get_len(key));
        if (!known) {
            if (!(walk->flags & SCHEMA_IGNORE_UNKNOWN))
                complain_unknown(walk, schema, tag_name, name);
        } else if (seen & UINT64_C(1) << i) {
            complain(walk, "is given twice");
        } else {
            seen |= UINT64_C(1) << i;
            if (!is_tag)
                walk_member(walk, &schema->members[i], item, object, mode);
        }
        pop(walk, before);
    }
    for (size_t i = 0; mode != MODE_PATCH && i < schema->n_members; i++) {
        if (schema->members[i].flags & SCHEMA_REQUIRED && !(seen & UINT64_C(1) << i)) {
            size_t before = push(walk, schema->members[i].name, SIZE_MAX);
            complain(walk, "is missing");
            pop(walk, before);
        }
    }
}

static void walk_one_of(struct walk *walk, const struct schema *schema, yyjson_val *value, void *object,
                        enum mode mode) {
    yyjson_val *tag_value = yyjson_obj_get(value, schema->tag_name);
    int32_t tag = mode == MODE_PATCH ? schema_tag(schema, object) : -1;
    if (tag_value || tag < 0) {
        const char *name = yyjson_get_str(tag_value);
        int32_t asked = name && strlen(name) == yyjson_get_len(tag_value) ? schema_enum_find(schema->tag, name) : -1;
        if (asked < 0) {
            char names[SCHEMA_DETAIL_MAX] = "";
            append_names(names, sizeof names, schema->tag);
            size_t before = push(walk, schema->tag_name, SIZE_MAX);
            complain(walk, "%swant one of: %s", tag_value ? "" : "is missing; ", names);
            pop(walk, before);
            return;
        }
        if (asked != tag) {
            mode = mode == MODE_DECODE ? MODE_DECODE : MODE_FRESH;
            memset(object, 0, schema->size);
            memcpy((char *)object + schema->tag_offset, &asked, sizeof asked);
            tag = asked;
        }
    }
    walk_object(walk, schema->variants[tag], schema->tag_name, value, (char *)object + schema->variant_offset, mode);
}

static void walk_struct(struct walk *walk, const struct schema *schema, yyjson_val *value, void *object,
                        enum mode mode) {
    if (!yyjson_is_obj(value))
        complain(walk, "want an object");
    else if (schema->tag_name)
        walk_one_of(walk, schema, value, object, mode);
    else
        walk_object(walk, schema, nullptr, value, object, mode);
}

/* ---- entry points ---- */

static enum err report(const struct schema_errors *errors, struct err_info *reterr) {
    const struct schema_error *first = &errors->errors[0];
    const char *tail = errors->n_errors > 1 ? " (and there is more)" : "";
    return err_set_at(reterr, ERR_INVALID, first->pointer, "%s%s%s%s", first->pointer, *first->pointer ? ": " : "",
                      first->detail, tail);
}

static enum err run(const struct schema *schema, yyjson_val *value, unsigned flags, void *object, enum mode mode,
                    struct schema_errors *reterrors, struct err_info *reterr) {
    char *copy = malloc(schema->size);
    if (!copy)
        return err_set(reterr, ERR_NO_MEMORY, "no memory to read a %s", schema->name);
    if (mode == MODE_PATCH)
        memcpy(copy, object, schema->size);
    else
        memset(copy, 0, schema->size);
    struct schema_errors errors;
    errors.n_errors = 0;
    errors.more = false;
    struct walk walk = {.flags = flags, .before = object, .after = copy, .errors = &errors};
    walk_struct(&walk, schema, value, copy, mode);
    enum err err = ERR_OK;
    if (errors.n_errors > 0)
        err = report(&errors, reterr);
    else
        memcpy(object, copy, schema->size);
    if (reterrors && err != ERR_OK)
        *reterrors = errors;
    free(copy);
    return err;
}

enum err schema_decode(const struct schema *schema, yyjson_val *value, unsigned flags, void *ret_object,
                       struct schema_errors *reterrors, struct err_info *reterr) {
    return run(schema, value, flags, ret_object, MODE_DECODE, reterrors, reterr);
}

enum err schema_patch(const struct schema *schema, yyjson_val *patch, unsigned flags, void *object,
                      struct schema_errors *reterrors, struct err_info *reterr) {
    return run(schema, patch, flags, object, MODE_PATCH, reterrors, reterr);
}

static enum err run_text(const struct schema *schema, const char *text, size_t length, unsigned flags, void *object,
                         enum mode mode, struct schema_errors *reterrors, struct err_info *reterr) {
    yyjson_doc *doc;
    enum err err = json_parse(text, length, &JSON_LIMITS, &doc, reterr);
    if (err != ERR_OK) {
        if (reterrors) {
            reterrors->n_errors = 0;
            reterrors->more = false;
        }
        return err;
    }
    err = run(schema, yyjson_doc_get_root(doc), flags, object, mode, reterrors, reterr);
    yyjson_doc_free(doc);
    return err;
}

enum err schema_decode_text(const struct schema *schema, const char *text, size_t length, unsigned flags,
                            void *ret_object, struct schema_errors *reterrors, struct err_info *reterr) {
    return run_text(schema, text, length, flags, ret_object, MODE_DECODE, reterrors, reterr);
}

enum err schema_patch_text(const struct schema *schema, const char *text, size_t length, unsigned flags, void *object,
                           struct schema_errors *reterrors, struct err_info *reterr) {
    return run_text(schema, text, length, flags, object, MODE_PATCH, reterrors, reterr);
}
