/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/site.h"
#include "cli/text.h"

/* The pieces of a stream's sound that were lost lately, the newest first. */

static void row(struct table *table, yyjson_val *glitch) {
    yyjson_val *lost = yyjson_obj_get(glitch, "lost_ms");
    table_cell(table, TEXT_PLAIN, "%s", json_str(glitch, "at"));
    table_cell(table, TEXT_YELLOW, "%s", json_str(glitch, "cause"));
    if (yyjson_is_num(lost))
        table_cell(table, TEXT_PLAIN, "%.1f ms", yyjson_get_num(lost));
    else
        table_cell(table, TEXT_PLAIN, "?");
    table_cell(table, TEXT_PLAIN, "%.0f", json_num(glitch, "pieces", 1));
    table_cell(table, TEXT_DIM, "%s", json_str(glitch, "message"));
}

static void print_table(const struct cli *cli, yyjson_val *glitches) {
    static const char *const HEADING[] = {"AT", "CAUSE", "LOST", "PIECES", "WHAT"};
    struct table table = {.n_columns = sizeof HEADING / sizeof HEADING[0],
                          .right = 1 << 2 | 1 << 3,
                          .max_width = text_terminal_width(cli->out)};
    for (size_t i = 0; i < table.n_columns; i++)
        table_cell(&table, TEXT_DIM, "%s", HEADING[i]);
    size_t i, n;
    yyjson_val *glitch;
    yyjson_arr_foreach(glitches, i, n, glitch) row(&table, glitch);
    table_print(&table, cli->color, cli->out);
    table_finish(&table);
}

static enum cli_exit show(struct cli *cli, yyjson_val *stream) {
    char path[160];
    yyjson_doc *answer = nullptr;
    snprintf(path, sizeof path, "%s/glitches", json_str(stream, "stream_uri"));
    enum cli_exit exit = cli_request(cli, "GET", path, nullptr, &answer);
    yyjson_val *glitches = yyjson_doc_get_root(answer);
    if (exit == CLI_OK && cli->json)
        cli_print_json(cli, glitches);
    else if (exit == CLI_OK && yyjson_arr_size(glitches) > 0)
        print_table(cli, glitches);
    else if (exit == CLI_OK)
        fputs("Nothing was lost since rocd was started at the destination.\n", cli->out);
    yyjson_doc_free(answer);
    return exit;
}

static enum cli_exit run(struct cli *cli, const char **args, int, const struct option_result *) {
    return site_with_stream(cli, args[0], show);
}

const struct command COMMAND_GLITCHES = {
    .name = "glitches",
    .args = "STREAM",
    .summary = "Show what of a stream's sound was lost lately, and why",
    .details =
        "STREAM is a name, a uid or the beginning of a uid. The last 64 holes are kept, by the peer that hears them, until\n"
        "it is started anew.",
    .examples = "  rocctl glitches Radio\n  rocctl glitches Radio --json | jq '.[].cause'\n",
    .min_args = 1,
    .max_args = 1,
    .names = "streams",
    .run = run,
};
