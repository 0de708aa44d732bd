/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "cli/cli.h"
#include "cli/show.h"
#include "cli/site.h"

static void row(struct table *table, yyjson_val *peer, bool is_self) {
    const char *state = json_str(peer, "state"), *node_id = json_str(peer, "node_id"), *role = json_str(peer, "role");
    const char *address = json_str(peer, "signaling_address");
    if (!address[0])
        address = json_str(peer, "address");
    table_cell(table, TEXT_BOLD, "%s", json_str(peer, "name"));
    table_cell(table, TEXT_PLAIN, "%s", json_str(peer, "peer_uid"));
    table_cell(table, show_state_color(state), "%s", state);
    table_cell(table, TEXT_PLAIN, "%s", is_self ? "self" : role[0] ? role : "-");
    table_cell(table, TEXT_PLAIN, "%s", address[0] ? address : "-");
    table_cell(table, TEXT_PLAIN, "%s", json_str(peer, "version")[0] ? json_str(peer, "version") : "-");
    /* the first two of eight groups: enough to tell peers apart, and seen at a glance to be not all of it */
    table_cell(table, TEXT_PLAIN, strlen(node_id) > 15 ? "%.15s-…" : "%.15s", node_id[0] ? node_id : "-");
    table_cell(table, TEXT_PLAIN, "%s", json_str(peer, "message"));
}

static void print_table(const struct cli *cli, yyjson_val *peers) {
    static const char *const HEADING[] = {"NAME", "UID", "STATE", "ROLE", "ADDRESS", "VERSION", "NODE ID", "REASON"};
    struct table table = {.n_columns = sizeof HEADING / sizeof HEADING[0], .max_width = text_terminal_width(cli->out)};
    for (size_t i = 0; i < table.n_columns; i++)
        table_cell(&table, TEXT_DIM, "%s", HEADING[i]);
    yyjson_val *self = site_self(peers);
    size_t i, n;
    yyjson_val *peer;
    yyjson_arr_foreach(peers, i, n, peer) row(&table, peer, peer == self);
    table_print(&table, cli->color, cli->out);
    table_finish(&table);
}

static enum cli_exit run(struct cli *cli, const char **, int, const struct option_result *) {
    yyjson_doc *doc = nullptr;
    enum cli_exit exit = cli_request(cli, "GET", "/peers", nullptr, &doc);
    if (exit != CLI_OK)
        return exit;
    yyjson_val *peers = yyjson_doc_get_root(doc);
    if (cli->json)
        cli_print_json(cli, peers);
    else
        print_table(cli, peers);
    yyjson_doc_free(doc);
    return CLI_OK;
}

const struct command COMMAND_PEERS = {
    .name = "peers",
    .args = "",
    .summary = "List the peers of the site",
    .details = "Peers are listed under site.peers in the configuration file. ROLE is what the peer that answers lets\n"
               "another do: viewer, operator or admin.",
    .examples = "  rocctl peers\n  rocctl peers --json | jq -r '.[].node_id'\n",
    .run = run,
};
