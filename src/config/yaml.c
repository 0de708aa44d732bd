/* SPDX-License-Identifier: MPL-2.0 */
#include "config/yaml.h"

#include <cyaml/cyaml.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/*
 * A schema for libcyaml is made from the list of keys: a struct of strings for the top level and one for each section,
 * all optional, so that a null pointer tells what is not in the file.
 *
 * libcyaml gives positions only in the text of its error messages, and for a key it does not know that of the value
 * before. So messages are collected and taken apart; a bad key is looked for in the text from there on; and the position
 * of a good value is found by reading once more with a schema in which this value cannot be right (all cheap: the text is
 * small, and read again only for what is in it). All items of a list have one schema, so that of an item is found by
 * allowing fewer items, and from there its members are looked for in the text.
 */

constexpr size_t MAX_KEYS = 32;
constexpr size_t MAX_SECTIONS = 8;
constexpr size_t MAX_DEPTH = 4; /* section, list, item, member */
constexpr size_t KEY_SIZE = 192;

struct item {
    char *strings[YAML_MEMBERS_MAX];
};

/* Strings of one level, and the sections below it; every level uses the same struct. */
struct level {
    char *strings[MAX_KEYS];
    struct level *sections[MAX_SECTIONS];
    struct item *items; /* of the list, in its section */
    uint32_t n_items;
};

/* What may be in the file. */
struct known {
    const char *const *keys;
    size_t n_keys;
    const struct yaml_list *list;
};

struct schema {
    cyaml_schema_field_t top[MAX_KEYS + MAX_SECTIONS + 1];
    cyaml_schema_field_t sections[MAX_SECTIONS][MAX_KEYS + 2];
    cyaml_schema_field_t members[YAML_MEMBERS_MAX + 1];
    cyaml_schema_value_t item;
    char names[MAX_SECTIONS][32];
    size_t n_sections;
    cyaml_schema_value_t root;
};

/* ---- what libcyaml says ---- */

struct complaint {
    char problem[256];          /* its first error message */
    char fields[MAX_DEPTH][64]; /* where it was: innermost first */
    size_t n_fields;
    int line, column; /* 0: it did not tell */
    bool more_documents;
};

[[gnu::format(printf, 3, 0)]] static void on_log(cyaml_log_t level, void *ctx, const char *format, va_list args) {
    struct complaint *c = ctx;
    char line[512];
    vsnprintf(line, sizeof line, format, args);
    line[strcspn(line, "\n")] = 0;
    const char *text = strncmp(line, "Load: ", 6) ? line : line + 6;
    if (strstr(text, "documents after first")) {
        c->more_documents = true;
        return;
    }
    if (level < CYAML_LOG_ERROR || !strncmp(text, "Backtrace", 9))
        return;
    text += strspn(text, " ");
    bool is_trace = !strncmp(text, "in mapping", 10) || !strncmp(text, "in sequence", 11);
    if (!is_trace) {
        if (!c->problem[0])
            snprintf(c->problem, sizeof c->problem, "%.255s", text);
        return;
    }
    const char *field = strchr(text, '\'');
    const char *end = field ? strrchr(field + 1, '\'') : nullptr;
    if (end && c->n_fields < MAX_DEPTH) {
        char *to = c->fields[c->n_fields++];
        if (strncmp(text, "in sequence", 11))
            snprintf(to, sizeof c->fields[0], "%.*s", (int)(end - field - 1), field + 1);
        else /* it counts from 1 */
            snprintf(to, sizeof c->fields[0], "[%ld]", strtol(field + 1, nullptr, 10) - 1);
    }
    const char *position = strstr(end ? end : text, "(line: ");
    if (!c->line && position)
        sscanf(position, "(line: %d, column: %d)", &c->line, &c->column);
}

/* ---- the schema ---- */

/* `at`: where its pointer is, in a level or an item. */
static cyaml_schema_field_t string_field(const char *key, size_t at) {
    return (cyaml_schema_field_t){
        .key = key,
        .data_offset = (uint32_t)at,
        .value = {.type = CYAML_STRING,
                  .flags = CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                  .data_size = 1,
                  .string = {.min = 0, .max = CYAML_UNLIMITED}},
    };
}

