/* SPDX-License-Identifier: MPL-2.0 */
#include "cli/cli.h"
#include "cli/show.h"

static void print_table(const struct cli *cli, yyjson_val *list) {
    static const char *const HEADING[] = {"UID", "NAME", "KIND", "DIRECTION", "STATE", "FORMAT", "LEVEL", "REASON"};
    struct table table = {.n_columns = sizeof HEADING / sizeof HEADING[0], .max_width = text_terminal_width(cli->out)};
    for (size_t i = 0; i < table.n_columns; i++)
        table_cell(&table, TEXT_DIM, "%s", HEADING[i]);
    size_t i, n;
    yyjson_val *endpoint;
    yyjson_arr_foreach(list, i, n, endpoint) {
        yyjson_val *status = yyjson_obj_get(endpoint, "status");
        const char *state = json_str(status, "state");
        double rate = json_num(status, "rate_hz", 0), channels = json_num(status, "channels", 0);
        struct buf level = {};
        show_level(&level, yyjson_obj_get(status, "level_dbfs"));
        table_cell(&table, TEXT_PLAIN, "%s", json_str(endpoint, "endpoint_uid"));
        table_cell(&table, TEXT_BOLD, "%s", json_str(endpoint, "display_name"));
        table_cell(&table, TEXT_PLAIN, "%s", json_str(endpoint, "kind"));
        table_cell(&table, TEXT_PLAIN, "%s", json_str(endpoint, "stream_direction"));
        table_cell(&table, show_state_color(state), "%s", state);
        if (rate > 0)
            table_cell(&table, TEXT_PLAIN, "%g Hz × %g", rate, channels);
        else
            table_cell(&table, TEXT_PLAIN, "-");
        table_cell(&table, TEXT_PLAIN, "%s", level.data ? level.data : "-");
        table_cell(&table, TEXT_PLAIN, "%s", json_str(status, "message"));
        buf_finish(&level);
    }
    table_print(&table, cli->color, cli->out);
    table_finish(&table);
}

static enum cli_exit run(struct cli *cli, const char **, int, const struct option_result *) {
    yyjson_doc *doc = nullptr;
    enum cli_exit exit = cli_request(cli, "GET", "/peers/self/endpoints", nullptr, &doc);
    if (exit != CLI_OK)
        return exit;
    yyjson_val *list = yyjson_doc_get_root(doc);
    if (cli->json)
        cli_print_json(cli, list);
    else if (yyjson_arr_size(list))
        print_table(cli, list);
    else
        fputs("There are no endpoints yet: make one with `rocctl create`.\n", cli->out);
    yyjson_doc_free(doc);
    return CLI_OK;
}

const struct command COMMAND_ENDPOINTS = {
    .name = "endpoints",
    .args = "",
    .summary = "List where sound comes from and goes to",
    .examples = "  rocctl endpoints\n",
    .run = run,
};
