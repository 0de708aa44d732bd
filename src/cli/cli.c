/* SPDX-License-Identifier: MPL-2.0 */
#include "cli/cli.h"

#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/client.h"
#include "cli/site.h"
#include "cli/text.h"
#include "config/config.h"

const struct command *const COMMANDS[] = {
    &COMMAND_STATUS,  &COMMAND_PEERS,    &COMMAND_ENDPOINTS,  &COMMAND_STREAMS, &COMMAND_CONNECT, &COMMAND_DISCONNECT,
    &COMMAND_LATENCY, &COMMAND_GLITCHES, &COMMAND_CREATE,     &COMMAND_SET,     &COMMAND_DELETE,  &COMMAND_WATCH,
    &COMMAND_ID,      &COMMAND_VERSION,  &COMMAND_COMPLETION, &COMMAND_NAMES,   &COMMAND_HELP,    nullptr,
};

const struct option_def CLI_OPTIONS[] = {
    [CLI_OPTION_JSON] = {0, "json", OPTION_FLAG, nullptr, "Print JSON instead of tables and sentences."},
    [CLI_OPTION_ADDR] = {'a', "addr", OPTION_VALUE, "HOST:PORT", "Reach rocd over TCP. $ROCD_ADDR does the same."},
    [CLI_OPTION_SOCKET] = {0, "socket", OPTION_VALUE, "PATH",
                           "Reach rocd over this unix socket. $ROCD_SOCKET does the same."},
    [CLI_OPTION_VIA] = {0, "via", OPTION_VALUE, "PEER",
                        "Ask this peer of the site instead: its name or uid, or HOST:PORT of its API."},
    [CLI_OPTION_HELP] = {'h', "help", OPTION_FLAG, nullptr, "Show help, of a command if one is given."},
    [CLI_OPTION_VERSION] = {0, "version", OPTION_FLAG, nullptr, "Show the version of rocctl."},
    [CLI_N_OPTIONS] = {},
};

static const char DEFAULT_ADDR[] = "127.0.0.1:4040";
/* Where the service of the machine has it (tools/systemd/rocd.service.in). */
static const char SERVICE_SOCKET[] = "/run/rocd/rocd.sock";

const struct command *command_find(const char *name) {
    for (size_t i = 0; COMMANDS[i]; i++)
        if (!strcmp(COMMANDS[i]->name, name))
            return COMMANDS[i];
    return nullptr;
}

static const char *next_command(const void *, size_t i) {
    return COMMANDS[i] ? COMMANDS[i]->name : nullptr;
}

enum cli_exit cli_fail(const struct cli *cli, enum cli_exit exit, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *text = nullptr;
    int n = vasprintf(&text, format, args);
    va_end(args);
    fprintf(cli->err, "rocctl: %s\n", n < 0 ? "out of memory" : text);
    if (n >= 0)
        free(text);
    return exit;
}

/* ---- JSON ---- */

const char *json_str(yyjson_val *object, const char *key) {
    const char *text = yyjson_get_str(yyjson_obj_get(object, key));
    return text ? text : "";
}

double json_num(yyjson_val *object, const char *key, double otherwise) {
    yyjson_val *value = yyjson_obj_get(object, key);
    return yyjson_is_num(value) ? yyjson_get_num(value) : otherwise;
}

void cli_print_json(const struct cli *cli, yyjson_val *value) {
    char *text = yyjson_val_write(value, YYJSON_WRITE_PRETTY_TWO_SPACES, nullptr);
    fprintf(cli->out, "%s\n", text ? text : "null");
    free(text);
}

void cli_print_mut_json(const struct cli *cli, const yyjson_mut_doc *doc) {
    char *text = yyjson_mut_write(doc, YYJSON_WRITE_PRETTY_TWO_SPACES, nullptr);
    fprintf(cli->out, "%s\n", text ? text : "null");
    free(text);
}

/* ---- requests ---- */

