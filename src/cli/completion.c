/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "base/buf.h"
#include "cli/cli.h"

/* Completions of the shells, all from the table of commands. */

static const char *const SHELLS[] = {"bash", "zsh", "fish", nullptr};

static void append_commands(struct buf *out) {
    for (size_t i = 0; COMMANDS[i]; i++)
        if (!COMMANDS[i]->is_hidden)
            buf_printf(out, "%s%s", i ? " " : "", COMMANDS[i]->name);
}

/* What the value of an option names, nullptr: nothing that rocd knows. */
static const char *names_of_option(const struct option_def *d) {
    static const struct {
        const char *value_name, *names;
    } NAMES[] = {{"PEER", "peers"}, {"STREAM", "streams"}};
    for (size_t i = 0; d->value_name && i < sizeof NAMES / sizeof *NAMES; i++)
        if (!strcmp(d->value_name, NAMES[i].value_name))
            return NAMES[i].names;
    return nullptr;
}

/* Options and first words of one command. */
static void append_words(struct buf *out, const struct command *c) {
    struct buf words = {};
    option_words(CLI_OPTIONS, &words);
    buf_append_str(&words, " ");
    if (c->options) {
        struct buf own = {};
        option_words(c->options, &own);
        buf_append_str(&words, own.data ? own.data : "");
        buf_finish(&own);
    }
    for (size_t i = 0; c->words && c->words[i]; i++)
        buf_printf(&words, " %s", c->words[i]);
    if (c == &COMMAND_HELP) {
        buf_append_str(&words, " ");
        append_commands(&words);
    }
    buf_append_str(out, words.data ? words.data : "");
    buf_finish(&words);
}

static void append_name_cases_of(const struct option_def *defs, struct buf *out) {
    for (const struct option_def *d = defs; d && d->name; d++)
        if (names_of_option(d))
            buf_printf(out, "        --%s) _rocctl_names %s; return ;;\n", d->name, names_of_option(d));
}

/* "--via) _rocctl_names peers; return ;;" for each option that names something. */
static void append_name_cases(struct buf *out) {
    append_name_cases_of(CLI_OPTIONS, out);
    for (size_t i = 0; COMMANDS[i]; i++)
        append_name_cases_of(COMMANDS[i]->options, out);
}

/* "--fec) words="rs8m ldpc none" ;;" for each option with a fixed set of values. */
static void append_value_cases(struct buf *out) {
    for (size_t i = 0; COMMANDS[i]; i++)
        for (const struct option_def *d = COMMANDS[i]->options; d && d->name; d++) {
            if (!d->values)
                continue;
            buf_printf(out, "        --%s) words=\"", d->name);
            for (size_t k = 0; d->values[k]; k++)
                buf_printf(out, "%s%s", k ? " " : "", d->values[k]);
            buf_append_str(out, "\" ;;\n");
        }
}

static void bash(struct buf *out) {
    buf_append_str(
        out,
        "# bash completion of rocctl; made by `rocctl completion bash`\n"
        /* Names are quoted, and never given to compgen -W, which would expand what a name says. */
        "_rocctl_names() {\n"
        "    local name quoted\n"
        "    while IFS= read -r name; do\n"
        "        printf -v quoted %q \"$name\"\n"
        "        [[ $name == \"$current\"* || $quoted == \"$current\"* ]] && COMPREPLY+=(\"$quoted\")\n"
        "    done < <(rocctl \"${where[@]}\" names \"$1\" 2>/dev/null)\n"
        "}\n"
        "_rocctl() {\n"
        "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command= words= names= i\n"
        "    local -a where=()\n"
        "    COMPREPLY=()\n"
        "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
        "        case ${COMP_WORDS[i]} in\n"
        "            -a|--addr|--socket) where+=(\"${COMP_WORDS[i]}\" \"${COMP_WORDS[i+1]}\"); ((i++)) ;;\n"
        "            --via) ((i++)) ;;\n"
        "            -*) ;;\n"
        "            *) command=${COMP_WORDS[i]}; break ;;\n"
        "        esac\n"
        "    done\n"
        "    case $previous in\n"
        "        --socket) COMPREPLY=($(compgen -f -- \"$current\")); return ;;\n");
    append_name_cases(out);
    append_value_cases(out);
    buf_append_str(out, "        *)\n            case $command in\n                '') words=\"");
    append_commands(out);
    buf_append_str(out, " ");
    option_words(CLI_OPTIONS, out);
    buf_append_str(out, "\" ;;\n");
    for (size_t i = 0; COMMANDS[i]; i++) {
        buf_printf(out, "                %s) words=\"", COMMANDS[i]->name);
        append_words(out, COMMANDS[i]);
        buf_printf(out, "\"%s%s ;;\n", COMMANDS[i]->names ? " names=" : "",
                   COMMANDS[i]->names ? COMMANDS[i]->names : "");
    }
    buf_append_str(out, "            esac ;;\n"
                        "    esac\n"
                        "    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
                        "    [[ $names && $current != -* ]] && _rocctl_names \"$names\"\n"
                        "}\n"
                        "complete -F _rocctl rocctl\n");
}