static size_t section_index(const struct schema *s, const char *name, size_t len) {
    size_t i = 0;
    while (i < s->n_sections && (strlen(s->names[i]) != len || memcmp(s->names[i], name, len)))
        i++;
    return i;
}

/* The section that `key` is in; made if it is not there yet. */
static size_t section_of(struct schema *s, const char *key) {
    size_t len = (size_t)(strchr(key, '.') - key);
    size_t at = section_index(s, key, len);
    if (at == s->n_sections)
        snprintf(s->names[s->n_sections++], sizeof s->names[0], "%.*s", (int)len, key);
    return at;
}

static cyaml_schema_field_t list_field(struct schema *s, const struct yaml_list *list, uint32_t max_items) {
    for (size_t i = 0; i < list->n_members; i++)
        s->members[i] = string_field(list->members[i], offsetof(struct item, strings) + i * sizeof(char *));
    s->item = (cyaml_schema_value_t){
        .type = CYAML_MAPPING, .data_size = sizeof(struct item), .mapping = {.fields = s->members}};
    return (cyaml_schema_field_t){
        .key = strchr(list->key, '.') + 1,
        .data_offset = offsetof(struct level, items),
        .count_offset = offsetof(struct level, n_items),
        .count_size = sizeof((struct level *)nullptr)->n_items,
        .value = {.type = CYAML_SEQUENCE,
                  .flags = CYAML_FLAG_POINTER_NULL | CYAML_FLAG_OPTIONAL,
                  .data_size = sizeof(struct item),
                  .sequence = {.entry = &s->item, .min = 0, .max = max_items}},
    };
}

/* A field of its own for key number i, in the section it is in, and one for the list. `impossible`: the key whose value
 * must not pass. */
static void schema_init(struct schema *s, const struct known *known, size_t impossible, uint32_t max_items) {
    *s = (struct schema){};
    size_t n_in[MAX_SECTIONS] = {}, n_top = 0;
    for (size_t i = 0; i < known->n_keys; i++) {
        const char *key = known->keys[i], *dot = strchr(key, '.');
        cyaml_schema_field_t field =
            string_field(dot ? dot + 1 : key, offsetof(struct level, strings) + i * sizeof(char *));
        if (i == impossible)
            field.value.string.min = CYAML_UNLIMITED;
        if (!dot) {
            s->top[n_top++] = field;
            continue;
        }
        size_t at = section_of(s, key);
        s->sections[at][n_in[at]++] = field;
    }
    size_t at = section_of(s, known->list->key);
    s->sections[at][n_in[at]++] = list_field(s, known->list, max_items);
    for (size_t i = 0; i < s->n_sections; i++)
        s->top[n_top++] = (cyaml_schema_field_t){
            .key = s->names[i],
            .data_offset = (uint32_t)(offsetof(struct level, sections) + i * sizeof(struct level *)),
            .value = {.type = CYAML_MAPPING,
                      .flags = CYAML_FLAG_POINTER_NULL | CYAML_FLAG_OPTIONAL,
                      .data_size = sizeof(struct level),
                      .mapping = {.fields = s->sections[i]}},
        };
    s->root = (cyaml_schema_value_t){.type = CYAML_MAPPING,
                                     .flags = CYAML_FLAG_POINTER,
                                     .data_size = sizeof(struct level),
                                     .mapping = {.fields = s->top}};
}

static cyaml_err_t load(const struct schema *s, const char *text, size_t len, struct complaint *complaint,
                        struct level **ret) {
    *complaint = (struct complaint){};
    const cyaml_config_t config = {.log_fn = on_log,
                                   .log_ctx = complaint,
                                   .mem_fn = cyaml_mem,
                                   .log_level = CYAML_LOG_WARNING,
                                   .flags = CYAML_CFG_NO_ALIAS};
    *ret = nullptr;
    return cyaml_load_data((const uint8_t *)text, len, &config, &s->root, (cyaml_data_t **)ret, nullptr);
}

