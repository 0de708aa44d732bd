/* SPDX-License-Identifier: MPL-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "config/schema.h"

/* The two texts made from the table: the report of --check-config and the reference page. */

static void print_source(const struct config *c, const struct config_source *s, const char *flag, struct buf *out) {
    switch (s->origin) {
    case CONFIG_ORIGIN_DEFAULT:
        buf_append_str(out, "default");
        return;
    case CONFIG_ORIGIN_FILE:
        buf_printf(out, "%s:%d", c->file ? c->file : "file", s->line);
        return;
    case CONFIG_ORIGIN_FLAG:
        buf_append_str(out, flag ? flag : "flag");
        return;
    }
}

struct widths {
    int key, value;
};

static void print_line(const struct config *c, const struct widths *widths, const char *key, const char *value,
                       const struct config_source *source, const char *flag, struct buf *out) {
    buf_printf(out, "%-*s  %-*s  ", widths->key, key, widths->value, value[0] ? value : "\"\"");
    print_source(c, source, flag, out);
    buf_append_str(out, "\n");
}

static void peer_key(char text[static 64], size_t peer, int key) {
    snprintf(text, 64, "%s[%zu].%s", CONFIG_PEERS_KEY, peer, CONFIG_PEER_SCHEMA[key].key);
}

/* Longer values stand out of their column. */
constexpr int VALUE_WIDTH_MAX = 40;

bool config_print(const struct config *c, struct buf *out) {
    struct widths widths = {};
    char scratch[160], name[64];
    for (int key = 0; key < CONFIG_N_KEYS; key++) {
        int k = (int)strlen(CONFIG_SCHEMA[key].key);
        int v = (int)strlen(config_field_text(c, &CONFIG_SCHEMA[key], scratch));
        widths.key = k > widths.key ? k : widths.key;
        widths.value = v > widths.value && v <= VALUE_WIDTH_MAX ? v : widths.value;
    }
    for (size_t i = 0; i < c->site.n_peers; i++)
        for (int key = 0; key < CONFIG_PEER_N_KEYS; key++) {
            peer_key(name, i, key);
            widths.key = (int)strlen(name) > widths.key ? (int)strlen(name) : widths.key;
        }
    for (int key = 0; key < CONFIG_N_KEYS; key++)
        print_line(c, &widths, CONFIG_SCHEMA[key].key, config_field_text(c, &CONFIG_SCHEMA[key], scratch),
                   &c->sources[key], CONFIG_SCHEMA[key].flag, out);
    for (size_t i = 0; i < c->site.n_peers; i++)
        for (int key = 0; key < CONFIG_PEER_N_KEYS; key++) {
            const struct config_peer *peer = &c->site.peers[i];
            peer_key(name, i, key);
            print_line(c, &widths, name, config_field_text(peer, &CONFIG_PEER_SCHEMA[key], scratch),
                       &peer->sources[key], nullptr, out);
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
    buf_append_str(out, "site:\n  peers:\n");
    for (int key = 0; key < CONFIG_PEER_N_KEYS; key++)
        buf_printf(out, "    %s %s: %s\n", key ? " " : "-", CONFIG_PEER_SCHEMA[key].key,
                   CONFIG_PEER_SCHEMA[key].example);
    buf_append_str(out, "```\n");
}

static void print_peers_reference(struct buf *out) {
    buf_printf(out, "\n### `%s`\n\n%s\n\n- Type: list of at most %zu peers\n- Default: empty\n", CONFIG_PEERS_KEY,
               CONFIG_PEERS_SUMMARY, CONFIG_PEERS_MAX);
    for (int key = 0; key < CONFIG_PEER_N_KEYS; key++) {
        const struct config_field *f = &CONFIG_PEER_SCHEMA[key];
        buf_printf(out, "- `%s`: ", f->key);
        print_type(f, out);
        if (!f->fixed)
            buf_append_str(out, "; must be given. ");
        else
            buf_printf(out, "; %s%s%s if not given. ", f->fixed[0] ? "`" : "none", f->fixed, f->fixed[0] ? "`" : "");
        buf_printf(out, "%s\n", f->summary);
    }
}

bool config_reference(struct buf *out) {
    buf_append_str(out,
                   "# The configuration file of rocd\n\n"
                   "<!-- Made from the table in src/config/schema.c; a test compares them. To write it again: "
                   "ROCD_UPDATE_DOCS=1 and run the test `config`. -->\n\n"
                   "YAML, read with `rocd -c FILE`; rocd never writes it. A flag wins over what REST has stored, that "
                   "over the file, that over the default. `rocd --check-config -c FILE` shows every value and where it "
                   "comes from. Unknown, repeated and ill-typed keys are refused with line and column, as are aliases, "
                   "other lists and files above 256 KiB.\n\n");
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
    print_peers_reference(out);
    return !buf_failed(out);
}
