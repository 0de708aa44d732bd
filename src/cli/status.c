/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/show.h"
#include "cli/site.h"

struct answers {
    yyjson_doc *version;
    struct site site;
};

/* A peer has its state itself, others have it in their status. */
static const char *state_of(yyjson_val *object) {
    yyjson_val *status = yyjson_obj_get(object, "status");
    return json_str(status ? status : object, "state");
}

static size_t count(yyjson_val *list, const char *state) {
    size_t i, n, found = 0;
    yyjson_val *object;
    yyjson_arr_foreach(list, i, n, object) found += !strcmp(state_of(object), state);
    return found;
}

/* "3 streams: 2 running, 1 pending" */
static void print_counts(const struct cli *cli, yyjson_val *list, const char *what, const char *const *states) {
    size_t total = yyjson_arr_size(list);
    fprintf(cli->out, "%zu %s%s", total, what, total == 1 ? "" : "s");
    const char *separator = ": ";
    for (size_t i = 0; states[i]; i++) {
        size_t n = count(list, states[i]);
        if (!n)
            continue;
        fprintf(cli->out, "%s%s%zu %s%s", separator, text_color(show_state_color(states[i]), cli->color), n, states[i],
                text_color_off(cli->color));
        separator = ", ";
    }
    fputc('\n', cli->out);
}

/* What does not work, and why. */
static void print_troubles(const struct cli *cli, const struct answers *a) {
    size_t i, n;
    yyjson_val *object;
    struct buf line = {};
    yyjson_arr_foreach(a->site.peers, i, n, object) {
        if (!json_str(object, "message")[0])
            continue;
        buf_append_str(&line, "  ");
        text_append(&line, json_str(object, "name"));
        buf_printf(&line, " (%s): %s: ", json_str(object, "peer_uid"), json_str(object, "state"));
        text_append(&line, json_str(object, "message"));
        buf_append_str(&line, "\n");
    }
    yyjson_arr_foreach(a->site.streams, i, n, object) {
        yyjson_val *status = yyjson_obj_get(object, "status");
        const char *state = json_str(status, "state");
        if (!strcmp(state, "running") || !strcmp(state, "stopped"))
            continue;
        buf_append_str(&line, "  ");
        text_append(&line, json_str(object, "display_name"));
        buf_printf(&line, " (%s): %s", json_str(object, "stream_uid"), state);
        if (show_reason(status)[0]) {
            buf_append_str(&line, ": ");
            text_append(&line, show_reason(status));
        }
        buf_append_str(&line, "\n");
    }
    yyjson_arr_foreach(a->site.endpoints, i, n, object) {
        yyjson_val *status = yyjson_obj_get(object, "status");
        if (!json_str(status, "message")[0])
            continue;
        buf_append_str(&line, "  ");
        site_show_endpoint(&a->site, &line, object);
        buf_printf(&line, " (%s): %s: ", json_str(object, "endpoint_uid"), json_str(status, "state"));
        text_append(&line, json_str(status, "message"));
        buf_append_str(&line, "\n");
    }
    if (line.data)
        fputs(line.data, cli->out);
    buf_finish(&line);
}

static void print_all(const struct cli *cli, const struct answers *a) {
    static const char *const STREAM_STATES[] = {"running", "degraded", "connecting", "pending",
                                                "failed",  "stopped",  nullptr};
    static const char *const PEER_STATES[] = {"online", "offline", "pending", nullptr};
    static const char *const ENDPOINT_STATES[] = {"available", "unavailable", "error", "disabled", nullptr};
    yyjson_val *version = yyjson_doc_get_root(a->version);
    struct buf name = {}, uptime = {};
    text_append(&name, json_str(a->site.self, "name"));
    show_duration(&uptime, json_num(a->site.self, "uptime_s", 0));
    fprintf(cli->out, "%srocd %s%s at %s, libroc %s\n", text_color(TEXT_BOLD, cli->color), json_str(version, "version"),
            text_color_off(cli->color), client_where(cli->client), json_str(version, "libroc"));
    fprintf(cli->out, "peer %s  %s, up %s\n", json_str(a->site.self, "peer_uid"), name.data ? name.data : "",
            uptime.data ? uptime.data : "?");
    buf_finish(&name);
    buf_finish(&uptime);
    if (site_has_several(&a->site))
        print_counts(cli, a->site.peers, "peer", PEER_STATES);
    print_counts(cli, a->site.endpoints, "endpoint", ENDPOINT_STATES);
    print_counts(cli, a->site.streams, "stream", STREAM_STATES);
    print_troubles(cli, a);
}

static void print_json(const struct cli *cli, const struct answers *a) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(nullptr);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_val(doc, root, "version", yyjson_val_mut_copy(doc, yyjson_doc_get_root(a->version)));
    yyjson_mut_obj_add_val(doc, root, "peer", yyjson_val_mut_copy(doc, a->site.self));
    yyjson_mut_obj_add_val(doc, root, "peers", yyjson_val_mut_copy(doc, a->site.peers));
    yyjson_mut_obj_add_val(doc, root, "endpoints", yyjson_val_mut_copy(doc, a->site.endpoints));
    yyjson_mut_obj_add_val(doc, root, "streams", yyjson_val_mut_copy(doc, a->site.streams));
    cli_print_mut_json(cli, doc);
    yyjson_mut_doc_free(doc);
}

static enum cli_exit run(struct cli *cli, const char **, int, const struct option_result *) {
    struct answers a = {};
    enum cli_exit exit = cli_request(cli, "GET", "/version", nullptr, &a.version);
    if (exit == CLI_OK)
        exit = site_load(cli, &a.site);
    if (exit == CLI_OK && cli->json)
        print_json(cli, &a);
    else if (exit == CLI_OK)
        print_all(cli, &a);
    yyjson_doc_free(a.version);
    site_finish(&a.site);
    return exit;
}

const struct command COMMAND_STATUS = {
    .name = "status",
    .args = "",
    .summary = "Show whether rocd runs, and what does not work",
    .examples = "  rocctl status\n  rocctl status --json | jq .peer.peer_uid\n",
    .run = run,
};
