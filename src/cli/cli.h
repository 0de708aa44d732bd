/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <yyjson.h>

#include "base/err.h"
#include "base/option.h"

struct client;

/*
 * rocctl: what a command sees of the program, and the table of commands. One file a command; each is a constant `struct
 * command` with its options, help and examples, so that parsing, help, the man page and completions agree.
 *
 * Life cycle: one command a process. Threads: one.
 * Texts from rocd are shown through text_append() and table.h, which let no control character through to the terminal.
 */

/* Documented in rocctl(1). */
enum cli_exit { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_UNREACHABLE = 3 };

struct cli {
    FILE *out, *err;
    bool json;
    bool color; /* for `out` */
    struct client *client;
};

struct command {
    const char *name;
    const char *args;    /* "SRC DST" */
    const char *summary; /* one line */
    const char *details; /* paragraphs for its help; may be nullptr */
    const char *examples;
    int min_args, max_args;
    const struct option_def *options;
    const char *const *words; /* for completion: possible first arguments; may be nullptr */
    const char *names; /* for completion: what its arguments name: "endpoints", "streams", "peers"; may be nullptr */
    bool is_hidden;    /* from help and completion: for programs */
    enum cli_exit (*run)(struct cli *cli, const char **args, int n_args, const struct option_result *options);
};

extern const struct command COMMAND_STATUS, COMMAND_ID, COMMAND_PEERS, COMMAND_NAMES, COMMAND_ENDPOINTS,
    COMMAND_STREAMS, COMMAND_LATENCY, COMMAND_GLITCHES, COMMAND_CONNECT, COMMAND_DISCONNECT, COMMAND_CREATE,
    COMMAND_SET, COMMAND_DELETE, COMMAND_WATCH, COMMAND_VERSION, COMMAND_COMPLETION, COMMAND_HELP;

/* In the order of the help; ends with nullptr. */
extern const struct command *const COMMANDS[];
extern const struct option_def CLI_OPTIONS[]; /* that every command knows */
enum cli_option {
    CLI_OPTION_JSON,
    CLI_OPTION_ADDR,
    CLI_OPTION_SOCKET,
    CLI_OPTION_VIA,
    CLI_OPTION_HELP,
    CLI_OPTION_VERSION,
    CLI_N_OPTIONS
};
constexpr size_t CLI_OPTIONS_MAX = 24;

const struct command *command_find(const char *name);
/* Help of one command, or of the program (nullptr). */
void command_help(const struct command *command, FILE *out);

/* The whole program, so that tests can run it. argv without the program's name; it is reordered. */
enum cli_exit cli_main(int argc, const char **argv, FILE *out, FILE *err);

/* "rocctl: …" on the error stream; returns `exit`. */
[[gnu::format(printf, 3, 4)]] enum cli_exit cli_fail(const struct cli *cli, enum cli_exit exit, const char *format,
                                                     ...);

/* ---- requests ---- */

/* One request to rocd. CLI_OK: 2xx, and *ret holds the parsed body (nullptr when it has none; yyjson_doc_free() it).
 * Otherwise the problem has been printed. `body` may be nullptr. */
enum cli_exit cli_request(struct cli *cli, const char *method, const char *path, const char *body, yyjson_doc **ret);
/* Says that nobody answers, why, and what to do; returns CLI_UNREACHABLE. */
enum cli_exit cli_not_reached(const struct cli *cli, const char *why);
/* Indented JSON and a newline. */
void cli_print_json(const struct cli *cli, yyjson_val *value);
/* The same for a value under construction. */
void cli_print_mut_json(const struct cli *cli, const yyjson_mut_doc *doc);
/* POSTs `doc` and shows what was made: as JSON, or with `verb` ("made"), name and uid. */
enum cli_exit cli_create(struct cli *cli, const char *path, const yyjson_mut_doc *doc, const char *verb,
                         const char *uid_member);

/* A member as text, "" when it is missing or no text. */
const char *json_str(yyjson_val *object, const char *key);
double json_num(yyjson_val *object, const char *key, double otherwise);
