/* SPDX-License-Identifier: MPL-2.0 */
#include "cli/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
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

size_t text_terminal_width(FILE *out) {
    struct winsize size = {};
    return isatty(fileno(out)) && ioctl(fileno(out), TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
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

static const char *cell_text(const struct table *t, size_t i) {
    return t->cells[i].text ? t->cells[i].text : "?";
}

static void print_cell(const struct table *t, size_t i, bool color, FILE *out) {
    const struct table_cell *cell = &t->cells[i];
    fprintf(out, "%s%s%s", text_color(cell->color, color), cell_text(t, i),
            cell->color == TEXT_PLAIN ? "" : text_color_off(color));
}

/* Rows of n columns; what is in the columns after them, if anything, stands below. */
static void print_rows(const struct table *t, const size_t *widths, size_t n, bool color, FILE *out) {
    for (size_t row = 0; row + t->n_columns <= t->n_cells; row += t->n_columns) {
        for (size_t column = 0; column < n; column++) {
            bool last = column + 1 == n, right = t->right >> column & 1;
            int pad = (int)(widths[column] - text_width(cell_text(t, row + column)));
            fprintf(out, "%*s", right ? pad : 0, "");
            print_cell(t, row + column, color, out);
            fprintf(out, "%*s", last ? 0 : (right ? 0 : pad) + 2, "");
        }
        fputc('\n', out);
        for (size_t i = row + n; row > 0 && i < row + t->n_columns; i++)
            if (*cell_text(t, i))
                fprintf(out, "    %s\n", cell_text(t, i));
    }
}

static void print_records(const struct table *t, bool color, FILE *out) {
    size_t width = 0;
    for (size_t column = 1; column < t->n_columns; column++)
        width = text_width(cell_text(t, column)) > width ? text_width(cell_text(t, column)) : width;
    for (size_t row = t->n_columns; row + t->n_columns <= t->n_cells; row += t->n_columns) {
        print_cell(t, row, color, out);
        fputc('\n', out);
        for (size_t column = 1; column < t->n_columns; column++) {
            const char *text = cell_text(t, row + column);
            if (!*text || !strcmp(text, "-"))
                continue;
            fprintf(out, "  %s%*s  ", cell_text(t, column), (int)(width - text_width(cell_text(t, column))), "");
            print_cell(t, row + column, color, out);
            fputc('\n', out);
        }
    }
}

void table_print(const struct table *t, bool color, FILE *out) {
    size_t widths[TABLE_COLUMNS_MAX] = {}, total = 0;
    for (size_t i = 0; i < t->n_cells; i++) {
        size_t w = text_width(cell_text(t, i)), column = i % t->n_columns;
        widths[column] = w > widths[column] ? w : widths[column];
    }
    for (size_t column = 0; column < t->n_columns; column++)
        total += widths[column] + (column ? 2 : 0);
    size_t n = t->n_columns, without_last = total - widths[n - 1] - 2;
    if (!t->max_width || total <= t->max_width)
        print_rows(t, widths, n, color, out);
    else if (n > 1 && without_last <= t->max_width)
        print_rows(t, widths, n - 1, color, out);
    else
        print_records(t, color, out);
}

void table_finish(struct table *t) {
    for (size_t i = 0; i < t->n_cells; i++)
        free(t->cells[i].text);
    free(t->cells);
    *t = (struct table){};
}
