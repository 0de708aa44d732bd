/* SPDX-License-Identifier: MPL-2.0 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/id.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/number.h"
#include "cli/resolve.h"
#include "cli/show.h"
#include "cli/sse.h"

enum { TYPES, STREAM, COUNT };

static const struct option_def OPTIONS[] = {
    [TYPES] = {'t', "types", OPTION_VALUE, "TYPE,…",
               "Only these events, such as stream_updated,meter. Without it all but meter and log."},
    [STREAM] = {0, "stream", OPTION_VALUE, "STREAM", "Only events of this stream: its name or uid."},
    [COUNT] = {0, "count", OPTION_VALUE, "N", "End after N events."},
    {},
};

constexpr int RETRY_S = 1;

struct named_peer {
    char uid[UID_SIZE];
    struct buf name; /* harmless */
};

struct watch {
    struct cli *cli;
    struct sse sse;
    double left;
    bool seen;                /* anything from this rocd */
    struct named_peer *peers; /* owned; those heard of so far */
    size_t n_peers, peer_width;
};

/* ---- whose news ---- */

static struct named_peer *find_peer(const struct watch *w, const char *uid) {
    for (size_t i = 0; i < w->n_peers; i++)
        if (!strcmp(w->peers[i].uid, uid))
            return &w->peers[i];
    return nullptr;
}

static struct named_peer *add_peer(struct watch *w, const char *uid) {
    struct named_peer *peers = realloc(w->peers, (w->n_peers + 1) * sizeof *peers);
    if (!peers)
        return nullptr;
    w->peers = peers;
    struct named_peer *peer = &peers[w->n_peers++];
    *peer = (struct named_peer){};
    snprintf(peer->uid, sizeof peer->uid, "%s", uid);
    return peer;
}

static void remember_peer(struct watch *w, yyjson_val *object) {
    const char *uid = json_str(object, "peer_uid"), *name = json_str(object, "name");
    struct named_peer *peer = find_peer(w, uid);
    if (!peer && uid_is_valid(uid))
        peer = add_peer(w, uid);
    if (!peer)
        return;
    buf_clear(&peer->name);
    text_append(&peer->name, name[0] ? name : uid);
    size_t width = peer->name.data ? text_width(peer->name.data) : 0;
    w->peer_width = width > w->peer_width ? width : w->peer_width;
}

static void remember_peers(struct watch *w) {
    struct err_info info;
    struct buf answer = {};
    long status = 0;
    size_t i, n;
    yyjson_val *peer;
    /* without them uids are shown; why rocd does not answer is told by whoever asks for the events */
    if (client_request(w->cli->client, "GET", "/peers", nullptr, &status, &answer, &info) == ERR_OK && status == 200) {
        yyjson_doc *peers = yyjson_read(answer.data, answer.len, 0);
        yyjson_arr_foreach(yyjson_doc_get_root(peers), i, n, peer) remember_peer(w, peer);
        yyjson_doc_free(peers);
    }
    buf_finish(&answer);
}

static void forget_peers(struct watch *w) {
    for (size_t i = 0; i < w->n_peers; i++)
        buf_finish(&w->peers[i].name);
    free(w->peers);
}

/* "/peers/<uid>/…" */
static bool uid_of_uri(const char *uri, char uid[static UID_SIZE]) {
    static const char PEERS[] = "/peers/";
    if (strncmp(uri, PEERS, strlen(PEERS)) || strlen(uri) < strlen(PEERS) + UID_LEN)
        return false;
    snprintf(uid, UID_SIZE, "%s", uri + strlen(PEERS));
    return uid_is_valid(uid);
}

/* The peer that the object is of; of a stream the one that owns it: that of its destination, or of its source where the
 * destination is external. "" where the event does not tell. */
static void peer_of(yyjson_val *data, char uid[static UID_SIZE]) {
    const char *peer_uid = json_str(data, "peer_uid");
    const char *const uris[] = {json_str(yyjson_obj_get(data, "destination"), "endpoint_uri"),
                                json_str(yyjson_obj_get(data, "source"), "endpoint_uri"), json_str(data, "uri")};
    snprintf(uid, UID_SIZE, "%s", peer_uid);
    for (size_t i = 0; i < sizeof uris / sizeof *uris && !uid_is_valid(uid); i++)
        if (!uid_of_uri(uris[i], uid))
            uid[0] = 0;
}

