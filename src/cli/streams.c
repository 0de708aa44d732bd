/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "cli/cli.h"
#include "cli/show.h"
#include "cli/site.h"

static void cell_ms(struct table *table, yyjson_val *latency, const char *key) {
    double ms = json_num(latency, key, -1);
    if (ms < 0)
        table_cell(table, TEXT_PLAIN, "-");
    else
        table_cell(table, TEXT_PLAIN, "%.0f ms", ms);
}

static void row(struct table *table, yyjson_val *stream, const struct site *site) {
    yyjson_val *status = yyjson_obj_get(stream, "status");
    yyjson_val *packets = yyjson_obj_get(status, "packets");
    const char *state = json_str(status, "state");
    struct buf source = {}, destination = {}, level = {};
    const char *listens_at =
        json_str(yyjson_obj_get(status, "local_uris"), "media"); /* rocd may have chosen the port */
    if (listens_at[0])
        buf_append_str(&source, listens_at);
    else
        site_show_connection(site, &source, yyjson_obj_get(stream, "source"));
    site_show_connection(site, &destination, yyjson_obj_get(stream, "destination"));
    show_level(&level, yyjson_obj_get(status, "level_dbfs"));
    double moved = json_num(packets, "sent", 0) > 0 ? json_num(packets, "sent", 0) : json_num(packets, "received", 0);
    table_cell(table, TEXT_PLAIN, "%s", json_str(stream, "stream_uid"));
    table_cell(table, TEXT_BOLD, "%s", json_str(stream, "display_name"));
    table_cell(table, show_state_color(state), "%s", state);
    table_cell(table, TEXT_PLAIN, "%s", source.data ? source.data : "");
    table_cell(table, TEXT_PLAIN, "%s", destination.data ? destination.data : "");
    cell_ms(table, yyjson_obj_get(status, "latency_ms"), "end_to_end");
    table_cell(table, TEXT_PLAIN, "%.0f", moved);
    table_cell(table, json_num(packets, "lost", 0) > 0 ? TEXT_YELLOW : TEXT_PLAIN, "%.0f",
               json_num(packets, "lost", 0));
    table_cell(table, TEXT_PLAIN, "%s", level.data ? level.data : "-");
    table_cell(table, TEXT_PLAIN, "%s", strcmp(state, "running") ? show_reason(status) : "");
    buf_finish(&source);
    buf_finish(&destination);
    buf_finish(&level);
}

static void print_table(const struct cli *cli, const struct site *site) {
    static const char *const HEADING[] = {"UID",     "NAME",    "STATE", "SOURCE", "DESTINATION",
                                          "LATENCY", "PACKETS", "LOST",  "LEVEL",  "REASON"};
    struct table table = {.n_columns = sizeof HEADING / sizeof HEADING[0],
                          .right = 1 << 5 | 1 << 6 | 1 << 7,
                          .max_width = text_terminal_width(cli->out)};
    for (size_t i = 0; i < table.n_columns; i++)
        table_cell(&table, TEXT_DIM, "%s", HEADING[i]);
    size_t i, n;
    yyjson_val *stream;
    yyjson_arr_foreach(site->streams, i, n, stream) row(&table, stream, site);
    table_print(&table, cli->color, cli->out);
    table_finish(&table);
}

static enum cli_exit run(struct cli *cli, const char **, int, const struct option_result *) {
    struct site site = {};
    enum cli_exit exit = site_load(cli, &site);
    if (exit != CLI_OK)
        return exit;
    if (cli->json)
        cli_print_json(cli, site.streams);
    else if (yyjson_arr_size(site.streams))
        print_table(cli, &site);
    else
        fputs("There are no streams yet: make one with `rocctl connect`.\n", cli->out);
    site_finish(&site);
    return CLI_OK;
}

const struct command COMMAND_STREAMS = {
    .name = "streams",
    .args = "",
    .summary = "List the streams and how they fare",
    .examples = "  rocctl streams\n  rocctl streams --json | jq '.[].status.state'\n",
    .run = run,
};
