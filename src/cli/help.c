/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "base/buf.h"
#include "cli/cli.h"

static void print(struct buf *text, FILE *out) {
    if (text->data)
        fputs(text->data, out);
    buf_finish(text);
}

static void program_help(FILE *out) {
    struct buf text = {};
    buf_append_str(&text, "rocctl commands rocd, which moves sound between computers.\n\n"
                          "usage: rocctl COMMAND [OPTION…]\n\ncommands:\n");
    for (size_t i = 0; COMMANDS[i]; i++)
        if (!COMMANDS[i]->is_hidden)
            buf_printf(&text, "  %-12s %s\n", COMMANDS[i]->name, COMMANDS[i]->summary);
    buf_append_str(&text, "\noptions of every command:\n");
    option_help(CLI_OPTIONS, &text);
    buf_append_str(
        &text,
        "\nWithout --addr and --socket rocctl takes $ROCD_SOCKET, $ROCD_ADDR, the usual socket if there is one, and\n"
        "else 127.0.0.1:4040. In a site of several peers an endpoint is PEER/ENDPOINT, and any peer answers for all.\n"
        "Exit status: 0 done, 1 failed, 2 wrong usage, 3 rocd cannot be reached.\n\n"
        "examples:\n"
        "  rocctl create tone Test --frequency 440\n"
        "  rocctl connect Test rtp+rs8m://192.0.2.10:10001 --latency 100\n"
        "  rocctl connect office/Radio kitchen/Speaker\n"
        "  rocctl watch\n");
    print(&text, out);
}

void command_help(const struct command *command, FILE *out) {
    if (!command) {
        program_help(out);
        return;
    }
    struct buf text = {};
    buf_printf(&text, "%s\n\nusage: rocctl %s %s\n", command->summary, command->name, command->args);
    if (command->details)
        buf_printf(&text, "\n%s\n", command->details);
    buf_append_str(&text, "\noptions:\n");
    if (command->options)
        option_help(command->options, &text);
    option_help(CLI_OPTIONS, &text);
    if (command->examples)
        buf_printf(&text, "\nexamples:\n%s", command->examples);
    print(&text, out);
}

static enum cli_exit run(struct cli *cli, const char **args, int n_args, const struct option_result *) {
    const struct command *command = n_args ? command_find(args[0]) : nullptr;
    if (n_args && !command)
        return cli_fail(cli, CLI_USAGE, "there is no command '%s': see `rocctl help`", args[0]);
    command_help(command, cli->out);
    return CLI_OK;
}

const struct command COMMAND_HELP = {
    .name = "help",
    .args = "[COMMAND]",
    .summary = "Show help, of a command if one is given",
    .max_args = 1,
    .run = run,
};
