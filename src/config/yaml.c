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
 * small, and read again only for what is in it).
 */

constexpr size_t MAX_KEYS = 32;
constexpr size_t MAX_SECTIONS = 8;
constexpr size_t MAX_DEPTH = 2;

/* Strings of one level, and the sections below it; every level uses the same struct. */
struct level {
    char *strings[MAX_KEYS];
    struct level *sections[MAX_SECTIONS];
};

struct schema {
    cyaml_schema_field_t top[MAX_KEYS + MAX_SECTIONS + 1];
    cyaml_schema_field_t sections[MAX_SECTIONS][MAX_KEYS + 1];
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
    if (end && c->n_fields < MAX_DEPTH)
        snprintf(c->fields[c->n_fields++], sizeof c->fields[0], "%.*s", (int)(end - field - 1), field + 1);
    const char *position = strstr(end ? end : text, "(line: ");
    if (!c->line && position)
        sscanf(position, "(line: %d, column: %d)", &c->line, &c->column);
}

/* ---- the schema ---- */

static cyaml_schema_field_t string_field(const char *key, size_t index) {
    return (cyaml_schema_field_t){
        .key = key,
        .data_offset = (uint32_t)(offsetof(struct level, strings) + index * sizeof(char *)),
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

/* A field of its own for key number i, in the section it is in. `impossible`: the key whose value must not pass. */
static void schema_init(struct schema *s, const char *const *keys, size_t n_keys, size_t impossible) {
    *s = (struct schema){};
    size_t n_in[MAX_SECTIONS] = {}, n_top = 0;
    for (size_t i = 0; i < n_keys; i++) {
        const char *dot = strchr(keys[i], '.');
        cyaml_schema_field_t field = string_field(dot ? dot + 1 : keys[i], i);
        if (i == impossible)
            field.value.string.min = CYAML_UNLIMITED;
        if (!dot) {
            s->top[n_top++] = field;
            continue;
        }
        size_t len = (size_t)(dot - keys[i]);
        size_t at = section_index(s, keys[i], len);
        if (at == s->n_sections)
            snprintf(s->names[s->n_sections++], sizeof s->names[0], "%.*s", (int)len, keys[i]);
        s->sections[at][n_in[at]++] = field;
    }
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

static void find_value(const char *text, size_t len, const char *const *keys, size_t n_keys, size_t i,
                       struct yaml_value *value) {
    struct schema s;
    struct complaint c;
    struct level *level;
    schema_init(&s, keys, n_keys, i);
    (void)load(&s, text, len, &c, &level);
    unload(&s, level);
    value->line = c.line ? c.line : 1;
    value->column = c.column ? c.column : 1;
}

/* ---- errors ---- */

static bool starts_with(const char *text, const char *with, const char **ret_rest) {
    size_t n = strlen(with);
    if (strncmp(text, with, n))
        return false;
    *ret_rest = text + n;
    return true;
}

static void join_key(char out[static 128], const char *section, const char *key) {
    snprintf(out, 128, "%.60s%s%.60s", section, section[0] ? "." : "", key);
}

/* The known key whose last part is the same as, or begins like, the unknown one. */
static const char *guess(const char *const *keys, size_t n_keys, const char *unknown) {
    const char *dot = strchr(unknown, '.');
    const char *last = dot ? dot + 1 : unknown;
    for (size_t i = 0; i < n_keys; i++) {
        const char *known = strchr(keys[i], '.') ? strchr(keys[i], '.') + 1 : keys[i];
        if (!strcmp(known, last) || (strlen(last) >= 3 && !strncmp(known, last, 3)))
            return keys[i];
    }
    return nullptr;
}

static enum err explain_type(const char *name, const struct complaint *c, const char *expecting,
                             struct err_info *reterr) {
    char key[128];
    join_key(key, c->n_fields > 1 ? c->fields[1] : "", c->n_fields ? c->fields[0] : "");
    const char *what = strstr(expecting, "SEQUENCE")   ? "a list"
                       : strstr(expecting, "MAPPING_") ? "a mapping"
                                                       : "a value";
    if (!c->n_fields)
        return err_set(reterr, ERR_INVALID, "%s:%d:%d: expected settings as 'key: value', found %s", name,
                       c->line ? c->line : 1, c->column ? c->column : 1, what);
    return err_set_at(reterr, ERR_INVALID, key, "%s:%d:%d: %s: expected %s, found %s", name, c->line, c->column, key,
                      strncmp(expecting, "MAPPING", 7) ? "one value" : "settings below it, indented", what);
}

static enum err explain(const struct schema *s, const char *name, const char *text, size_t len, const char *const *keys,
                        size_t n_keys, cyaml_err_t code, struct complaint *c, struct err_info *reterr) {
    const char *rest;
    char key[128];
    int line = c->line ? c->line : 1, column = c->column ? c->column : 1;
    if (code == CYAML_ERR_OOM)
        return err_set(reterr, ERR_NO_MEMORY, "%s could not be read: out of memory", name);
    if (code == CYAML_ERR_ALIAS)
        return err_set(reterr, ERR_INVALID, "%s:%d:%d: aliases (*name) are not allowed: write the value out", name,
                       line, column);
    if (starts_with(c->problem, "Unexpected key: ", &rest)) {
        find_key(text, len, rest, &line, &column);
        join_key(key, c->n_fields ? c->fields[0] : "", rest);
        const char *meant = guess(keys, n_keys, key);
        return err_set_at(reterr, ERR_INVALID, key, "%s:%d:%d: unknown key '%s'%s%s%s", name, line, column, key,
                          meant ? ": did you mean '" : ": see docs/config.md for those there are", meant ? meant : "",
                          meant ? "'?" : "");
    }
    if (starts_with(c->problem, "Mapping field already seen: ", &rest)) {
        find_key(text, len, rest, &line, &column);
        join_key(key, c->n_fields > 1 ? c->fields[1] : "", rest);
        return err_set_at(reterr, ERR_INVALID, key, "%s:%d:%d: the key '%s' is given twice: remove one of them", name,
                          line, column, key);
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

enum err yaml_read(const char *name, const char *text, size_t len, const char *const *keys, size_t n_keys,
                   struct yaml_value *values, struct err_info *reterr) {
    if (n_keys > MAX_KEYS)
        return err_set(reterr, ERR_INTERNAL, "more than %zu keys", MAX_KEYS);
    struct schema s;
    struct complaint c;
    struct level *top;
    schema_init(&s, keys, n_keys, SIZE_MAX);
    cyaml_err_t code = load(&s, text, len, &c, &top);
    if (code != CYAML_OK)
        return explain(&s, name, text, len, keys, n_keys, code, &c, reterr);
    enum err e = ERR_OK;
    if (c.more_documents)
        e = err_set(reterr, ERR_INVALID, "%s: holds more than one document: remove the '---' between them", name);
    for (size_t i = 0; i < n_keys && top && e == ERR_OK; i++) {
        const char *dot = strchr(keys[i], '.');
        const struct level *level = top;
        if (dot)
            level = top->sections[section_index(&s, keys[i], (size_t)(dot - keys[i]))];
        if (!level || !level->strings[i])
            continue;
        values[i].text = strdup(level->strings[i]);
        if (!values[i].text)
            e = err_set(reterr, ERR_NO_MEMORY, "%s could not be read: out of memory", name);
        else
            find_value(text, len, keys, n_keys, i, &values[i]);
    }
    unload(&s, top);
    return e;
}

void yaml_values_finish(struct yaml_value *values, size_t n_values) {
    for (size_t i = 0; i < n_values; i++) {
        free(values[i].text);
        values[i] = (struct yaml_value){};
    }
}