enum cli_exit cli_not_reached(const struct cli *cli, const char *why) {
    return cli_fail(
        cli, CLI_UNREACHABLE,
        "rocd is not running at %s (%s): start it with `rocd`, or say where it is with --socket PATH or --addr "
        "HOST:PORT",
        client_where(cli->client), why);
}

/* A problem of RFC 9457: its detail, and one line for each member that is wrong. */
static enum cli_exit show_problem(const struct cli *cli, const char *method, const char *path, long status,
                                  yyjson_val *problem) {
    struct buf text = {};
    const char *detail = json_str(problem, "detail");
    text_append(&text, detail[0] ? detail : json_str(problem, "title"));
    if (!text.len)
        buf_printf(&text, "%s %s was answered with %ld and no reason", method, path, status);
    yyjson_val *errors = yyjson_obj_get(problem, "errors"), *error;
    size_t i, n;
    yyjson_arr_foreach(errors, i, n, error) {
        if (n == 1 && strstr(detail, json_str(error, "detail")))
            continue;
        buf_append_str(&text, "\n  ");
        text_append(&text, json_str(error, "pointer"));
        buf_append_str(&text, ": ");
        text_append(&text, json_str(error, "detail"));
    }
    cli_fail(cli, CLI_FAILED, "%s", text.data ? text.data : "out of memory");
    buf_finish(&text);
    return CLI_FAILED;
}

enum cli_exit cli_request(struct cli *cli, const char *method, const char *path, const char *body, yyjson_doc **ret) {
    struct buf answer = {};
    struct err_info info;
    long status = 0;
    enum err e = client_request(cli->client, method, path, body, &status, &answer, &info);
    if (e != ERR_OK) {
        buf_finish(&answer);
        return e == ERR_UNAVAILABLE ? cli_not_reached(cli, info.message)
                                    : cli_fail(cli, CLI_FAILED, "%s", info.message);
    }
    yyjson_doc *doc = answer.len ? yyjson_read(answer.data, answer.len, 0) : nullptr;
    bool is_good = status >= 200 && status < 300;
    enum cli_exit exit = CLI_OK;
    if (!is_good)
        exit = show_problem(cli, method, path, status, yyjson_doc_get_root(doc));
    else if (answer.len && !doc)
        exit = cli_fail(cli, CLI_FAILED, "%s does not speak like rocd: %s %s gave no JSON", client_where(cli->client),
                        method, path);
    if (exit != CLI_OK) {
        yyjson_doc_free(doc);
        doc = nullptr;
    } else {
        *ret = doc;
    }
    buf_finish(&answer);
    return exit;
}

enum cli_exit cli_create(struct cli *cli, const char *path, const yyjson_mut_doc *doc, const char *verb,
                         const char *uid_member) {
    _cleanup_(freep) char *body = yyjson_mut_write(doc, 0, nullptr);
    if (!body)
        return cli_fail(cli, CLI_FAILED, "out of memory, or a text that is not UTF-8");
    yyjson_doc *made = nullptr;
    enum cli_exit exit = cli_request(cli, "POST", path, body, &made);
    if (exit != CLI_OK)
        return exit;
    yyjson_val *root = yyjson_doc_get_root(made);
    if (cli->json) {
        cli_print_json(cli, root);
    } else {
        struct buf name = {};
        text_append(&name, json_str(root, "display_name"));
        fprintf(cli->out, "%s %s  %s\n", verb, json_str(root, uid_member), name.data ? name.data : "");
        buf_finish(&name);
    }
    yyjson_doc_free(made);
    return CLI_OK;
}

/* ---- the program ---- */

/* Options and arguments of the command line may be mixed: the first word that is neither an option nor its value. */
static int find_command(int argc, const char **argv) {
    for (int i = 0; i < argc; i++) {
        if (argv[i][0] != '-' || !argv[i][1])
            return i;
        if (!strcmp(argv[i], "-a") || !strcmp(argv[i], "--addr") || !strcmp(argv[i], "--socket") ||
            !strcmp(argv[i], "--via"))
            i++;
    }
    return argc;
}