static void unload(const struct schema *s, struct level *level) {
    const cyaml_config_t config = {.mem_fn = cyaml_mem, .log_level = CYAML_LOG_ERROR};
    if (level)
        cyaml_free(&config, &s->root, level, 0);
}

/* ---- positions ---- */

static bool is_key_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.';
}

/* The next place at or after (*line, *column) where `key` stands before a colon; unchanged if there is none. */
static void find_key(const char *text, size_t len, const char *key, int *line, int *column) {
    size_t n = strlen(key);
    int l = 1, c = 1;
    for (size_t i = 0; n && i + n < len; i++) {
        if (text[i] == '#' && (i == 0 || text[i - 1] == ' ' || text[i - 1] == '\n')) {
            while (i < len && text[i] != '\n')
                i++;
            l++;
            c = 1;
            continue;
        }
        bool after = l > *line || (l == *line && c >= *column);
        if (after && !memcmp(text + i, key, n) && (i == 0 || !is_key_character(text[i - 1]))) {
            size_t end = i + n;
            while (end < len && (text[end] == '"' || text[end] == '\'' || text[end] == ' '))
                end++;
            if (end < len && text[end] == ':') {
                *line = l;
                *column = c;
                return;
            }
        }
        c++;
        if (text[i] == '\n') {
            l++;
            c = 1;
        }
    }
}

static size_t line_start(const char *text, size_t len, int line) {
    size_t at = 0;
    while (line-- > 1 && at < len) {
        const char *newline = memchr(text + at, '\n', len - at);
        at = newline ? (size_t)(newline - text) + 1 : len;
    }
    return at;
}

/* The line in which the text stops being YAML: as far as before it, libcyaml does not have this problem. */
static int find_syntax_error(const struct schema *s, const char *text, size_t len, const char *problem) {
    int good = 0, bad = 1;
    for (size_t i = 0; i < len; i++)
        bad += text[i] == '\n';
    while (bad - good > 1) {
        int middle = good + (bad - good) / 2;
        struct complaint c;
        struct level *level;
        (void)load(s, text, line_start(text, len, middle + 1), &c, &level);
        unload(s, level);
        *(strcmp(c.problem, problem) ? &good : &bad) = middle;
    }
    return bad;
}

/* Where reading stops with this schema. */
static void find_stop(const char *text, size_t len, const struct known *known, size_t impossible, uint32_t max_items,
                      int *line, int *column) {
    struct schema s;
    struct complaint c;
    struct level *level;
    schema_init(&s, known, impossible, max_items);
    (void)load(&s, text, len, &c, &level);
    unload(&s, level);
    *line = c.line ? c.line : 1;
    *column = c.column ? c.column : 1;
}

static bool is_at_key(const char *text, size_t len, size_t at, const char *key) {
    size_t n = strlen(key);
    return at + n < len && !memcmp(text + at, key, n);
}

/* From the item on, the key; behind it, past its colon, the value. */
static void find_member(const char *text, size_t len, const char *member, const struct yaml_item *item,
                        struct yaml_value *value) {
    value->line = item->line;
    value->column = item->column;
    find_key(text, len, member, &value->line, &value->column);
    size_t at = line_start(text, len, value->line) + (size_t)value->column - 1;
    if (!is_at_key(text, len, at, member))
        return;
    size_t end = at + strlen(member);
    while (end < len && text[end] != ':' && text[end] != '\n')
        end++;
    end += end < len && text[end] == ':';
    while (end < len && (text[end] == ' ' || text[end] == '\t'))
        end++;
    if (end < len && text[end] != '\n')
        value->column += (int)(end - at);
}

/* ---- errors ---- */

static bool starts_with(const char *text, const char *with, const char **ret_rest) {
    size_t n = strlen(with);
    if (strncmp(text, with, n))
        return false;
    *ret_rest = text + n;
    return true;
}

