/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * A strict reader for small YAML files of two levels: sections and their members, each member one scalar, and at most one
 * list of mappings of scalars in a section. libcyaml is fenced here. Unknown and duplicate keys, other lists and deeper
 * mappings, aliases and a second document are refused, with file, line, column, key and what was expected.
 *
 * Threads: any.
 */
struct yaml_value {
    char *text;       /* owned; nullptr: not in the file */
    int line, column; /* of the value, from 1 */
};

constexpr size_t YAML_MEMBERS_MAX = 4;

struct yaml_item {
    struct yaml_value values[YAML_MEMBERS_MAX]; /* in the order of the list's members */
    int line, column;                           /* of the item, from 1 */
};

/* The one list: what it may hold, and what it does. */
struct yaml_list {
    const char *key;            /* "section.name" */
    const char *const *members; /* of an item */
    size_t n_members;
    uint32_t max; /* items */

    struct yaml_item *items; /* owned */
    size_t n_items;
};

/* `keys`: "name" or "section.name". `values` (n_keys of them, zeroed) and the list's items are filled also on failure, in
 * part: call yaml_values_finish() and yaml_list_finish() in any case. */
enum err yaml_read(const char *file_name, const char *text, size_t len, const char *const *keys, size_t n_keys,
                   struct yaml_value *values, struct yaml_list *list, struct err_info *reterr);
void yaml_values_finish(struct yaml_value *values, size_t n_values);
void yaml_list_finish(struct yaml_list *list);
