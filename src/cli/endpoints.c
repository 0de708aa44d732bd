/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "cli/cli.h"
#include "cli/show.h"
#include "cli/site.h"

static bool is_of(yyjson_val *endpoint, const char *peer_uid) {
    return !peer_uid || !strcmp(json_str(endpoint, "peer_uid"), peer_uid);
}

static size_t count(const struct site *site, const char *peer_uid) {
    size_t i, n, n_of = 0;
    yyjson_val *endpoint;
    yyjson_arr_foreach(site->endpoints, i, n, endpoint) n_of += is_of(endpoint, peer_uid);
    return n_of;
}

static void print_json(const struct cli *cli, const struct site *site, const char *peer_uid) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(nullptr);
    yyjson_mut_val *list = yyjson_mut_arr(doc);
    yyjson_mut_doc_set_root(doc, list);
    size_t i, n;
    yyjson_val *endpoint;
    yyjson_arr_foreach(site->endpoints, i, n, endpoint) if (is_of(endpoint, peer_uid))
        yyjson_mut_arr_append(list, yyjson_val_mut_copy(doc, endpoint));
    cli_print_mut_json(cli, doc);
    yyjson_mut_doc_free(doc);
}

/* `peer_uid`: only of that peer; nullptr: all */
static void print_table(const struct cli *cli, const struct site *site, const char *peer_uid) {
    static const char *const HEADING[] = {"UID",    "NAME",  "KIND",   "DIRECTION", "STATE",
                                          "FORMAT", "LEVEL", "VOLUME", "XRUNS",     "REASON"};
    struct table table = {.n_columns = sizeof HEADING / sizeof HEADING[0], .max_width = text_terminal_width(cli->out)};
    for (size_t i = 0; i < table.n_columns; i++)
        table_cell(&table, TEXT_DIM, "%s", HEADING[i]);
    size_t i, n;
    yyjson_val *endpoint;
    yyjson_arr_foreach(site->endpoints, i, n, endpoint) {
        if (!is_of(endpoint, peer_uid))
            continue;
        yyjson_val *status = yyjson_obj_get(endpoint, "status");
        const char *state = json_str(status, "state");
        double rate = json_num(status, "rate_hz", 0), channels = json_num(status, "channels", 0);
        struct buf level = {}, name = {};
        site_show_endpoint(site, &name, endpoint);
        show_level(&level, yyjson_obj_get(status, "level_dbfs"));
        table_cell(&table, TEXT_PLAIN, "%s", json_str(endpoint, "endpoint_uid"));
        table_cell(&table, TEXT_BOLD, "%s", name.data ? name.data : "");
        table_cell(&table, TEXT_PLAIN, "%s", json_str(endpoint, "kind"));
        table_cell(&table, TEXT_PLAIN, "%s", json_str(endpoint, "stream_direction"));
        table_cell(&table, show_state_color(state), "%s", state);
        if (rate > 0)
            table_cell(&table, TEXT_PLAIN, "%g Hz × %g", rate, channels);
        else
            table_cell(&table, TEXT_PLAIN, "-");
        table_cell(&table, TEXT_PLAIN, "%s", level.data ? level.data : "-");
        if (!yyjson_is_num(yyjson_obj_get(status, "volume")))
            table_cell(&table, TEXT_PLAIN, "-");
        else if (yyjson_get_bool(yyjson_obj_get(status, "muted")))
            table_cell(&table, TEXT_DIM, "muted");
        else
            table_cell(&table, TEXT_PLAIN, "%.0f %%", 100 * json_num(status, "volume", 0));
        if (yyjson_is_num(yyjson_obj_get(status, "xruns")))
            table_cell(&table, TEXT_PLAIN, "%.0f", json_num(status, "xruns", 0));
        else
            table_cell(&table, TEXT_PLAIN, "-");
        table_cell(&table, TEXT_PLAIN, "%s", json_str(status, "message"));
        buf_finish(&level);
        buf_finish(&name);
    }
    table_print(&table, cli->color, cli->out);
    table_finish(&table);
}

static enum cli_exit run(struct cli *cli, const char **args, int n_args, const struct option_result *) {
    struct site site = {};
    struct err_info info;
    yyjson_val *peer = nullptr;
    enum cli_exit exit = site_load(cli, &site);
    if (exit == CLI_OK && n_args > 0 && site_find_peer(site.peers, args[0], &peer, &info) != ERR_OK)
        exit = cli_fail(cli, CLI_FAILED, "%s", info.message);
    const char *peer_uid = peer ? json_str(peer, "peer_uid") : nullptr;
    if (exit != CLI_OK)
        ; /* has been told */
    else if (cli->json)
        print_json(cli, &site, peer_uid);
    else if (count(&site, peer_uid))
        print_table(cli, &site, peer_uid);
    else
        fputs("There are no endpoints yet: make one with `rocctl create`.\n", cli->out);
    site_finish(&site);
    return exit;
}

const struct command COMMAND_ENDPOINTS = {
    .name = "endpoints",
    .args = "[PEER]",
    .summary = "List where sound comes from and goes to",
    .details = "In a site of several peers the endpoints of all are listed, as PEER/ENDPOINT, or those of one.",
    .examples = "  rocctl endpoints\n  rocctl endpoints kitchen\n",
    .max_args = 1,
    .names = "peers",
    .run = run,
};