/* "site.peers[2].role", from the fields of a complaint but the first `skip`, and `last` if it is not nullptr. */
static void join_key(char out[static KEY_SIZE], const struct complaint *c, size_t skip, const char *last) {
    size_t n = 0;
    out[0] = 0;
    for (size_t i = c->n_fields; i-- > skip && n < KEY_SIZE;)
        n += (size_t)snprintf(out + n, KEY_SIZE - n, "%s%.60s", n && c->fields[i][0] != '[' ? "." : "", c->fields[i]);
    if (last && n < KEY_SIZE)
        snprintf(out + n, KEY_SIZE - n, "%s%.60s", n ? "." : "", last);
}

static const char *last_part(const char *key) {
    const char *dot = strrchr(key, '.');
    return dot ? dot + 1 : key;
}

static bool is_like(const char *known, const char *unknown) {
    return !strcmp(known, unknown) || (strlen(unknown) >= 3 && !strncmp(known, unknown, 3));
}

/* The known key whose last part is the same as, or begins like, the unknown one. In an item: one of its members. */
static const char *guess(const struct known *known, const char *unknown) {
    const struct yaml_list *list = known->list;
    const char *last = last_part(unknown);
    if (strchr(unknown, '[')) {
        for (size_t i = 0; i < list->n_members; i++)
            if (is_like(list->members[i], last))
                return list->members[i];
        return nullptr;
    }
    for (size_t i = 0; i < known->n_keys; i++)
        if (is_like(last_part(known->keys[i]), last))
            return known->keys[i];
    return is_like(last_part(list->key), last) ? list->key : nullptr;
}

static enum err explain_type(const char *name, const struct complaint *c, const char *expecting,
                             struct err_info *reterr) {
    char key[KEY_SIZE];
    join_key(key, c, 0, nullptr);
    const char *found = strstr(expecting, ", got ");
    const char *what = !found                      ? "a value"
                       : strstr(found, "SEQUENCE") ? "a list"
                       : strstr(found, "MAPPING")  ? "a mapping"
                                                   : "a value";
    if (!c->n_fields)
        return err_set(reterr, ERR_INVALID, "%s:%d:%d: expected settings as 'key: value', found %s", name,
                       c->line ? c->line : 1, c->column ? c->column : 1, what);
    const char *expected = !strncmp(expecting, "SEQUENCE", 8) ? "a list, each item after a '-'"
                           : strncmp(expecting, "MAPPING", 7) ? "one value"
                           : c->fields[0][0] == '['           ? "settings of an item as 'key: value'"
                                                              : "settings below it, indented";
    return err_set_at(reterr, ERR_INVALID, key, "%s:%d:%d: %s: expected %s, found %s", name, c->line, c->column, key,
                      expected, what);
}

static enum err explain(const struct schema *s, const char *name, const char *text, size_t len,
                        const struct known *known, cyaml_err_t code, struct complaint *c, struct err_info *reterr) {
    const char *rest;
    char key[KEY_SIZE];
    int line = c->line ? c->line : 1, column = c->column ? c->column : 1;
    if (code == CYAML_ERR_OOM)
        return err_set(reterr, ERR_NO_MEMORY, "%s could not be read: out of memory", name);
    if (code == CYAML_ERR_ALIAS)
        return err_set(reterr, ERR_INVALID, "%s:%d:%d: aliases (*name) are not allowed: write the value out", name,
                       line, column);
    if (starts_with(c->problem, "Unexpected key: ", &rest)) {
        find_key(text, len, rest, &line, &column);
        join_key(key, c, 0, rest);
        const char *meant = guess(known, key);
        return err_set_at(reterr, ERR_INVALID, key, "%s:%d:%d: unknown key '%s'%s%s%s", name, line, column, key,
                          meant ? ": did you mean '" : ": see docs/config.md for those there are", meant ? meant : "",
                          meant ? "'?" : "");
    }
    if (starts_with(c->problem, "Mapping field already seen: ", &rest)) {
        find_key(text, len, rest, &line, &column);
        join_key(key, c, 1, rest);
        return err_set_at(reterr, ERR_INVALID, key, "%s:%d:%d: the key '%s' is given twice: remove one of them", name,
                          line, column, key);
    }
    if (starts_with(c->problem, "Excessive entries ", &rest)) {
        const struct yaml_list *list = known->list;
        return err_set_at(reterr, ERR_INVALID, list->key, "%s:%d:%d: %s: has more items than the %u there may be", name,
                          line, column, list->key, (unsigned)list->max);
    }
    if (starts_with(c->problem, "Expecting ", &rest))
        return explain_type(name, c, rest, reterr);
    if (starts_with(c->problem, "libyaml: ", &rest))
        return err_set(reterr, ERR_INVALID, "%s:%d:1: this is not YAML: %s (look here and just before)", name,
                       find_syntax_error(s, text, len, c->problem), rest);
    return err_set(reterr, ERR_INVALID, "%s:%d:%d: not understood: %s", name, line, column,
                   c->problem[0] ? c->problem : cyaml_strerror(code));
}

