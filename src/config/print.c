/* SPDX-License-Identifier: MPL-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "config/schema.h"

/* The two texts made from the table: the report of --check-config and the reference page. */

static void print_source(const struct config *c, enum config_key key, struct buf *out) {
    const struct config_source *s = &c->sources[key];
    switch (s->origin) {
    case CONFIG_ORIGIN_DEFAULT:
        buf_append_str(out, "default");
        return;
    case CONFIG_ORIGIN_FILE:
        buf_printf(out, "%s:%d", c->file ? c->file : "file", s->line);
        return;
    case CONFIG_ORIGIN_FLAG:
        buf_append_str(out, CONFIG_SCHEMA[key].flag ? CONFIG_SCHEMA[key].flag : "flag");
        return;
    }
}

bool config_print(const struct config *c, struct buf *out) {
    int key_width = 0, value_width = 0;
    char scratch[160];
    for (int key = 0; key < CONFIG_N_KEYS; key++) {
        int k = (int)strlen(config_key_name((enum config_key)key));
        int v = (int)strlen(config_field_text(c, (enum config_key)key, scratch));
        key_width = k > key_width ? k : key_width;
        value_width = v > value_width && v <= 40 ? v : value_width;
    }
    for (int key = 0; key < CONFIG_N_KEYS; key++) {
        const char *value = config_field_text(c, (enum config_key)key, scratch);
        buf_printf(out, "%-*s  %-*s  ", key_width, config_key_name((enum config_key)key), value_width,
                   value[0] ? value : "\"\"");
        print_source(c, (enum config_key)key, out);
        buf_append_str(out, "\n");
    }
    return !buf_failed(out);
}

static void print_type(const struct config_field *f, struct buf *out) {
    switch (f->type) {
    case CONFIG_TYPE_STRING:
        buf_printf(out, "text, %" PRIu32 " to %" PRIu32 " bytes", f->min, f->max);
        return;
    case CONFIG_TYPE_UINT:
        buf_printf(out, "whole number, %" PRIu32 " to %" PRIu32, f->min, f->max);
        return;
    case CONFIG_TYPE_BOOL:
        buf_append_str(out, "`true` or `false`");
        return;
    case CONFIG_TYPE_WORD:
        for (size_t i = 0; i < CONFIG_WORDS_MAX && f->words[i]; i++)
            buf_printf(out, "%s`%s`", i ? ", " : "", f->words[i]);
        return;
    }
}

static void print_example(struct buf *out) {
    const char *section = "";
    size_t section_len = 0;
    buf_append_str(out, "```yaml\n");
    for (int key = 0; key < CONFIG_N_KEYS; key++) {
        const struct config_field *f = &CONFIG_SCHEMA[key];
        const char *dot = strchr(f->key, '.');
        size_t len = dot ? (size_t)(dot - f->key) : 0;
        if (dot && (len != section_len || memcmp(f->key, section, len)))
            buf_printf(out, "%.*s:\n", (int)len, f->key);
        section = f->key;
        section_len = len;
        buf_printf(out, "%s%s: %s\n", dot ? "  " : "", dot ? dot + 1 : f->key, f->example);
    }
    buf_append_str(out, "```\n");
}

bool config_reference(struct buf *out) {
    buf_append_str(out,
                   "# The configuration file of rocd\n\n"
                   "<!-- Made from the table in src/config/schema.c; a test compares them. To write it again: "
                   "ROCD_UPDATE_DOCS=1 and run the test `config`. -->\n\n"
                   "YAML, read with `rocd -c FILE`; rocd never writes it. A flag wins over what REST has stored, that "
                   "over the file, that over the default. `rocd --check-config -c FILE` shows every value and where it "
                   "comes from. Unknown, repeated and ill-typed keys are refused with line and column, as are aliases, "
                   "lists and files above 256 KiB.\n\n");
    print_example(out);
    for (int key = 0; key < CONFIG_N_KEYS; key++) {
        const struct config_field *f = &CONFIG_SCHEMA[key];
        buf_printf(out, "\n### `%s`\n\n%s\n\n- Type: ", f->key, f->summary);
        print_type(f, out);
        buf_append_str(out, "\n- Default: ");
        if (f->default_text)
            buf_append_str(out, f->default_text);
        else
            buf_printf(out, "`%s`", f->fixed);
        if (f->flag)
            buf_printf(out, "\n- Flag: `%s`", f->flag);
        buf_append_str(out, "\n");
    }
    return !buf_failed(out);
}