static void zsh(struct buf *out) {
    buf_append_str(out, "#compdef rocctl\n# zsh completion of rocctl; made by `rocctl completion zsh`\n"
                        "_rocctl_names() {\n    compadd -- ${(f)\"$(rocctl names $1 2>/dev/null)\"}\n}\n_rocctl() {\n"
                        "    local -a commands\n    commands=(\n");
    for (size_t i = 0; COMMANDS[i]; i++)
        if (!COMMANDS[i]->is_hidden)
            buf_printf(out, "        '%s:%s'\n", COMMANDS[i]->name, COMMANDS[i]->summary);
    buf_append_str(out,
                   "    )\n    if ((CURRENT == 2)); then\n        _describe command commands\n        return\n    fi\n"
                   "    case ${words[CURRENT-1]} in\n");
    append_name_cases(out);
    buf_append_str(out, "    esac\n    case ${words[2]} in\n");
    for (size_t i = 0; COMMANDS[i]; i++) {
        buf_printf(out, "        %s) compadd -- ", COMMANDS[i]->name);
        append_words(out, COMMANDS[i]);
        if (COMMANDS[i]->names)
            buf_printf(out, "; _rocctl_names %s", COMMANDS[i]->names);
        buf_append_str(out, " ;;\n");
    }
    buf_append_str(out, "    esac\n}\n_rocctl \"$@\"\n");
}

static void fish_options(struct buf *out, const struct option_def *defs, const char *condition) {
    for (const struct option_def *d = defs; d && d->name; d++) {
        buf_printf(out, "complete -c rocctl -f %s -l %s", condition, d->name);
        if (d->letter)
            buf_printf(out, " -s %c", d->letter);
        if (d->arg != OPTION_FLAG)
            buf_append_str(out, " -r");
        for (size_t k = 0; d->values && d->values[k]; k++)
            buf_printf(out, "%s%s%s", k ? " " : " -a '", d->values[k], d->values[k + 1] ? "" : "'");
        if (names_of_option(d))
            buf_printf(out, " -a '(rocctl names %s 2>/dev/null)'", names_of_option(d));
        buf_printf(out, " -d \"%s\"\n", strchr(d->help, '$') ? d->name : d->help);
    }
}

static void fish(struct buf *out) {
    buf_append_str(out, "# fish completion of rocctl; made by `rocctl completion fish`\n");
    fish_options(out, CLI_OPTIONS, "");
    for (size_t i = 0; COMMANDS[i]; i++) {
        const struct command *c = COMMANDS[i];
        if (c->is_hidden)
            continue;
        buf_printf(out, "complete -c rocctl -f -n __fish_use_subcommand -a %s -d '%s'\n", c->name, c->summary);
        char condition[96];
        snprintf(condition, sizeof condition, "-n '__fish_seen_subcommand_from %s'", c->name);
        fish_options(out, c->options, condition);
        for (size_t k = 0; c->words && c->words[k]; k++)
            buf_printf(out, "complete -c rocctl -f %s -a %s\n", condition, c->words[k]);
        if (c->names)
            buf_printf(out, "complete -c rocctl -f %s -a '(rocctl names %s 2>/dev/null)'\n", condition, c->names);
    }
}

static enum cli_exit run(struct cli *cli, const char **args, int, const struct option_result *) {
    static void (*const MAKERS[])(struct buf *) = {bash, zsh, fish};
    for (size_t i = 0; SHELLS[i]; i++) {
        if (strcmp(SHELLS[i], args[0]))
            continue;
        struct buf out = {};
        MAKERS[i](&out);
        if (!buf_failed(&out))
            fputs(out.data, cli->out);
        buf_finish(&out);
        return CLI_OK;
    }
    return cli_fail(cli, CLI_USAGE, "there is no completion for '%s': use bash, zsh or fish", args[0]);
}

const struct command COMMAND_COMPLETION = {
    .name = "completion",
    .args = "bash|zsh|fish",
    .summary = "Print the completion script of a shell",
    .examples = "  source <(rocctl completion bash)\n"
                "  rocctl completion fish >~/.config/fish/completions/rocctl.fish\n",
    .min_args = 1,
    .max_args = 1,
    .words = SHELLS,
    .run = run,
};