/* In a site of several peers a column says whose news it is. */
static void append_peer(struct watch *w, struct buf *line, yyjson_val *data) {
    char uid[UID_SIZE];
    if (w->n_peers < 2)
        return;
    peer_of(data, uid);
    const struct named_peer *peer = find_peer(w, uid);
    const char *name = peer && peer->name.data ? peer->name.data : uid[0] ? uid : "-";
    buf_append_str(line, name);
    for (size_t width = text_width(name); width < w->peer_width + 2; width++)
        buf_append_str(line, " ");
}

/* ---- what news ---- */

/* What an event is about, in one line. */
static void describe(struct buf *out, const char *type, yyjson_val *data) {
    yyjson_val *status = yyjson_obj_get(data, "status");
    const char *message = show_reason(status);
    if (!message[0])
        message = json_str(status, "message")[0] ? json_str(status, "message") : json_str(data, "message");
    const char *name = json_str(data, "display_name");
    if (!name[0])
        name = json_str(data, "name");
    static const char *const UIDS[] = {"uid", "stream_uid", "endpoint_uid", "peer_uid"};
    for (size_t i = 0; i < sizeof UIDS / sizeof UIDS[0]; i++)
        if (json_str(data, UIDS[i])[0]) {
            buf_printf(out, "%s  ", json_str(data, UIDS[i]));
            break;
        }
    text_append(out, name);
    if (json_str(status, "state")[0])
        buf_printf(out, "  %s", json_str(status, "state"));
    if (!strcmp(type, "meter"))
        show_level(out, yyjson_obj_get(data, "level_dbfs"));
    double latency = json_num(yyjson_obj_get(status, "latency_ms"), "end_to_end", -1);
    if (latency >= 0)
        buf_printf(out, "  %.0f ms", latency);
    if (message[0]) {
        buf_append_str(out, "  ");
        text_append(out, message);
    }
}

static void print_line(struct watch *w, const char *type, yyjson_val *data) {
    const struct cli *cli = w->cli;
    char at[16] = "";
    time_t now = time(nullptr);
    struct tm tm;
    if (localtime_r(&now, &tm))
        strftime(at, sizeof at, "%H:%M:%S", &tm);
    struct buf line = {}, word = {};
    text_append(&word, type);
    if (!strncmp(type, "peer_", 5))
        remember_peer(w, data);
    append_peer(w, &line, data);
    describe(&line, type, data);
    fprintf(cli->out, "%s%s%s  %-16s  %s\n", text_color(TEXT_DIM, cli->color), at, text_color_off(cli->color),
            word.data ? word.data : "", line.data ? line.data : "");
    buf_finish(&line);
    buf_finish(&word);
}

static void print_json_line(const struct cli *cli, const char *id, const char *type, yyjson_val *data) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(nullptr);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "id", id);
    yyjson_mut_obj_add_str(doc, root, "event", type);
    yyjson_mut_obj_add_val(doc, root, "data", yyjson_val_mut_copy(doc, data));
    char *text = yyjson_mut_write(doc, 0, nullptr);
    if (text)
        fprintf(cli->out, "%s\n", text);
    free(text);
    yyjson_mut_doc_free(doc);
}

