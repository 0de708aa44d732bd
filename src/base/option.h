/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct buf;

/*
 * Command lines by table: one list of options drives parsing, the help text, the messages about mistakes and the
 * completion of shells. Understood are -x, -xVALUE, -x VALUE, -vvv, --long, --long=VALUE, --long VALUE, and "--", after
 * which everything is an argument. Options and arguments may be mixed.
 *
 * It is not a registry of what the values mean: those are texts, and their owner checks them.
 *
 * Life cycle: option_parse() fills an array of results, one for each option, that points into argv.
 * Threads: any. Ownership: nothing is allocated.
 */
enum option_arg { OPTION_FLAG, OPTION_VALUE, OPTION_LIST /* a value, may be given several times */ };

struct option_def {
    char letter;      /* 0: none */
    const char *name; /* without the dashes; nullptr ends the table */
    enum option_arg arg;
    const char *value_name;    /* "FILE" */
    const char *help;          /* one sentence */
    const char *const *values; /* those possible, for completion and the check; nullptr: any */
};

constexpr size_t OPTION_LIST_MAX = 8;

struct option_result {
    int count;                         /* how often it was given */
    const char *value;                 /* the last one; nullptr: not given */
    const char *list[OPTION_LIST_MAX]; /* OPTION_LIST: all of them */
    size_t n_list;
};

/* Results are by the index in `defs` and must be zeroed by the caller. Arguments that are no options are moved to the
 * front of `argv` in their order, and counted in *ret_n_args. ERR_INVALID: the message says what is wrong and, where a name
 * is close, what may be meant. */
enum err option_parse(const struct option_def *defs, int argc, const char **argv, struct option_result *results,
                      int *ret_n_args, struct err_info *reterr);

size_t option_count(const struct option_def *defs);
/* "  -c, --config FILE   Read the configuration …" lines, wrapped. */
void option_help(const struct option_def *defs, struct buf *out);
/* The same as roff, for the OPTIONS section of a man page. */
void option_man(const struct option_def *defs, struct buf *out);
/* The words a shell may offer: "--config --help -c …". */
void option_words(const struct option_def *defs, struct buf *out);

/* The candidate nearest to what was typed, or nullptr if none is near enough to be meant. `next(arg, i)` gives candidate
 * i, nullptr ends. */
const char *option_nearest(const char *typed, const char *(*next)(const void *arg, size_t i), const void *arg);