/* What was said, else the environment, else the usual socket if it is there, else the usual port. */
static enum err connect_client(struct cli *cli, const struct option_result *options, struct err_info *reterr) {
    const char *addr = options[CLI_OPTION_ADDR].value, *socket = options[CLI_OPTION_SOCKET].value;
    if (addr && socket)
        return err_set(reterr, ERR_INVALID, "--addr and --socket are both given: give one of them");
    if (!addr && !socket) {
        socket = getenv("ROCD_SOCKET");
        addr = socket ? nullptr : getenv("ROCD_ADDR");
    }
    _cleanup_(freep) char *state_dir = config_default_state_dir();
    _cleanup_(freep) char *usual = state_dir ? config_default_socket(state_dir) : nullptr;
    if (!addr && !socket) {
        if (usual && access(usual, F_OK) == 0)
            socket = usual;
        else if (access(SERVICE_SOCKET, R_OK | W_OK) == 0)
            socket = SERVICE_SOCKET;
        else
            addr = DEFAULT_ADDR;
    }
    return client_create(addr, socket, &cli->client, reterr);
}

/* "192.0.2.1:4040": no name that anybody would type */
static bool is_address(const char *text) {
    const char *colon = strrchr(text, ':');
    return colon && colon[1] && !colon[1 + strspn(colon + 1, "0123456789")];
}

/* Whether the client talks to the peer that was meant. APIs listen on loopback addresses, so that of a peer on another
 * computer leads, from here, to somebody else or to nobody. */
static enum cli_exit check_peer(struct cli *cli, yyjson_val *peer) {
    yyjson_doc *doc = nullptr;
    struct buf answer = {};
    struct err_info info;
    long status = 0;
    bool good = client_request(cli->client, "GET", "/peers/self", nullptr, &status, &answer, &info) == ERR_OK &&
                status == 200 && (doc = yyjson_read(answer.data, answer.len, 0)) &&
                !strcmp(json_str(yyjson_doc_get_root(doc), "peer_uid"), json_str(peer, "peer_uid"));
    yyjson_doc_free(doc);
    buf_finish(&answer);
    if (good)
        return CLI_OK;
    return cli_fail(
        cli, CLI_UNREACHABLE,
        "the API of '%s' is at %s, and from here it is not reached there: an API listens on its own computer "
        "only. Bring it here with ssh -L and give --via HOST:PORT, or do without --via: every peer of a "
        "site answers for all",
        json_str(peer, "name"), client_where(cli->client));
}

/* From the rocd that is asked to the one that should be. */
static enum cli_exit go_via(struct cli *cli, const char *typed) {
    struct client *client = nullptr;
    yyjson_doc *peers = nullptr;
    yyjson_val *peer = nullptr;
    struct err_info info;
    enum cli_exit exit = cli_request(cli, "GET", "/peers", nullptr, &peers);
    if (exit != CLI_OK)
        return exit;
    enum err e = site_find_peer(yyjson_doc_get_root(peers), typed, &peer, &info);
    if (e == ERR_OK && peer != site_self(yyjson_doc_get_root(peers))) {
        if (json_str(peer, "address")[0])
            e = client_create(json_str(peer, "address"), nullptr, &client, &info);
        else
            e = err_set(&info, ERR_NOT_FOUND, "it is not known where the API of '%s' is: give --via HOST:PORT", typed);
    }
    if (e != ERR_OK) {
        exit = cli_fail(cli, CLI_FAILED, "%s", info.message);
    } else if (client) {
        client_destroy(cli->client);
        cli->client = client;
        exit = check_peer(cli, peer);
    }
    yyjson_doc_free(peers);
    return exit;
}

static enum cli_exit usage(const struct cli *cli, const struct command *command, const char *message) {
    cli_fail(cli, CLI_USAGE, "%s", message);
    fprintf(cli->err, "usage: rocctl %s %s\n", command->name, command->args);
    return CLI_USAGE;
}

