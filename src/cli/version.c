/* SPDX-License-Identifier: MPL-2.0 */
#include "cli/cli.h"

static enum cli_exit run(struct cli *cli, const char **, int, const struct option_result *) {
    yyjson_doc *doc = nullptr;
    enum cli_exit exit = cli_request(cli, "GET", "/version", nullptr, &doc);
    if (exit != CLI_OK) {
        if (!cli->json)
            fprintf(cli->out, "rocctl %s\n", ROCD_VERSION);
        return exit;
    }
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (cli->json)
        cli_print_json(cli, root);
    else
        fprintf(cli->out, "rocctl %s\nrocd %s (API %s, libroc %s, %s)\n", ROCD_VERSION, json_str(root, "version"),
                json_str(root, "api"), json_str(root, "libroc"), json_str(root, "build"));
    yyjson_doc_free(doc);
    return CLI_OK;
}

const struct command COMMAND_VERSION = {
    .name = "version",
    .args = "",
    .summary = "Show the versions of rocctl, rocd and libroc",
    .run = run,
};
