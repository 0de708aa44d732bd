/* SPDX-License-Identifier: MPL-2.0 */
#include "cli/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

/* Length of the valid UTF-8 sequence at `s`, and its character; 0: none (overlong, surrogate, cut). */
static size_t decode(const unsigned char *s, uint32_t *ret) {
    static const uint32_t LEAST[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = s[0] < 0x80 ? 1 : (s[0] & 0xE0) == 0xC0 ? 2 : (s[0] & 0xF0) == 0xE0 ? 3 : (s[0] & 0xF8) == 0xF0 ? 4 : 0;
    if (n < 2) {
        *ret = s[0];
        return n;
    }
    uint32_t c = s[0] & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3F);
    }
    *ret = c;
    return c < LEAST[n] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000) ? 0 : n;
}

/* C0, DEL, C1, and what turns the direction of writing around. */
static bool is_harmful(uint32_t c) {
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) ||
           c == 0x2028 || c == 0x2029;
}

void text_append(struct buf *out, const char *text) {
    const unsigned char *s = (const unsigned char *)text;
    while (*s) {
        uint32_t c = 0;
        size_t n = decode(s, &c);
        if (n == 0 || is_harmful(c))
            buf_append_str(out, "?");
        else
            buf_append(out, s, n);
        s += n ? n : 1;
    }
}

size_t text_width(const char *text) {
    const unsigned char *s = (const unsigned char *)text;
    size_t width = 0;
    while (*s) {
        uint32_t c = 0;
        size_t n = decode(s, &c);
        int w = n ? wcwidth((wchar_t)c) : 1;
        width += w >= 0 ? (size_t)w : 1;
        s += n ? n : 1;
    }
    return width;
}

const char *text_color(enum text_color color, bool on) {
    static const char *const CODES[] = {
        [TEXT_PLAIN] = "",         [TEXT_BOLD] = "\033[1m",    [TEXT_DIM] = "\033[2m",
        [TEXT_GREEN] = "\033[32m", [TEXT_YELLOW] = "\033[33m", [TEXT_RED] = "\033[31m",
    };
    return on ? CODES[color] : "";
}

const char *text_color_off(bool on) {
    return on ? "\033[0m" : "";
}

void table_cell(struct table *t, enum text_color color, const char *format, ...) {
    if (t->n_cells == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 64;
        struct table_cell *cells = realloc(t->cells, cap * sizeof *cells);
        if (!cells) {
            t->failed = true;
            return;
        }
        t->cells = cells;
        t->cap = cap;
    }
    va_list args;
    va_start(args, format);
    char *raw = nullptr;
    int n = vasprintf(&raw, format, args);
    va_end(args);
    struct buf clean = {};
    if (n >= 0)
        text_append(&clean, raw);
    if (n >= 0)
        free(raw);
    char *text = buf_take(&clean, nullptr);
    t->failed = t->failed || !text;
    t->cells[t->n_cells++] = (struct table_cell){text, color};
}

void table_print(const struct table *t, bool color, FILE *out) {
    size_t widths[TABLE_COLUMNS_MAX] = {};
    for (size_t i = 0; i < t->n_cells; i++) {
        size_t w = t->cells[i].text ? text_width(t->cells[i].text) : 0;
        size_t column = i % t->n_columns;
        widths[column] = w > widths[column] ? w : widths[column];
    }
    for (size_t i = 0; i < t->n_cells; i++) {
        const struct table_cell *cell = &t->cells[i];
        const char *text = cell->text ? cell->text : "?";
        size_t column = i % t->n_columns;
        bool last = column + 1 == t->n_columns, right = t->right >> column & 1;
        int pad = (int)(widths[column] - text_width(text));
        fprintf(out, "%*s%s%s%s", right ? pad : 0, "", text_color(cell->color, color), text,
                cell->color == TEXT_PLAIN ? "" : text_color_off(color));
        if (last)
            fputc('\n', out);
        else
            fprintf(out, "%*s", (right ? 0 : pad) + 2, "");
    }
}

void table_finish(struct table *t) {
    for (size_t i = 0; i < t->n_cells; i++)
        free(t->cells[i].text);
    free(t->cells);
    *t = (struct table){};
}
