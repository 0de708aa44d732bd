/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "cli/cli.h"
#include "cli/site.h"
#include "cli/text.h"

/* For the completions of shells: names as they can be typed, one a line, and nothing when anything goes wrong. */

static const char *const KINDS[] = {"endpoints", "streams", "peers", nullptr};

static void print(const struct cli *cli, struct buf *name) {
    if (name->len)
        fprintf(cli->out, "%s\n", name->data);
    buf_clear(name);
}

static enum cli_exit run(struct cli *cli, const char **args, int, const struct option_result *) {
    struct site site = {};
    enum cli_exit exit = site_load(cli, &site);
    if (exit != CLI_OK)
        return exit;
    struct buf name = {};
    size_t i, n;
    yyjson_val *object;
    if (!strcmp(args[0], "endpoints"))
        yyjson_arr_foreach(site.endpoints, i, n, object) {
            site_show_endpoint(&site, &name, object);
            print(cli, &name);
        }
    else if (!strcmp(args[0], "streams"))
        yyjson_arr_foreach(site.streams, i, n, object) {
            text_append(&name, json_str(object, "display_name"));
            print(cli, &name);
        }
    else if (!strcmp(args[0], "peers"))
        yyjson_arr_foreach(site.peers, i, n, object) {
            text_append(&name, site_peer_name(site.peers, json_str(object, "peer_uid")));
            print(cli, &name);
        }
    else
        exit = cli_fail(cli, CLI_USAGE, "there are no names of '%s': use endpoints, streams or peers", args[0]);
    buf_finish(&name);
    site_finish(&site);
    return exit;
}

const struct command COMMAND_NAMES = {
    .name = "names",
    .args = "endpoints|streams|peers",
    .summary = "Print names, one a line, for the completions of shells",
    .min_args = 1,
    .max_args = 1,
    .words = KINDS,
    .is_hidden = true,
    .run = run,
};