/* ---- reading ---- */

static bool take_items(const char *text, size_t len, const struct known *known, const struct level *section,
                       struct yaml_list *list) {
    list->items = section->n_items ? calloc(section->n_items, sizeof *list->items) : nullptr;
    if (section->n_items && !list->items)
        return false;
    list->n_items = section->n_items;
    for (uint32_t i = 0; i < section->n_items; i++) {
        struct yaml_item *item = &list->items[i];
        find_stop(text, len, known, SIZE_MAX, i, &item->line, &item->column);
        for (size_t k = 0; k < list->n_members; k++) {
            const char *value = section->items[i].strings[k];
            if (!value)
                continue;
            item->values[k].text = strdup(value);
            if (!item->values[k].text)
                return false;
            find_member(text, len, list->members[k], item, &item->values[k]);
        }
    }
    return true;
}

static bool take_value(const char *text, size_t len, const struct known *known, size_t i, const char *value,
                       struct yaml_value *ret) {
    ret->text = strdup(value);
    if (ret->text)
        find_stop(text, len, known, i, known->list->max, &ret->line, &ret->column);
    return ret->text;
}

static const struct level *level_of(const struct schema *s, const struct level *top, const char *key) {
    const char *dot = strchr(key, '.');
    return dot ? top->sections[section_index(s, key, (size_t)(dot - key))] : top;
}

enum err yaml_read(const char *name, const char *text, size_t len, const char *const *keys, size_t n_keys,
                   struct yaml_value *values, struct yaml_list *list, struct err_info *reterr) {
    if (n_keys > MAX_KEYS || list->n_members > YAML_MEMBERS_MAX)
        return err_set(reterr, ERR_INTERNAL, "more than %zu keys or %zu members", MAX_KEYS, YAML_MEMBERS_MAX);
    const struct known known = {keys, n_keys, list};
    struct schema s;
    struct complaint c;
    struct level *top;
    schema_init(&s, &known, SIZE_MAX, list->max);
    cyaml_err_t code = load(&s, text, len, &c, &top);
    if (code != CYAML_OK)
        return explain(&s, name, text, len, &known, code, &c, reterr);
    enum err e = ERR_OK;
    if (c.more_documents)
        e = err_set(reterr, ERR_INVALID, "%s: holds more than one document: remove the '---' between them", name);
    bool good = true;
    for (size_t i = 0; i < n_keys && top && e == ERR_OK && good; i++) {
        const struct level *level = level_of(&s, top, keys[i]);
        if (level && level->strings[i])
            good = take_value(text, len, &known, i, level->strings[i], &values[i]);
    }
    const struct level *section = top ? level_of(&s, top, list->key) : nullptr;
    if (section && e == ERR_OK && good)
        good = take_items(text, len, &known, section, list);
    unload(&s, top);
    return good ? e : err_set(reterr, ERR_NO_MEMORY, "%s could not be read: out of memory", name);
}

void yaml_values_finish(struct yaml_value *values, size_t n_values) {
    for (size_t i = 0; i < n_values; i++) {
        free(values[i].text);
        values[i] = (struct yaml_value){};
    }
}

void yaml_list_finish(struct yaml_list *list) {
    for (size_t i = 0; i < list->n_items; i++)
        yaml_values_finish(list->items[i].values, YAML_MEMBERS_MAX);
    free(list->items);
    list->items = nullptr;
    list->n_items = 0;
}
