/* SPDX-License-Identifier: MPL-2.0 */
#include "cli/cli.h"

/* rocd is asked: the key file is a secret of the daemon's user, and who may command rocd need not be able to read it. */
static enum cli_exit run(struct cli *cli, const char **, int, const struct option_result *) {
    yyjson_doc *doc = nullptr;
    enum cli_exit exit = cli_request(cli, "GET", "/peers/self", nullptr, &doc);
    if (exit == CLI_UNREACHABLE)
        fputs("rocctl: without a running rocd, `rocd --print-id` shows the node id\n", cli->err);
    if (exit != CLI_OK)
        return exit;
    yyjson_val *peer = yyjson_doc_get_root(doc);
    static const char *const MEMBERS[] = {"node_id", "peer_uid", "name"};
    if (!json_str(peer, "node_id")[0]) {
        exit = cli_fail(cli, CLI_FAILED, "this rocd tells no node id");
    } else if (cli->json) {
        yyjson_mut_doc *out = yyjson_mut_doc_new(nullptr);
        yyjson_mut_val *root = yyjson_mut_obj(out);
        yyjson_mut_doc_set_root(out, root);
        for (size_t i = 0; i < sizeof MEMBERS / sizeof *MEMBERS; i++)
            yyjson_mut_obj_add_str(out, root, MEMBERS[i], json_str(peer, MEMBERS[i]));
        cli_print_mut_json(cli, out);
        yyjson_mut_doc_free(out);
    } else {
        fprintf(cli->out, "%s\n", json_str(peer, "node_id"));
    }
    yyjson_doc_free(doc);
    return exit;
}

const struct command COMMAND_ID = {
    .name = "id",
    .args = "",
    .summary = "Show the node id of this peer, for the configuration of others",
    .details = "The node id is the public key of the peer with four characters that tell a slip. Two peers trust each\n"
               "other when each lists the other's node id under site.peers in its configuration file. Where no rocd\n"
               "runs yet, `rocd --print-id` shows it.",
    .examples = "  rocctl id\n  rocctl id --json | jq -r .peer_uid\n",
    .run = run,
};
