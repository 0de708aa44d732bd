/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/err.h"

#include <stdint.h>
#include <yyjson.h>

/*
 * The interpreter of the contract. tools/gen-api makes from every object schema of api/openapi.yaml a C struct and a constant
 * table of its members (model/model_gen.h); the functions below walk such a table over a struct and a JSON value. They decode
 * strictly, apply merge patches, encode, fill in defaults and compare; no other code in rocd knows the members of an object
 * by name in JSON.
 *
 * What the structs look like: strings are char arrays of maxLength + 1 bytes, arrays a count `n_x` and a fixed array, a
 * oneOf a tag and a union. A member that has a default is always filled. A member whose absence or null means something of
 * its own has an `enum presence has_x` beside it. Nothing points anywhere, so structs are copied by assignment.
 *
 * Life cycle: none; the tables are constant.  Threads: any; the caller owns the structs and the values.
 */

enum presence : uint8_t {
    PRESENCE_ABSENT,
    PRESENCE_NULL,
    PRESENCE_VALUE,
};

enum schema_kind : uint8_t {
    SCHEMA_BOOL,
    SCHEMA_INT32,
    SCHEMA_INT64,
    SCHEMA_NUMBER, /* double */
    SCHEMA_STRING, /* char[size] */
    SCHEMA_ENUM,   /* an enum with int32_t behind it */
    SCHEMA_OBJECT, /* struct of `nested` */
};

/* What a string must look like, beyond its length. */
enum schema_format : uint8_t {
    SCHEMA_FORMAT_NONE,
    SCHEMA_FORMAT_UID,       /* abc123-abc123-abc123 */
    SCHEMA_FORMAT_NAME,      /* no control characters */
    SCHEMA_FORMAT_FILE_NAME, /* relative, without "..", "." or empty parts, no control characters, no backslash */
    SCHEMA_FORMAT_IP,        /* IPv4 or IPv6 address */
    SCHEMA_FORMAT_DATE_TIME, /* 2026-11-25T06:00:00.000Z */
};

enum {
    SCHEMA_REQUIRED = 1u << 0,     /* must be given */
    SCHEMA_NULLABLE = 1u << 1,     /* may be null */
    SCHEMA_READ_ONLY = 1u << 2,    /* is shown, never taken */
    SCHEMA_IMMUTABLE = 1u << 3,    /* a patch may repeat the value, but not change it */
    SCHEMA_ARRAY = 1u << 4,        /* an array of what `kind` says */
    SCHEMA_MIN = 1u << 5,          /* `min` holds */
    SCHEMA_MAX = 1u << 6,          /* `max` holds */
    SCHEMA_DEFAULT = 1u << 7,      /* has a default that is not null */
    SCHEMA_DEFAULT_NULL = 1u << 8, /* its default is null */
};

struct schema;

struct schema_enum {
    const char *name;
    size_t n_names;
    const char *const *names;
};

constexpr uint32_t SCHEMA_NO_OFFSET = UINT32_MAX;

struct schema_member {
    const char *name; /* in JSON */
    enum schema_kind kind;
    enum schema_format format;
    uint16_t flags;           /* SCHEMA_… */
    uint32_t offset;          /* of the value, or of the first item */
    uint32_t presence_offset; /* of its enum presence, or SCHEMA_NO_OFFSET */
    uint32_t count_offset;    /* of the uint32_t count of an array, or SCHEMA_NO_OFFSET */
    uint32_t size;            /* bytes of one value */
    uint32_t min_length;      /* of a string, bytes */
    uint32_t max_items;       /* of an array */
    double min, max;          /* see SCHEMA_MIN, SCHEMA_MAX */
    double default_number;    /* of a number, a boolean (0, 1), an enum (its value) */
    const char *default_text; /* of a string */
    const struct schema_enum *enumeration;
    const struct schema *nested;
};

struct schema {
    const char *name; /* in the contract */
    size_t size;      /* of the struct */
    size_t n_members;
    const struct schema_member *members;
    const struct schema *read_form; /* the schema that shows this one with read-only members beside it, or nullptr */

    /* For a oneOf only, which has no members of its own: */
    const char *tag_name; /* member that tells which, else nullptr */
    uint32_t tag_offset;
    uint32_t variant_offset;
    const struct schema_enum *tag;
    const struct schema *const *variants; /* as many as tag->n_names */
};

/* All that is wrong with a value, up to a cap, in the order of the text. */
constexpr size_t SCHEMA_ERRORS_MAX = 16;
constexpr size_t SCHEMA_DETAIL_MAX = 256;

struct schema_error {
    char pointer[ERR_POINTER_MAX];  /* JSON Pointer, "" for the whole value */
    char detail[SCHEMA_DETAIL_MAX]; /* "want a number from -60 to 12" */
};

struct schema_errors {
    size_t n_errors;
    bool more; /* there were more than fit */
    struct schema_error errors[SCHEMA_ERRORS_MAX];
};

/* For `flags` of schema_decode and schema_patch. Requests are read with 0; what other peers say is read with
 * SCHEMA_IGNORE_UNKNOWN, for a later version may say more. */
enum { SCHEMA_IGNORE_UNKNOWN = 1u << 0 };

/* Decodes `value` into the struct at ret_object. Unknown, duplicate, missing, ill-typed and out-of-range members are refused,
 * and so are strings that hold NUL or do not fit. ERR_INVALID, with the first error in *reterr and all of them in *reterrors
 * (may be nullptr); on failure ret_object is untouched. */
enum err schema_decode(const struct schema *schema, yyjson_val *value, unsigned flags, void *ret_object,
                       struct schema_errors *reterrors, struct err_info *reterr);

/* Applies a JSON Merge Patch (RFC 7396) to the struct at `object`: null sets a member to its default or takes it away, nested
 * objects are patched in turn, arrays are replaced. A oneOf of the same tag is patched, another tag replaces it. The object is
 * checked and reported like a decoded one; on failure it is untouched. */
enum err schema_patch(const struct schema *schema, yyjson_val *patch, unsigned flags, void *object,
                      struct schema_errors *reterrors, struct err_info *reterr);

/* The struct as JSON, its strings copied into `doc`. nullptr when memory runs out. Whatever a struct holds can be written:
 * bytes that are not UTF-8 become U+FFFD, a number that is not finite becomes the nearest one allowed. */
yyjson_mut_val *schema_encode(const struct schema *schema, const void *object, yyjson_mut_doc *doc);

/* Sets everything to its default: zero, empty or absent where the contract has none. */
void schema_defaults(const struct schema *schema, void *object);

/* Whether both would encode to the same JSON. */
bool schema_equal(const struct schema *schema, const void *a, const void *b);

/* json_parse and schema_decode in one. */
enum err schema_decode_text(const struct schema *schema, const char *text, size_t length, unsigned flags,
                            void *ret_object, struct schema_errors *reterrors, struct err_info *reterr);

/* json_parse and schema_patch in one. */
enum err schema_patch_text(const struct schema *schema, const char *text, size_t length, unsigned flags, void *object,
                           struct schema_errors *reterrors, struct err_info *reterr);

/* The struct as JSON text on one line, ended by NUL; the caller frees it with free(). ERR_NO_MEMORY. `ret_length` may be
 * nullptr. */
enum err schema_encode_text(const struct schema *schema, const void *object, char **ret_text, size_t *ret_length,
                            struct err_info *reterr);

/* The position of `name` among the names of an enum, or -1. */
int schema_enum_find(const struct schema_enum *enumeration, const char *name);

/* The name of a value; "?" when it is out of range. */
const char *schema_enum_name(const struct schema_enum *enumeration, int value);
