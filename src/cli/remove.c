/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "cli/cli.h"
#include "cli/resolve.h"
#include "cli/text.h"

/* `disconnect` and `delete`: the same but for the kind of object. */
struct kind {
    const char *list; /* path */
    const char *what, *uid_member, *uri_member, *done;
};

static enum cli_exit remove_object(struct cli *cli, const struct kind *kind, const char *typed) {
    yyjson_doc *list = nullptr, *nothing = nullptr;
    struct err_info info;
    yyjson_val *object = nullptr;
    enum cli_exit exit = cli_request(cli, "GET", kind->list, nullptr, &list);
    if (exit != CLI_OK)
        return exit;
    if (resolve_object(yyjson_doc_get_root(list), kind->uid_member, kind->what, typed, &object, &info) != ERR_OK)
        exit = cli_fail(cli, CLI_FAILED, "%s", info.message);
    else
        exit = cli_request(cli, "DELETE", json_str(object, kind->uri_member), nullptr, &nothing);
    if (exit == CLI_OK && cli->json) {
        fprintf(cli->out, "{\n  \"%s\": \"%s\",\n  \"deleted\": true\n}\n", kind->uid_member,
                json_str(object, kind->uid_member));
    } else if (exit == CLI_OK) {
        struct buf name = {};
        text_append(&name, json_str(object, "display_name"));
        fprintf(cli->out, "%s %s  %s\n", kind->done, json_str(object, kind->uid_member), name.data ? name.data : "");
        buf_finish(&name);
    }
    yyjson_doc_free(nothing);
    yyjson_doc_free(list);
    return exit;
}

static enum cli_exit run_disconnect(struct cli *cli, const char **args, int, const struct option_result *) {
    static const struct kind STREAM = {"/streams", "stream", "stream_uid", "stream_uri", "ended stream"};
    return remove_object(cli, &STREAM, args[0]);
}

static enum cli_exit run_delete(struct cli *cli, const char **args, int, const struct option_result *) {
    static const struct kind ENDPOINT = {"/peers/self/endpoints", "endpoint", "endpoint_uid", "endpoint_uri",
                                         "deleted endpoint"};
    return remove_object(cli, &ENDPOINT, args[0]);
}

const struct command COMMAND_DISCONNECT = {
    .name = "disconnect",
    .args = "STREAM",
    .summary = "End a stream and forget it",
    .details = "STREAM is a name, a uid or the beginning of a uid.",
    .examples = "  rocctl disconnect Radio\n  rocctl disconnect jgn1\n",
    .min_args = 1,
    .max_args = 1,
    .run = run_disconnect,
};

const struct command COMMAND_DELETE = {
    .name = "delete",
    .args = "ENDPOINT",
    .summary = "Remove an endpoint that was made with create",
    .details =
        "ENDPOINT is a name, a uid or the beginning of a uid. Its file stays; streams that use it wait for another.",
    .examples = "  rocctl delete Recorder\n",
    .min_args = 1,
    .max_args = 1,
    .run = run_delete,
};
