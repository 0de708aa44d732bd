/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>

#include "base/err.h"

/*
 * A strict reader for small YAML files of two levels: sections and their members, each member one scalar. libcyaml is
 * fenced here. Unknown and duplicate keys, lists and deeper mappings, aliases and a second document are refused, with
 * file, line, column, key and what was expected.
 *
 * Threads: any.
 */
struct yaml_value {
    char *text;       /* owned; nullptr: not in the file */
    int line, column; /* of the value, from 1 */
};

/* `keys`: "name" or "section.name". `values` (n_keys of them, zeroed) are filled also on failure, in part: call
 * yaml_values_finish() in any case. */
enum err yaml_read(const char *file_name, const char *text, size_t len, const char *const *keys, size_t n_keys,
                   struct yaml_value *values, struct err_info *reterr);
void yaml_values_finish(struct yaml_value *values, size_t n_values);
