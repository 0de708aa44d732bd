/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/resolve.h"
#include "cli/site.h"
#include "cli/text.h"

/* `disconnect` and `delete`: the same but for the kind of object. */
struct kind {
    const char *uid_member, *uri_member, *done;
    bool is_endpoint;
};

/* Who deletes an endpoint should know whom it is missed by. */
static void tell_users(const struct cli *cli, const struct site *site, const char *uid) {
    size_t i, n, n_users = 0;
    yyjson_val *stream;
    yyjson_arr_foreach(site->streams, i, n, stream) {
        const char *source = json_str(yyjson_obj_get(stream, "source"), "endpoint_uri");
        const char *destination = json_str(yyjson_obj_get(stream, "destination"), "endpoint_uri");
        n_users += strstr(source, uid) || strstr(destination, uid);
    }
    if (n_users > 0)
        fprintf(cli->err, "rocctl: %zu stream%s named it and cannot run any more: see `rocctl streams`\n", n_users,
                n_users == 1 ? "" : "s");
}

static enum err find(const struct kind *kind, const struct site *site, const char *typed, yyjson_val **ret,
                     struct err_info *reterr) {
    return kind->is_endpoint ? site_find_endpoint(site, typed, ret, reterr)
                             : resolve_stream(site->streams, typed, ret, reterr);
}

static void tell(const struct cli *cli, const struct kind *kind, const struct site *site, yyjson_val *object) {
    if (cli->json) {
        fprintf(cli->out, "{\n  \"%s\": \"%s\",\n  \"deleted\": true\n}\n", kind->uid_member,
                json_str(object, kind->uid_member));
        return;
    }
    struct buf name = {};
    if (kind->is_endpoint)
        site_show_endpoint(site, &name, object);
    else
        text_append(&name, json_str(object, "display_name"));
    fprintf(cli->out, "%s %s  %s\n", kind->done, json_str(object, kind->uid_member), name.data ? name.data : "");
    buf_finish(&name);
}

static enum cli_exit remove_object(struct cli *cli, const struct kind *kind, const char *typed, bool is_forced) {
    yyjson_doc *nothing = nullptr;
    struct site site = {};
    struct err_info info;
    yyjson_val *object = nullptr;
    enum cli_exit exit = site_load(cli, &site);
    if (exit != CLI_OK)
        return exit;
    if (find(kind, &site, typed, &object, &info) != ERR_OK) {
        exit = cli_fail(cli, CLI_FAILED, "%s", info.message);
    } else {
        char uri[256];
        snprintf(uri, sizeof uri, "%s%s", json_str(object, kind->uri_member), is_forced ? "?force=true" : "");
        exit = cli_request(cli, "DELETE", uri, nullptr, &nothing);
    }
    if (exit == CLI_OK)
        tell(cli, kind, &site, object);
    if (exit == CLI_OK && kind->is_endpoint)
        tell_users(cli, &site, json_str(object, kind->uid_member));
    yyjson_doc_free(nothing);
    site_finish(&site);
    return exit;
}

static enum cli_exit run_disconnect(struct cli *cli, const char **args, int, const struct option_result *) {
    static const struct kind STREAM = {"stream_uid", "stream_uri", "ended stream", false};
    return remove_object(cli, &STREAM, args[0], false);
}

static const struct option_def DELETE_OPTIONS[] = {
    {'f', "force", OPTION_FLAG, nullptr, "Also when streams use it; they stop, and wait for another.", nullptr},
    {},
};

static enum cli_exit run_delete(struct cli *cli, const char **args, int, const struct option_result *options) {
    static const struct kind ENDPOINT = {"endpoint_uid", "endpoint_uri", "deleted endpoint", true};
    return remove_object(cli, &ENDPOINT, args[0], options[0].count > 0);
}

const struct command COMMAND_DISCONNECT = {
    .name = "disconnect",
    .args = "STREAM",
    .summary = "End a stream and forget it",
    .details = "STREAM is a name, a uid or the beginning of a uid, or one of its sides if no other stream has it.",
    .examples = "  rocctl disconnect Radio\n  rocctl disconnect jgn1\n",
    .min_args = 1,
    .max_args = 1,
    .names = "streams",
    .run = run_disconnect,
};

const struct command COMMAND_DELETE = {
    .name = "delete",
    .args = "ENDPOINT",
    .summary = "Remove an endpoint that was made with create",
    .details =
        "ENDPOINT is a name, a uid or the beginning of a uid; PEER/ENDPOINT where it is another peer's. Its file\n"
        "stays. One that streams use is removed by force only; the streams wait for another.",
    .options = DELETE_OPTIONS,
    .examples = "  rocctl delete Recorder\n  rocctl delete --force kitchen/Recorder\n",
    .min_args = 1,
    .max_args = 1,
    .names = "endpoints",
    .run = run_delete,
};
