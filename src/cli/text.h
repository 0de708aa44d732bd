/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdio.h>

#include "base/buf.h"

/*
 * Text on a terminal: what came from elsewhere is made harmless (control characters and broken UTF-8 become '?'), and
 * its width in columns is known.
 *
 * Threads: any, after setlocale(LC_CTYPE, …) to a UTF-8 locale; in another one everything beyond ASCII is one wide.
 */
enum text_color { TEXT_PLAIN, TEXT_BOLD, TEXT_DIM, TEXT_GREEN, TEXT_YELLOW, TEXT_RED };

void text_append(struct buf *out, const char *text);
/* Columns that a harmless text takes. */
size_t text_width(const char *text);
/* "\033[32m", or "" where `on` is false */
const char *text_color(enum text_color color, bool on);
const char *text_color_off(bool on);

/* Columns of the terminal behind `out`; 0: it is none, or does not tell. */
size_t text_terminal_width(FILE *out);

/*
 * A table: rows of cells, aligned in columns. The first row is the heading. Where the terminal is too narrow, the last
 * column goes to lines of its own, and where that is not enough each row is shown as a list of its members.
 * Life cycle: zero-initialise with .n_columns → table_cell()… → table_print() → table_finish().
 */
constexpr size_t TABLE_COLUMNS_MAX = 12;

struct table_cell {
    char *text; /* owned, harmless */
    enum text_color color;
};

struct table {
    size_t n_columns;
    unsigned right;           /* bits of the columns that are aligned to the right */
    size_t max_width;         /* 0: any */
    struct table_cell *cells; // Private state
    size_t n_cells, cap;
    bool failed;
};

[[gnu::format(printf, 3, 4)]] void table_cell(struct table *table, enum text_color color, const char *format, ...);
void table_print(const struct table *table, bool color, FILE *out);
void table_finish(struct table *table);
