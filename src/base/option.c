/* SPDX-License-Identifier: MPL-2.0 */
#include "base/option.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"

size_t option_count(const struct option_def *defs) {
    size_t n = 0;
    while (defs[n].name)
        n++;
    return n;
}

/* ---- what may be meant ---- */

constexpr size_t NEAREST_LEN_MAX = 40;

/* Insertions, deletions, replacements and swaps of neighbours (optimal string alignment). */
static size_t distance(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b);
    if (n > NEAREST_LEN_MAX || m > NEAREST_LEN_MAX)
        return SIZE_MAX;
    size_t rows[3][NEAREST_LEN_MAX + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= m; j++)
        above[j] = j;
    for (size_t i = 1; i <= n; i++) {
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
            best = above[j] + 1 < best ? above[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        size_t *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[m];
}

const char *option_nearest(const char *typed, const char *(*next)(const void *arg, size_t i), const void *arg) {
    const char *best = nullptr;
    size_t best_distance = SIZE_MAX, n = strlen(typed);
    const char *candidate;
    for (size_t i = 0; (candidate = next(arg, i)); i++) {
        size_t d = distance(typed, candidate);
        /* what was typed may be the beginning of it */
        if (n >= 2 && !strncmp(typed, candidate, n))
            d = 1;
        if (d < best_distance) {
            best_distance = d;
            best = candidate;
        }
    }
    return best && best_distance <= 1 + n / 4 ? best : nullptr;
}

static const char *next_option(const void *arg, size_t i) {
    return ((const struct option_def *)arg)[i].name;
}

static const char *next_value(const void *arg, size_t i) {
    return ((const char *const *)arg)[i];
}

/* ---- parsing ---- */

struct parser {
    const struct option_def *defs;
    struct option_result *results;
    int argc, at;
    const char **argv;
};

/* How a message names it: "-c, --config". */
static void option_text(const struct option_def *def, char text[static 64]) {
    if (def->letter)
        snprintf(text, 64, "-%c, --%s", def->letter, def->name);
    else
        snprintf(text, 64, "--%s", def->name);
}

static enum err check_value(const struct option_def *def, const char *value, struct err_info *reterr) {
    if (!def->values)
        return ERR_OK;
    for (size_t i = 0; def->values[i]; i++)
        if (!strcmp(def->values[i], value))
            return ERR_OK;
    char all[256] = "";
    size_t n = 0;
    for (size_t i = 0; def->values[i] && n < sizeof all; i++)
        n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", i ? ", " : "", def->values[i]);
    const char *meant = option_nearest(value, next_value, def->values);
    return err_set(reterr, ERR_INVALID, "--%s: expected one of %s, found '%s'%s%s%s", def->name, all, value,
                   meant ? ": did you mean '" : "", meant ? meant : "", meant ? "'?" : "");
}

/* `attached`: the value written in the same word, or nullptr. */
static enum err take(struct parser *p, size_t index, const char *attached, struct err_info *reterr) {
    const struct option_def *def = &p->defs[index];
    struct option_result *r = &p->results[index];
    char text[64];
    option_text(def, text);
    if (def->arg == OPTION_FLAG) {
        if (attached)
            return err_set(reterr, ERR_INVALID, "option %s takes no value, but '%s' is given", text, attached);
        r->count++;
        return ERR_OK;
    }
    const char *value = attached;
    if (!value) {
        if (p->at + 1 >= p->argc)
            return err_set(reterr, ERR_INVALID, "option %s needs a value: %s", text, def->value_name);
        value = p->argv[++p->at];
    }
    enum err e = check_value(def, value, reterr);
    if (e != ERR_OK)
        return e;
    if (def->arg == OPTION_VALUE && r->count)
        return err_set(reterr, ERR_INVALID, "option %s is given twice", text);
    if (def->arg == OPTION_LIST) {
        if (r->n_list == OPTION_LIST_MAX)
            return err_set(reterr, ERR_LIMIT, "option %s is given more than %zu times", text, OPTION_LIST_MAX);
        r->list[r->n_list++] = value;
    }
    r->count++;
    r->value = value;
    return ERR_OK;
}

static enum err parse_long(struct parser *p, const char *word, struct err_info *reterr) {
    size_t len = strcspn(word, "=");
    for (size_t i = 0; p->defs[i].name; i++)
        if (strlen(p->defs[i].name) == len && !strncmp(p->defs[i].name, word, len))
            return take(p, i, word[len] ? word + len + 1 : nullptr, reterr);
    char typed[64];
    snprintf(typed, sizeof typed, "%.*s", len > 63 ? 63 : (int)len, word);
    const char *meant = option_nearest(typed, next_option, p->defs);
    if (meant)
        return err_set(reterr, ERR_INVALID, "unknown option --%s: did you mean --%s?", typed, meant);
    return err_set(reterr, ERR_INVALID, "unknown option --%s: see --help", typed);
}

/* "vvc" or "cFILE": flags until one takes the rest as its value. */
static enum err parse_letters(struct parser *p, const char *letters, struct err_info *reterr) {
    for (; *letters; letters++) {
        size_t i = 0;
        while (p->defs[i].name && p->defs[i].letter != *letters)
            i++;
        if (!p->defs[i].name)
            return err_set(reterr, ERR_INVALID, "unknown option -%c: see --help", *letters);
        bool is_flag = p->defs[i].arg == OPTION_FLAG;
        enum err e = take(p, i, is_flag || !letters[1] ? nullptr : letters + 1, reterr);
        if (e != ERR_OK || !is_flag)
            return e;
    }
    return ERR_OK;
}

enum err option_parse(const struct option_def *defs, int argc, const char **argv, struct option_result *results,
                      int *ret_n_args, struct err_info *reterr) {
    struct parser p = {.defs = defs, .results = results, .argc = argc, .argv = argv};
    int n_args = 0;
    bool only_args = false;
    for (; p.at < argc; p.at++) {
        const char *word = argv[p.at];
        enum err e = ERR_OK;
        if (only_args || word[0] != '-' || !word[1])
            argv[n_args++] = word;
        else if (!strcmp(word, "--"))
            only_args = true;
        else if (word[1] == '-')
            e = parse_long(&p, word + 2, reterr);
        else
            e = parse_letters(&p, word + 1, reterr);
        if (e != ERR_OK)
            return e;
    }
    *ret_n_args = n_args;
    return ERR_OK;
}

/* ---- texts ---- */

constexpr int HELP_COLUMN = 26;
constexpr int HELP_WIDTH = 100;

static void append_wrapped(struct buf *out, const char *text, int indent) {
    int column = indent;
    while (*text) {
        int n = (int)strcspn(text, " ");
        if (column > indent && column + 1 + n > HELP_WIDTH) {
            buf_printf(out, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            buf_append_str(out, " ");
            column++;
        }
        buf_append(out, text, (size_t)n);
        column += n;
        text += n;
        text += strspn(text, " ");
    }
    buf_append_str(out, "\n");
}

void option_help(const struct option_def *defs, struct buf *out) {
    for (const struct option_def *d = defs; d->name; d++) {
        char left[80];
        int n = d->letter ? snprintf(left, sizeof left, "  -%c, --%s", d->letter, d->name)
                          : snprintf(left, sizeof left, "      --%s", d->name);
        if (d->arg != OPTION_FLAG)
            n += snprintf(left + n, sizeof left - (size_t)n, " %s", d->value_name);
        buf_append_str(out, left);
        if (n + 2 > HELP_COLUMN)
            buf_printf(out, "\n%*s", HELP_COLUMN, "");
        else
            buf_printf(out, "%*s", HELP_COLUMN - n, "");
        append_wrapped(out, d->help, HELP_COLUMN);
    }
}

static void append_roff(struct buf *out, const char *text) {
    for (; *text; text++) {
        if (*text == '-' || *text == '\\')
            buf_append_str(out, *text == '-' ? "\\-" : "\\e");
        else
            buf_append(out, text, 1);
    }
}

void option_man(const struct option_def *defs, struct buf *out) {
    for (const struct option_def *d = defs; d->name; d++) {
        buf_append_str(out, ".TP\n\\fB");
        if (d->letter)
            buf_printf(out, "\\-%c\\fR, \\fB", d->letter);
        buf_append_str(out, "\\-\\-");
        append_roff(out, d->name);
        buf_append_str(out, "\\fR");
        if (d->arg != OPTION_FLAG)
            buf_printf(out, " \\fI%s\\fR", d->value_name);
        buf_append_str(out, "\n");
        append_roff(out, d->help);
        buf_append_str(out, "\n");
    }
}

void option_words(const struct option_def *defs, struct buf *out) {
    for (const struct option_def *d = defs; d->name; d++) {
        buf_printf(out, "%s--%s", out->len ? " " : "", d->name);
        if (d->letter)
            buf_printf(out, " -%c", d->letter);
    }
}