static bool on_event(void *arg, const char *id, const char *type, const char *data, size_t len) {
    struct watch *w = arg;
    yyjson_doc *doc = yyjson_read(data, len, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (w->cli->json)
        print_json_line(w->cli, id, type, root);
    else
        print_line(w, type, root);
    yyjson_doc_free(doc);
    w->left--;
    return fflush(w->cli->out) == 0 && w->left > 0;
}

static bool on_bytes(void *arg, const char *bytes, size_t len) {
    struct watch *w = arg;
    w->seen = true;
    return sse_feed(&w->sse, bytes, len);
}

static enum cli_exit refused(const struct cli *cli, const struct buf *body) {
    yyjson_doc *doc = body->len ? yyjson_read(body->data, body->len, 0) : nullptr;
    struct buf detail = {};
    text_append(&detail, json_str(yyjson_doc_get_root(doc), "detail"));
    yyjson_doc_free(doc);
    cli_fail(cli, CLI_FAILED, "%s", detail.len ? detail.data : "rocd gives no events");
    buf_finish(&detail);
    return CLI_FAILED;
}

/* One connection after the other, each going on where the one before broke off. */
static enum cli_exit follow(struct watch *w, const char *path) {
    struct err_info info;
    bool told = false;
    for (;;) {
        long status = 0;
        struct buf body = {};
        enum err e = client_stream(w->cli->client, path, w->sse.id, on_bytes, w, &status, &body, &info);
        enum cli_exit exit = CLI_OK;
        bool again = status == 0 || status == 200 || status == 503;
        if (e == ERR_OK && !again)
            exit = refused(w->cli, &body);
        buf_finish(&body);
        if (exit != CLI_OK || w->left <= 0 || ferror(w->cli->out))
            return exit;
        if (e != ERR_OK && !w->seen)
            return e == ERR_UNAVAILABLE ? cli_not_reached(w->cli, info.message)
                                        : cli_fail(w->cli, CLI_FAILED, "%s", info.message);
        if (e == ERR_OK)
            told = false;
        if (!told)
            fprintf(w->cli->err, "rocctl: the connection to %s has ended, trying again\n",
                    client_where(w->cli->client));
        told = true;
        sse_restart(&w->sse);
        nanosleep(&(struct timespec){.tv_sec = RETRY_S}, nullptr);
    }
}

/* Words of the API and uids need no escaping, and nothing else is let through. */
static bool append_query(struct buf *path, char separator, const char *key, const char *value) {
    if (value[strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789_-,")])
        return false;
    return buf_printf(path, "%c%s=%s", separator, key, value);
}

/* A whole uid is taken as it is: the stream may be gone, or come later. */
static enum cli_exit append_stream(struct cli *cli, struct buf *path, char separator, const char *typed) {
    if (uid_is_valid(typed))
        return append_query(path, separator, "stream", typed) ? CLI_OK : cli_fail(cli, CLI_FAILED, "out of memory");
    yyjson_doc *streams = nullptr;
    yyjson_val *stream = nullptr;
    struct err_info info;
    enum cli_exit exit = cli_request(cli, "GET", "/streams", nullptr, &streams);
    if (exit != CLI_OK)
        return exit;
    if (resolve_stream(yyjson_doc_get_root(streams), typed, &stream, &info) != ERR_OK)
        exit = cli_fail(cli, CLI_FAILED, "%s", info.message);
    else if (!append_query(path, separator, "stream", json_str(stream, "stream_uid")))
        exit = cli_fail(cli, CLI_FAILED, "out of memory");
    yyjson_doc_free(streams);
    return exit;
}

static enum cli_exit run(struct cli *cli, const char **, int, const struct option_result *options) {
    struct watch w = {.cli = cli, .left = 1e15};
    w.sse = (struct sse){.on_event = on_event, .arg = &w};
    if (options[COUNT].value && (!number_parse(options[COUNT].value, &w.left) || w.left < 1))
        return cli_fail(cli, CLI_USAGE, "--count: expected a number from 1, found '%s'", options[COUNT].value);
    if (!cli->json)
        remember_peers(&w);
    struct buf path = {};
    buf_append_str(&path, "/events");
    enum cli_exit exit = CLI_OK;
    char separator = '?';
    if (options[TYPES].value) {
        if (!append_query(&path, separator, "types", options[TYPES].value))
            exit = cli_fail(cli, CLI_USAGE, "--types: expected words such as stream_updated,meter, found '%s'",
                            options[TYPES].value);
        separator = '&';
    }
    if (exit == CLI_OK && options[STREAM].value)
        exit = append_stream(cli, &path, separator, options[STREAM].value);
    if (exit == CLI_OK)
        exit = path.data ? follow(&w, path.data) : cli_fail(cli, CLI_FAILED, "out of memory");
    buf_finish(&path);
    sse_finish(&w.sse);
    forget_peers(&w);
    return exit;
}

const struct command COMMAND_WATCH = {
    .name = "watch",
    .args = "[OPTION…]",
    .summary = "Show the news as it happens",
    .details = "Goes on until Ctrl-C. When the connection breaks it is made again, and what was missed is shown.\n"
               "In a site of several peers each line names the peer whose news it is; of a stream, its owner.\n"
               "With --json each event is one line: {\"id\":…,\"event\":…,\"data\":…}.",
    .examples = "  rocctl watch\n  rocctl watch --types stream_updated,meter\n  rocctl watch --json --count 1\n",
    .options = OPTIONS,
    .run = run,
};