static enum cli_exit run(struct cli *cli, const struct command *command, int argc, const char **argv) {
    struct option_def defs[CLI_OPTIONS_MAX] = {};
    struct option_result results[CLI_OPTIONS_MAX] = {};
    size_t n_own = command->options ? option_count(command->options) : 0;
    memcpy(defs, CLI_OPTIONS, CLI_N_OPTIONS * sizeof *defs);
    if (n_own)
        memcpy(defs + CLI_N_OPTIONS, command->options, n_own * sizeof *defs);
    struct err_info info;
    int n_args = 0;
    if (option_parse(defs, argc, argv, results, &n_args, &info) != ERR_OK)
        return usage(cli, command, info.message);
    if (results[CLI_OPTION_HELP].count) {
        command_help(command, cli->out);
        return CLI_OK;
    }
    if (n_args < command->min_args)
        (void)err_set(&info, ERR_INVALID, "%s needs %s%s", command->name, n_args ? "more: " : "", command->args);
    else if (n_args > command->max_args)
        (void)err_set(&info, ERR_INVALID, "%s does not know what to do with '%s'", command->name,
                      argv[command->max_args]);
    else
        info.code = ERR_OK;
    if (info.code != ERR_OK)
        return usage(cli, command, info.message);
    cli->json = results[CLI_OPTION_JSON].count > 0;
    const char *via = results[CLI_OPTION_VIA].value;
    enum err e =
        via && is_address(via) ? client_create(via, nullptr, &cli->client, &info) : connect_client(cli, results, &info);
    if (e != ERR_OK)
        return cli_fail(cli, e == ERR_INVALID ? CLI_USAGE : CLI_FAILED, "%s", info.message);
    enum cli_exit exit = via && !is_address(via) ? go_via(cli, via) : CLI_OK;
    if (exit == CLI_OK)
        exit = command->run(cli, argv, n_args, results + CLI_N_OPTIONS);
    client_destroy(cli->client);
    cli->client = nullptr;
    if (fflush(cli->out) && exit == CLI_OK)
        return cli_fail(cli, CLI_FAILED, "the output could not be written");
    return exit;
}

static bool wants_color(FILE *out) {
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(fileno(out)) && !(no_color && no_color[0]) && term && strcmp(term, "dumb");
}

/* No command: only --help and --version make sense. */
static enum cli_exit run_without_command(struct cli *cli, int argc, const char **argv) {
    struct option_result results[CLI_N_OPTIONS] = {};
    struct err_info info;
    int n_args = 0;
    if (option_parse(CLI_OPTIONS, argc, argv, results, &n_args, &info) != ERR_OK)
        return cli_fail(cli, CLI_USAGE, "%s", info.message);
    if (results[CLI_OPTION_VERSION].count) {
        fprintf(cli->out, "rocctl %s\n", ROCD_VERSION);
        return CLI_OK;
    }
    command_help(nullptr, results[CLI_OPTION_HELP].count ? cli->out : cli->err);
    return results[CLI_OPTION_HELP].count ? CLI_OK : CLI_USAGE;
}

enum cli_exit cli_main(int argc, const char **argv, FILE *out, FILE *err) {
    struct cli cli = {.out = out, .err = err, .color = wants_color(out)};
    if (!setlocale(LC_CTYPE, "") || !strstr(setlocale(LC_CTYPE, nullptr), "UTF-8"))
        setlocale(LC_CTYPE, "C.UTF-8"); /* text of rocd is UTF-8 whatever the environment says */
    int at = find_command(argc, argv);
    if (at == argc)
        return run_without_command(&cli, argc, argv);
    const char *name = argv[at];
    memmove(argv + at, argv + at + 1, (size_t)(argc - at - 1) * sizeof *argv);
    const struct command *command = command_find(name);
    if (command)
        return run(&cli, command, argc - 1, argv);
    const char *meant = option_nearest(name, next_command, nullptr);
    if (meant)
        return cli_fail(&cli, CLI_USAGE, "there is no command '%s': did you mean '%s'?", name, meant);
    return cli_fail(&cli, CLI_USAGE, "there is no command '%s': see `rocctl help`", name);
}
