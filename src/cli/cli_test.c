/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/connection.h"
#include "cli/number.h"
#include "cli/resolve.h"
#include "cli/show.h"
#include "cli/site.h"
#include "cli/sse.h"
#include "cli/text.h"

/* ---- parts ---- */

static void sides_are_taken_apart(void **) {
    struct connection c;
    struct err_info info;
    assert_int_equal(connection_parse(&c, "Living room", &info), ERR_OK);
    assert_string_equal(c.endpoint, "Living room");
    assert_null(connection_fec(&c));
    assert_int_equal(connection_parse(&c, "rtp+rs8m://192.0.2.1:10001", &info), ERR_OK);
    assert_int_equal(connection_derive(&c, false, &info), ERR_OK);
    assert_string_equal(c.repair, "rs8m://192.0.2.1:10002");
    assert_string_equal(c.control, "rtcp://192.0.2.1:10003");
    assert_true(c.repair_derived && c.control_derived);
    assert_string_equal(connection_fec(&c), "rs8m");
    assert_int_equal(connection_parse(&c, "rtp+ldpc://[::]:0,ldpc://[::]:7", &info), ERR_OK);
    assert_int_equal(connection_derive(&c, true, &info), ERR_OK);
    assert_string_equal(c.repair, "ldpc://[::]:7");
    assert_string_equal(c.control, "");
    assert_false(c.repair_derived);
    assert_int_equal(connection_parse(&c, "rtp+rs8m://[::1]:0", &info), ERR_OK);
    assert_int_equal(connection_derive(&c, false, &info), ERR_OK);
    assert_string_equal(c.control, "rtcp://[::1]:0");
    assert_int_equal(connection_parse(&c, "rtp://h:1", &info), ERR_OK);
    assert_int_equal(connection_add(&c, "rtcp://h:3", &info), ERR_OK);
    assert_int_equal(connection_derive(&c, false, &info), ERR_OK);
    assert_string_equal(c.repair, "");
    assert_string_equal(c.control, "rtcp://h:3");
    assert_true(connection_is_companion("rs8m://x") && !connection_is_companion("rtp://x"));
}

static void wrong_sides_are_refused(void **) {
    static const struct {
        const char *typed, *message;
    } CASES[] = {
        {"http://x:1", "is no Roc URI"},
        {"rs8m://h:2", "has no media URI"},
        {"rtp://h:1,rtp://h:2", "are the same part"},
        {"rtp://h:1,", "is no Roc URI"},
        {"rtp+rs8m://h", "needs a port"},
        {"rtp+rs8m://h:", "needs a port"},
        {"rtp+rs8m://[::1]", "needs a port"},
        {"rtp+rs8m://h:1/path", "needs a port"},
        {"rtp+rs8m://h:65534", "there is no port 65536"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct connection c = {};
        struct err_info info = {};
        enum err e = connection_parse(&c, CASES[i].typed, &info);
        if (e == ERR_OK)
            e = connection_derive(&c, false, &info);
        if (e != ERR_INVALID || !strstr(info.message, CASES[i].message))
            fail_msg("%s: \"%s\"", CASES[i].typed, info.message);
    }
}

static void names_and_uids_are_resolved(void **) {
    static const char LIST[] = "[{\"u\":\"aaaaaa-1\",\"display_name\":\"Radio\"},"
                               "{\"u\":\"aaab\",\"display_name\":\"radio\"},"
                               "{\"u\":\"bbbb\",\"display_name\":\"Küche\"},"
                               "{\"u\":\"cccc\",\"display_name\":\"Twin\"},"
                               "{\"u\":\"dddd\",\"display_name\":\"Twin\\u001b[31m\"},"
                               "{\"u\":\"eeee\",\"display_name\":\"Twin\"},"
                               "{\"u\":\"ffff\",\"display_name\":\"Shelf → Cellar\"},"
                               "{\"u\":\"gggg\",\"display_name\":\"Attic → Cellar\"}]";
    static const struct {
        const char *typed;
        enum err code;
        const char *want; /* uid, or part of the message */
    } CASES[] = {
        {"Radio", ERR_OK, "aaaaaa-1"},
        {"radio", ERR_OK, "aaab"},
        {"aaaa", ERR_OK, "aaaaaa-1"},
        {"aaab", ERR_OK, "aaab"},
        {"Küche", ERR_OK, "bbbb"},
        {"b", ERR_OK, "bbbb"},
        {"RADIO", ERR_CONFLICT, "aaab  radio"},
        {"aaa", ERR_CONFLICT, "may be any of these things"},
        {"Twin", ERR_CONFLICT, "eeee  Twin"},
        {"Shelf", ERR_OK, "ffff"},
        {"attic", ERR_OK, "gggg"},
        {"Cellar", ERR_CONFLICT, "gggg  Attic"},
        {"Shel", ERR_NOT_FOUND, "there is no thing"},
        {"Kuche", ERR_NOT_FOUND, "did you mean 'Küche'?"},
        {"zzz", ERR_NOT_FOUND, "see `rocctl things`"},
        {"", ERR_NOT_FOUND, "there is no thing ''"},
    };
    yyjson_doc *doc = yyjson_read(LIST, strlen(LIST), 0);
    const struct resolve things = {
        .list = yyjson_doc_get_root(doc), .what = "thing", .uid_member = "u", .name_members = {"display_name"}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        yyjson_val *found = nullptr;
        struct err_info info = {};
        enum err e = resolve_object(&things, CASES[i].typed, &found, &info);
        const char *have = e == ERR_OK ? json_str(found, "u") : info.message;
        if (e != CASES[i].code || !strstr(have, CASES[i].want))
            fail_msg("'%s': %s \"%s\"", CASES[i].typed, err_name(e), have);
    }
    yyjson_doc_free(doc);
}

#define KITCHEN "kkkkkk-kkkkkk-kkkkkk"
#define OFFICE  "oooooo-oooooo-oooooo"
#define TWIN    "tttttt-tttttt-tttttt"
#define PEERS \
    "[{\"peer_uid\":\"" KITCHEN "\",\"name\":\"kitchen\",\"self\":false},{\"peer_uid\":\"" OFFICE \
    "\",\"name\":\"My/office\",\"self\":true},{\"peer_uid\":\"" TWIN "\",\"name\":\"\"}]"
#define AT(peer, uid, name) \
    "{\"peer_uid\":\"" peer "\",\"endpoint_uid\":\"" uid "\",\"endpoint_uri\":\"/peers/" peer "/endpoints/" uid \
    "\",\"display_name\":\"" name "\",\"system_name\":\"hw:" uid "\"}"

static void endpoints_of_a_site_are_resolved(void **) {
    static const char STATE[] =
        "{\"peers\":" PEERS ",\"endpoints\":[" AT(KITCHEN, "aaaa", "melody") "," AT(KITCHEN, "bbbb", "Speaker") "," AT(
            OFFICE, "cccc", "melody") "," AT(OFFICE, "dddd", "a/b") "," AT(TWIN, "eeee", "Radio") "]}";
    static const struct {
        const char *typed;
        enum err code;
        const char *want; /* uid, or part of the message */
    } CASES[] = {
        {"kitchen/melody", ERR_OK, "aaaa"},
        {"Kitchen/MELODY", ERR_OK, "aaaa"},
        {"My/office/melody", ERR_OK, "cccc"},
        {"self/melody", ERR_OK, "cccc"},
        {KITCHEN "/melody", ERR_OK, "aaaa"},
        {"kk/aaaa", ERR_OK, "aaaa"},
        {"kitchen/hw:bbbb", ERR_OK, "bbbb"},
        {"kitchen/b", ERR_OK, "bbbb"},
        {"self/a/b", ERR_OK, "dddd"},
        {"a/b", ERR_OK, "dddd"},
        {TWIN "/Radio", ERR_OK, "eeee"},
        {"Speaker", ERR_OK, "bbbb"},
        {"hw:cccc", ERR_OK, "cccc"},
        {"/peers/" OFFICE "/endpoints/cccc", ERR_OK, "cccc"},
        {"melody", ERR_CONFLICT, "\n  aaaa  kitchen/melody\n  cccc  My/office/melody"},
        {"Speakr", ERR_NOT_FOUND, "there is no endpoint 'Speakr': did you mean 'kitchen/Speaker'?"},
        {"kitchen/Radio", ERR_NOT_FOUND, "there is no endpoint 'Radio' at kitchen: see `rocctl endpoints`"},
        {"kitchen/melodi", ERR_NOT_FOUND, "at kitchen: did you mean 'kitchen/melody'?"},
        {"kitchn/melody", ERR_NOT_FOUND, "there is no peer 'kitchn': did you mean 'kitchen'?"},
        {"attic/melody", ERR_NOT_FOUND, "there is no peer 'attic': see `rocctl peers`"},
        {"/melody", ERR_NOT_FOUND, "there is no peer ''"},
        {"kitchen/", ERR_NOT_FOUND, "there is no endpoint '' at kitchen"},
    };
    yyjson_doc *doc = yyjson_read(STATE, strlen(STATE), 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    assert_non_null(root);
    const struct site site = {.peers = yyjson_obj_get(root, "peers"),
                              .endpoints = yyjson_obj_get(root, "endpoints"),
                              .self = site_self(yyjson_obj_get(root, "peers"))};
    assert_string_equal(json_str(site.self, "peer_uid"), OFFICE);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        yyjson_val *found = nullptr;
        struct err_info info = {};
        enum err e = site_find_endpoint(&site, CASES[i].typed, &found, &info);
        const char *have = e == ERR_OK ? json_str(found, "endpoint_uid") : info.message;
        if (e != CASES[i].code || !strstr(have, CASES[i].want))
            fail_msg("'%s': %s \"%s\"", CASES[i].typed, err_name(e), have);
    }
    /* what is shown can be typed */
    size_t i, n;
    yyjson_val *endpoint, *found;
    yyjson_arr_foreach(site.endpoints, i, n, endpoint) {
        struct buf name = {};
        site_show_endpoint(&site, &name, endpoint);
        assert_int_equal(site_find_endpoint(&site, name.data, &found, nullptr), ERR_OK);
        assert_ptr_equal(found, endpoint);
        buf_finish(&name);
    }
    yyjson_doc_free(doc);
}

static void text_is_made_harmless(void **) {
    struct buf out = {};
    text_append(&out, "a\x1b[31m\n\xff\xc0\x80ü\xe2\x80\xae\xed\xa0\x80");
    assert_string_equal(out.data, "a?[31m????ü????");
    buf_finish(&out);
    assert_int_equal(text_width("Küche"), 5);
    assert_int_equal(text_width("日本"), 4);
}

static void tables_are_aligned(void **) {
    struct table t = {.n_columns = 3, .right = 1 << 1};
    static const char *const CELLS[] = {"A", "NUM", "C", "Küche", "7", "x", "日", "1000", "y"};
    for (size_t i = 0; i < 9; i++)
        table_cell(&t, i < 3 ? TEXT_DIM : TEXT_PLAIN, "%s", CELLS[i]);
    char *text = nullptr;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    table_print(&t, false, out);
    fclose(out);
    assert_string_equal(text, "A       NUM  C\nKüche     7  x\n日     1000  y\n");
    free(text);
    table_finish(&t);
}

/* The same table on terminals that are too narrow for it. */
static void tables_fit(void **) {
    static const char *const CELLS[] = {"UID", "NAME", "WHY", "ab", "Küche", "no such file", "cd", "-", ""};
    static const struct {
        size_t max_width;
        const char *want;
    } CASES[] = {
        {0, "UID  NAME   WHY\nab   Küche  no such file\ncd   -      \n"},
        {24, "UID  NAME   WHY\nab   Küche  no such file\ncd   -      \n"},
        {23, "UID  NAME\nab   Küche\n    no such file\ncd   -\n"},
        {10, "UID  NAME\nab   Küche\n    no such file\ncd   -\n"},
        {9, "ab\n  NAME  Küche\n  WHY   no such file\ncd\n"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct table t = {.n_columns = 3, .max_width = CASES[i].max_width};
        for (size_t j = 0; j < 9; j++)
            table_cell(&t, TEXT_PLAIN, "%s", CELLS[j]);
        char *text = nullptr;
        size_t n = 0;
        FILE *out = open_memstream(&text, &n);
        table_print(&t, false, out);
        fclose(out);
        assert_string_equal(text, CASES[i].want);
        free(text);
        table_finish(&t);
    }
}

static bool collect(void *arg, const char *id, const char *type, const char *data, size_t len) {
    char *all = arg;
    size_t n = strlen(all);
    snprintf(all + n, 512 - n, "[%s|%s|%.*s]", id, type, (int)len, data);
    return !strstr(data, "stop");
}

static void events_come_in_any_pieces(void **) {
    static const char TEXT[] =
        ": hello\n\nid: 7-1\nevent: stream_added\ndata: {\"a\":\ndata: 1}\n\n"
        "id:7-2\r\nevent:meter\r\ndata:x\r\nretry: 5\r\n\r\nevent: none\n\ndata: stop\n\ndata: never\n\n";
    for (size_t piece = 1; piece < sizeof TEXT; piece++) {
        char all[512] = "";
        struct sse sse = {.on_event = collect, .arg = all};
        bool go_on = true;
        for (size_t at = 0; at < strlen(TEXT) && go_on; at += piece) {
            size_t n = strlen(TEXT) - at;
            go_on = sse_feed(&sse, TEXT + at, n < piece ? n : piece);
        }
        assert_false(go_on);
        assert_string_equal(all, "[7-1|stream_added|{\"a\":\n1}][7-2|meter|x][7-2|message|stop]");
        assert_string_equal(sse.id, "7-2");
        sse_finish(&sse);
    }
    /* a line without end is not kept */
    struct sse sse = {.on_event = collect};
    char *much = calloc(1, SSE_LINE_MAX + 2);
    memset(much, 'x', SSE_LINE_MAX + 1);
    assert_false(sse_feed(&sse, much, SSE_LINE_MAX + 1));
    free(much);
    sse_finish(&sse);
}

static void numbers_and_durations(void **) {
    double d;
    assert_true(number_parse("-2.5", &d) && d == -2.5);
    assert_false(number_parse("1,5", &d) || number_parse("", &d) || number_parse("nan", &d) || number_parse(" 1", &d));
    struct buf b = {};
    show_duration(&b, 3 * 3600 + 300);
    assert_string_equal(b.data, "3 h 05 min");
    buf_finish(&b);
}

/* ---- whole commands against a server that answers by rote ---- */

static const char ENDPOINT[] =
    "{\"endpoint_uid\":\"aaaaaa-aaaaaa-aaaaaa\",\"endpoint_uri\":\"/peers/p/endpoints/aaaaaa-aaaaaa-aaaaaa\","
    "\"display_name\":\"Küche\",\"kind\":\"tone\",\"stream_direction\":\"input\",\"status\":{\"state\":\"available\","
    "\"rate_hz\":48000,\"channels\":2,\"level_dbfs\":[-20.04,-120],\"message\":\"\"}}";
static const char STREAM[] =
    "{\"stream_uid\":\"ssssss-ssssss-ssssss\",\"stream_uri\":\"/streams/ssssss-ssssss-ssssss\",\"display_name\":\"Radio\","
    "\"source\":{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"/peers/p/endpoints/aaaaaa-aaaaaa-aaaaaa\"},"
    "\"destination\":{\"connection_type\":\"external\",\"media_uri\":\"rtp://h:1\"},\"status\":{\"state\":\"pending\","
    "\"conditions\":[{\"message\":\"the file is missing\"}],\"latency_ms\":{\"end_to_end\":100,\"target\":95,"
    "\"method\":\"measured\",\"stages\":{\"network\":{\"ms\":1.54,\"method\":\"computed\"}}},"
    "\"latency_change\":{\"at\":\"noon\",\"from_ms\":80,\"message\":\"uneven\\u001b packets\"},"
    "\"packets\":{\"sent\":12,\"lost\":3},\"level_dbfs\":[]}}";

/* The same in a site of three peers, as the one in the office answers. */
#define SITE_PEERS \
    "[{\"peer_uid\":\"" KITCHEN "\",\"name\":\"kitchen\",\"self\":false,\"state\":\"online\",\"role\":\"operator\"," \
    "\"address\":null,\"signaling_address\":\"192.0.2.7:4041\",\"version\":\"9.9\",\"message\":\"\"," \
    "\"node_id\":\"25njqam-cweflpv-kl73j4s-zahhiho-c4xt3kt-cgjnpai-ngr5yhk-enaan5g\"}," \
    "{\"peer_uid\":\"" OFFICE "\",\"name\":\"office\",\"self\":true,\"state\":\"online\",\"role\":null," \
    "\"address\":\"127.0.0.1:4040\",\"uptime_s\":61,\"version\":\"9.9\",\"message\":\"\",\"node_id\":null}," \
    "{\"peer_uid\":\"" TWIN "\",\"name\":\"attic\",\"self\":false,\"state\":\"offline\",\"role\":\"viewer\"," \
    "\"address\":\"127.0.0.1:1\",\"version\":\"\",\"message\":\"nobody answers there\"}]"
#define SITE_STREAM \
    "{\"stream_uid\":\"ssssss-ssssss-ssssss\",\"stream_uri\":\"/streams/ssssss-ssssss-ssssss\",\"display_name\":\"Radio\"," \
    "\"source\":{\"endpoint_uri\":\"/peers/" OFFICE "/endpoints/cccccc-cccccc-cccccc\"}," \
    "\"destination\":{\"endpoint_uri\":\"/peers/" KITCHEN "/endpoints/aaaaaa-aaaaaa-aaaaaa\"}," \
    "\"status\":{\"state\":\"running\"}}"
#define SITE_ENDPOINTS \
    "[" AT(KITCHEN, "aaaaaa-aaaaaa-aaaaaa", "melody") "," AT(KITCHEN, "bbbbbb-bbbbbb-bbbbbb", "Speaker") "," AT( \
        OFFICE, "cccccc-cccccc-cccccc", "melody") "]"

struct server {
    bool has_site; /* of three peers */
    char path[64];
    int fd;
    pthread_t thread;
    char last[4096]; /* request */
};

static void answer(int fd, const char *status, const char *type, const char *body) {
    char head[256];
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", status,
                     type, strlen(body));
    (void)!send(fd, head, (size_t)n, MSG_NOSIGNAL); /* who has seen enough may have left */
    (void)!send(fd, body, strlen(body), MSG_NOSIGNAL);
}

static bool serve_site(const char *text, int fd) {
    static const struct {
        const char *request, *status, *type, *body;
    } ANSWERS[] = {
        {"GET /peers ", "200 OK", "application/json", SITE_PEERS},
        {"GET /state ", "200 OK", "application/json",
         "{\"peers\":" SITE_PEERS ",\"endpoints\":" SITE_ENDPOINTS ",\"streams\":[" SITE_STREAM "]}"},
        {"POST /streams ", "201 Created", "application/json", SITE_STREAM},
        {"DELETE /peers/" KITCHEN "/endpoints/bbbb", "204 No Content", "application/json", ""},
        {"POST /peers/" KITCHEN "/endpoints ", "201 Created", "application/json",
         AT(KITCHEN, "dddddd-dddddd-dddddd", "Beep")},
        {"GET /events", "200 OK", "text/event-stream",
         "id: e-1\nevent: stream_updated\ndata: " SITE_STREAM "\n\n"
         "id: e-2\nevent: endpoint_removed\ndata: {\"uri\":\"/peers/" OFFICE "/endpoints/u\",\"uid\":\"u\"}\n\n"
         "id: e-3\nevent: peer_updated\ndata: {\"peer_uid\":\"" TWIN "\",\"name\":\"dachboden\"}\n\n"
         "id: e-4\nevent: endpoint_updated\ndata: {\"peer_uid\":\"" TWIN "\",\"endpoint_uid\":\"v\"}\n\n"
         "id: e-5\nevent: stream_removed\ndata: {\"uri\":\"/streams/w\",\"uid\":\"w\"}\n\n"},
    };
    for (size_t i = 0; i < sizeof ANSWERS / sizeof *ANSWERS; i++) {
        if (strncmp(text, ANSWERS[i].request, strlen(ANSWERS[i].request)))
            continue;
        answer(fd, ANSWERS[i].status, ANSWERS[i].type, ANSWERS[i].body);
        return true;
    }
    return false;
}

static void serve(struct server *s, int fd) {
    char *text = s->last;
    size_t n = 0;
    ssize_t got;
    const char *end;
    /* curl sends small bodies along with the head, but not always in one piece */
    do {
        got = read(fd, text + n, sizeof s->last - 1 - n);
        n += got > 0 ? (size_t)got : 0;
        text[n] = 0;
        end = strstr(text, "\r\n\r\n");
        const char *length = strstr(text, "Content-Length: ");
        if (end && length && strlen(end + 4) < (size_t)atoi(length + 16))
            end = nullptr;
    } while (got > 0 && !end);
    char body[4096];
    if (s->has_site && serve_site(text, fd)) {
        /* has been answered */
    } else if (!strncmp(text, "GET /state ", 11)) {
        snprintf(body, sizeof body,
                 "{\"endpoints\":[%s],\"streams\":[%s],\"peers\":[{\"name\":\"Me\",\"uptime_s\":61}]}", ENDPOINT,
                 STREAM);
        answer(fd, "200 OK", "application/json", body);
    } else if (!strncmp(text, "GET /peers ", 11)) {
        answer(fd, "200 OK", "application/json", "[{\"peer_uid\":\"pppppp-pppppp-pppppp\",\"name\":\"Me\"}]");
    } else if (!strncmp(text, "GET /streams ", 13)) {
        snprintf(body, sizeof body, "[%s]", STREAM);
        answer(fd, "200 OK", "application/json", body);
    } else if (!strncmp(text, "GET /peers/self ", 16)) {
        answer(
            fd, "200 OK", "application/json",
            "{\"peer_uid\":\"pppppp-pppppp-pppppp\",\"name\":\"Me\",\"node_id\":\"25njqam-cweflpv\",\"uptime_s\":61}");
    } else if (!strncmp(text, "GET /version ", 13)) {
        answer(fd, "200 OK", "application/json",
               "{\"version\":\"9.9\",\"api\":\"1\",\"libroc\":\"0.4.0\",\"build\":\"b\"}");
    } else if (!strncmp(text, "GET /streams/ssssss-ssssss-ssssss/glitches ", 43)) {
        answer(fd, "200 OK", "application/json",
               "[{\"at\":\"noon\",\"cause\":\"late\",\"lost_ms\":12.34,\"pieces\":3,\"message\":\"too\\u001b late\"},"
               "{\"at\":\"morning\",\"cause\":\"device_xrun\",\"lost_ms\":null,\"pieces\":1,\"message\":\"dry\"}]");
    } else if (!strncmp(text, "POST /streams ", 14)) {
        answer(fd, "201 Created", "application/json", STREAM);
    } else if (!strncmp(text, "PATCH /streams/ssss", 19)) {
        answer(fd, "200 OK", "application/json", STREAM);
    } else if (!strncmp(text, "PATCH /peers/p/endpoints/aaaa", 29)) {
        answer(fd, "200 OK", "application/json", ENDPOINT);
    } else if (!strncmp(text, "DELETE /streams/ssss", 20)) {
        answer(fd, "204 No Content", "application/json", "");
    } else if (!strncmp(text, "GET /events", 11)) {
        bool again = strstr(text, "Last-Event-ID: e-2");
        answer(fd, "200 OK", "text/event-stream",
               again ? "id: e-3\nevent: stream_removed\ndata: {\"uid\":\"u\"}\n\n"
                     : ": hi\n\nid: e-1\nevent: stream_added\ndata: {\"stream_uid\":\"u\",\"display_name\":\"R\"}\n\n"
                       "id: e-2\nevent: stream_updated\ndata: {\"stream_uid\":\"u\"}\n\n");
    } else {
        answer(
            fd, "400 Bad Request", "application/problem+json",
            "{\"detail\":\"The request is not valid\",\"errors\":[{\"pointer\":\"/file/name\",\"detail\":\"leads out\"},"
            "{\"pointer\":\"/rate_hz\",\"detail\":\"too low\"}]}");
    }
}

static void *serve_all(void *arg) {
    struct server *s = arg;
    int fd;
    while ((fd = accept(s->fd, nullptr, nullptr)) >= 0) {
        serve(s, fd);
        close(fd);
    }
    return nullptr;
}

static int start_server(void **state) {
    struct server *s = calloc(1, sizeof *s);
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    strcpy(s->path, "/tmp/rocd-cli-XXXXXX");
    close(mkstemp(s->path));
    unlink(s->path);
    strcpy(addr.sun_path, s->path);
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(s->fd, (struct sockaddr *)&addr, sizeof addr) || listen(s->fd, 16))
        return -1;
    *state = s;
    return pthread_create(&s->thread, nullptr, serve_all, s);
}

static int stop_server(void **state) {
    struct server *s = *state;
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, nullptr);
    close(s->fd);
    unlink(s->path);
    free(s);
    return 0;
}

struct result {
    enum cli_exit exit;
    char out[16384], err[4096];
};

static void rocctl(struct server *s, const char *line, struct result *ret) {
    char words[512];
    const char *argv[32];
    int argc = 0;
    snprintf(words, sizeof words, "--socket %s %s", s->path, line);
    for (char *word = strtok(words, " "); word; word = strtok(nullptr, " "))
        argv[argc++] = word;
    *ret = (struct result){};
    FILE *out = fmemopen(ret->out, sizeof ret->out - 1, "w"), *err = fmemopen(ret->err, sizeof ret->err - 1, "w");
    ret->exit = cli_main(argc, argv, out, err);
    fclose(out);
    fclose(err);
}

struct command_case {
    const char *line;
    enum cli_exit exit;
    const char *out, *err, *request; /* parts that must be there; nullptr: any */
};

static void run_cases(struct server *s, const struct command_case *cases, size_t n) {
    for (size_t i = 0; i < n; i++) {
        struct result r;
        s->last[0] = 0;
        rocctl(s, cases[i].line, &r);
        if (r.exit != cases[i].exit || (cases[i].out && !strstr(r.out, cases[i].out)) ||
            (cases[i].err && !strstr(r.err, cases[i].err)) || (cases[i].request && !strstr(s->last, cases[i].request)))
            fail_msg("%s: exit %d\nout: %s\nerr: %s\nrequest: %s", cases[i].line, r.exit, r.out, r.err, s->last);
    }
}

static void commands_know_the_peers_of_a_site(void **state) {
    struct server *s = *state;
    s->has_site = true;
    static const struct command_case CASES[] = {
        {"peers", CLI_OK, "kitchen  " KITCHEN "  online   operator  192.0.2.7:4041  9.9      25njqam-cweflpv-…",
         nullptr, nullptr},
        {"peers", CLI_OK, "office   " OFFICE "  online   self      127.0.0.1:4040  9.9      -", nullptr, nullptr},
        {"peers", CLI_OK, "attic    " TWIN "  offline  viewer    127.0.0.1:1     -        -", nullptr, nullptr},
        {"peers", CLI_OK, "nobody answers there\n", nullptr, nullptr},
        {"peers --json", CLI_OK, "\"signaling_address\": \"192.0.2.7:4041\"", nullptr, "GET /peers HTTP/1.1"},
        {"status", CLI_OK, "peer " OFFICE "  office, up 1 min 01 s\n3 peers: 2 online, 1 offline\n", nullptr, nullptr},
        {"status", CLI_OK, "  attic (" TWIN "): offline: nobody answers there\n", nullptr, nullptr},
        {"status --json", CLI_OK, "\"peer\": {\n    \"peer_uid\": \"" OFFICE "\"", nullptr, nullptr},
        {"endpoints", CLI_OK, "cccccc-cccccc-cccccc  office/melody ", nullptr, nullptr},
        {"endpoints kitchen", CLI_OK, "bbbbbb-bbbbbb-bbbbbb  kitchen/Speaker ", nullptr, nullptr},
        {"endpoints", CLI_OK, "VOLUME  XRUNS  REASON", nullptr, nullptr},
        {"endpoints attic", CLI_OK, "There are no endpoints yet", nullptr, nullptr},
        {"endpoints self --json", CLI_OK, "[\n  {\n    \"peer_uid\": \"" OFFICE "\"", nullptr, nullptr},
        {"endpoints attik", CLI_FAILED, nullptr, "there is no peer 'attik': did you mean 'attic'?", nullptr},
        {"streams", CLI_OK, "Radio  running  office/melody  kitchen/melody ", nullptr, nullptr},
        {"latency Radio", CLI_OK, "target      not known yet, chosen by auto\nend to end  not known: no sound", nullptr,
         nullptr},
        {"connect office/melody kitchen/Speaker", CLI_OK, "made stream ssssss-ssssss-ssssss  Radio", nullptr,
         "\"source\":{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"/peers/" OFFICE
         "/endpoints/cccccc-cccccc-cccccc\"},\"destination\":{\"connection_type\":\"endpoint\",\"endpoint_uri\":"
         "\"/peers/" KITCHEN "/endpoints/bbbbbb-bbbbbb-bbbbbb\"}"},
        {"connect melody Speaker", CLI_FAILED, nullptr, "kitchen/melody\n  cccccc-cccccc-cccccc  office/melody",
         nullptr},
        {"connect attic/melody Speaker", CLI_FAILED, nullptr, "there is no endpoint 'melody' at attic", nullptr},
        {"delete kitchen/Speaker", CLI_OK, "deleted endpoint bbbbbb-bbbbbb-bbbbbb  kitchen/Speaker", nullptr,
         "DELETE /peers/" KITCHEN "/endpoints/bbbbbb-bbbbbb-bbbbbb HTTP/1.1"},
        {"create tone Beep --peer kitchen", CLI_OK, "made endpoint dddddd-dddddd-dddddd  Beep", nullptr,
         "POST /peers/" KITCHEN "/endpoints HTTP/1.1"},
        {"create tone Beep --peer cellar", CLI_FAILED, nullptr, "there is no peer 'cellar'", nullptr},
        {"watch --count 5", CLI_OK, "  stream_updated    kitchen  ssssss-ssssss-ssssss  Radio  running\n", nullptr,
         nullptr},
        {"watch --count 5", CLI_OK, "  endpoint_removed  office   u", nullptr, nullptr},
        {"watch --count 5", CLI_OK, "  peer_updated      dachboden  " TWIN, nullptr, nullptr},
        {"watch --count 5", CLI_OK, "  endpoint_updated  dachboden  v", nullptr, nullptr},
        {"watch --count 5", CLI_OK, "  stream_removed    -          w", nullptr, nullptr},
        {"names endpoints", CLI_OK, "kitchen/melody\nkitchen/Speaker\noffice/melody\n", nullptr, nullptr},
        {"names peers", CLI_OK, "kitchen\noffice\nattic\n", nullptr, nullptr},
        {"names streams", CLI_OK, "Radio\n", nullptr, nullptr},
        {"names things", CLI_USAGE, nullptr, "use endpoints, streams or peers", nullptr},
        {"peers --via office", CLI_OK, "kitchen", nullptr, nullptr}, /* the one that is asked anyway */
        {"--via self streams", CLI_OK, "Radio", nullptr, nullptr},
        {"streams --via kitchen", CLI_FAILED, nullptr, "it is not known where the API of 'kitchen' is", nullptr},
        {"streams --via attic", CLI_UNREACHABLE, nullptr,
         "the API of 'attic' is at 127.0.0.1:1, and from here it is not", nullptr},
        {"streams --via cellar", CLI_FAILED, nullptr, "there is no peer 'cellar'", nullptr},
        {"streams --via 127.0.0.1:1", CLI_UNREACHABLE, nullptr, "rocd is not running at 127.0.0.1:1", nullptr},
        {"completion bash", CLI_OK, "--via) _rocctl_names peers; return ;;", nullptr, nullptr},
        {"completion bash", CLI_OK, " names=endpoints ;;", nullptr, nullptr},
        {"completion zsh", CLI_OK, "; _rocctl_names streams ;;", nullptr, nullptr},
        {"completion fish", CLI_OK, "-l via -r -a '(rocctl names peers 2>/dev/null)'", nullptr, nullptr},
        {"help connect", CLI_OK, "PEER/ENDPOINT", nullptr, nullptr},
    };
    run_cases(s, CASES, sizeof CASES / sizeof CASES[0]);
    struct result r;
    rocctl(s, "help", &r);
    assert_null(strstr(r.out, "\n  names")); /* for programs */
}

static void commands_talk_to_rocd(void **state) {
    struct server *s = *state;
    static const struct command_case CASES[] = {
        {"version", CLI_OK, "rocd 9.9 (API 1, libroc 0.4.0, b)", nullptr, nullptr},
        {"status", CLI_OK, "1 stream: 1 pending", nullptr, nullptr},
        {"status", CLI_OK, "  Radio (ssssss-ssssss-ssssss): pending: the file is missing", nullptr, nullptr},
        {"status --json", CLI_OK, "\"endpoints\": [", nullptr, nullptr},
        {"id", CLI_OK, "25njqam-cweflpv\n", nullptr, "GET /peers/self HTTP/1.1"},
        {"id --json", CLI_OK,
         "{\n  \"node_id\": \"25njqam-cweflpv\",\n  \"peer_uid\": \"pppppp-pppppp-pppppp\",\n  \"name\": \"Me\"",
         nullptr, nullptr},
        {"endpoints", CLI_OK, "Küche  tone  input      available  48000 Hz × 2  -20.0 -∞", nullptr, nullptr},
        {"streams", CLI_OK, "Radio  pending  Küche   rtp://h:1     100 ms       12     3  -", nullptr, nullptr},
        {"latency Radio", CLI_OK, "Radio  pending\ntarget      95 ms, chosen by auto\n", nullptr, nullptr},
        {"latency Radio", CLI_OK, "            was 80 ms until noon: uneven? packets\n", nullptr, nullptr},
        {"latency ssss", CLI_OK, "end to end  100.0 ms, measured\n", nullptr, nullptr},
        {"latency Radio", CLI_OK, "network        1.5 ms  computed  one way\n", nullptr, nullptr},
        {"latency Radio --json", CLI_OK, "\"ms\": 1.54", nullptr, nullptr},
        {"glitches Radio", CLI_OK, "noon     late         12.3 ms       3  too? late\n", nullptr, nullptr},
        {"glitches ssss", CLI_OK, "morning  device_xrun        ?       1  dry\n", nullptr, nullptr},
        {"glitches Radio --json", CLI_OK, "\"lost_ms\": 12.34", nullptr, nullptr},
        {"glitches Television", CLI_FAILED, nullptr, "there is no stream 'Television'", nullptr},
        {"latency Television", CLI_FAILED, nullptr, "there is no stream 'Television'", nullptr},
        {"latency", CLI_USAGE, nullptr, "rocctl latency STREAM", nullptr},
        {"streams --json", CLI_OK, "\"stream_uid\": \"ssssss-ssssss-ssssss\"", nullptr, nullptr},
        {"connect küch rtp://h:1", CLI_FAILED, nullptr, "did you mean 'Küche'?", nullptr},
        {"connect Küche rtp+rs8m://h:10001 --latency 80 --name X", CLI_OK, "made stream ssssss-ssssss-ssssss  Radio",
         "taking rs8m://h:10002 for repair",
         "{\"settings\":{\"fec\":\"rs8m\",\"target_latency_ms\":80},\"display_name\":\"X\",\"source\":{\"connection_type\":"
         "\"endpoint\",\"endpoint_uri\":\"/peers/p/endpoints/aaaaaa-aaaaaa-aaaaaa\"},\"destination\":{\"connection_type\":"
         "\"external\",\"media_uri\":\"rtp+rs8m://h:10001\",\"repair_uri\":\"rs8m://h:10002\",\"control_uri\":"
         "\"rtcp://h:10003\"}}"},
        {"connect rtp://0.0.0.0:1 aaaa --allow 192.0.2.1 --json", CLI_OK, "\"stream_uri\"", nullptr,
         "\"allowed_sources\":[\"192.0.2.1\"]"},
        {"connect Küche rtp://h:1 --latency auto --json", CLI_OK, "\"stream_uri\"", nullptr,
         "{\"settings\":{\"fec\":\"none\"}"},
        {"connect Küche rtp://h:1 --latency 1.5", CLI_USAGE, nullptr, "whole milliseconds", nullptr},
        {"connect Küche rtp://h:1 --allow 192.0.2.1", CLI_USAGE, nullptr, "--allow is for URIs as source", nullptr},
        {"disconnect Rad", CLI_FAILED, nullptr, "did you mean 'Radio'?", nullptr},
        {"disconnect Radio", CLI_OK, "ended stream ssssss-ssssss-ssssss  Radio", nullptr,
         "DELETE /streams/ssssss-ssssss-ssssss HTTP/1.1"},
        {"disconnect s --json", CLI_OK, "\"deleted\": true", nullptr, nullptr},
        {"create file X", CLI_USAGE, nullptr, "which file?", nullptr},
        {"create file X --file ../x --loop -r 1", CLI_FAILED, nullptr,
         "The request is not valid\n  /file/name: leads out\n  /rate_hz: too low",
         "{\"kind\":\"file\",\"display_name\":\"X\",\"file\":{\"name\":\"../x\",\"loop\":true},\"rate_hz\":1}"},
        {"create tone X --frequency abc", CLI_USAGE, nullptr, "--frequency: expected a number", nullptr},
        {"create tone X --record", CLI_USAGE, nullptr, "--record is for the kind file", nullptr},
        {"create bell X", CLI_USAGE, nullptr, "there is no kind 'bell'", nullptr},
        {"create speaker X --channels 1", CLI_FAILED, nullptr, "The request is not valid",
         "{\"kind\":\"virtual_speaker\",\"display_name\":\"X\",\"channels\":1}"},
        {"set Küche --volume 40% --name Y", CLI_OK, "changed endpoint ", nullptr,
         "{\"display_name\":\"Y\",\"volume\":0.4}"},
        {"set Küche --volume keep -m --json", CLI_OK, "{", nullptr, "{\"muted\":true,\"volume\":null}"},
        {"set Radio --gain -6 --latency auto --unmute --enable", CLI_OK, "changed stream ssssss-ssssss-ssssss", nullptr,
         "{\"enabled\":true,\"settings\":{\"muted\":false,\"gain_db\":-6.0,\"target_latency_ms\":null}}"},
        {"set Radio --volume 1", CLI_USAGE, nullptr, "--volume is for endpoints, and this is a stream", nullptr},
        {"set Küche --gain 1", CLI_USAGE, nullptr, "--gain is for streams, and this is an endpoint", nullptr},
        {"set Küche --volume loud", CLI_USAGE, nullptr, "--volume: expected a number, found 'loud'", nullptr},
        {"set Küche -m -u", CLI_USAGE, nullptr, "exclude each other", nullptr},
        {"set Küche", CLI_USAGE, nullptr, "what shall be changed?", nullptr},
        {"set Kuche --mute", CLI_FAILED, nullptr, "there is no endpoint 'Kuche'", nullptr},
        {"watch --count 2", CLI_OK, "stream_added", nullptr, "GET /events HTTP/1.1"},
        {"watch --count 1 --types stream_added,meter --stream ab12cd-ef34gh-ij56kl", CLI_OK, nullptr, nullptr,
         "GET /events?types=stream_added,meter&stream=ab12cd-ef34gh-ij56kl HTTP/1.1"},
        {"watch --count 3 --json", CLI_OK, "{\"id\":\"e-3\",\"event\":\"stream_removed\",\"data\":{\"uid\":\"u\"}}",
         "trying again", "Last-Event-ID: e-2"},
        {"watch --types a&b", CLI_USAGE, nullptr, "expected words", nullptr},
        {"strems", CLI_USAGE, nullptr, "did you mean 'streams'?", nullptr},
        {"streams --jsn", CLI_USAGE, nullptr, "did you mean --json?", nullptr},
        {"streams extra", CLI_USAGE, nullptr, "usage: rocctl streams", nullptr},
        {"connect --help", CLI_OK, "usage: rocctl connect SRC DST", nullptr, nullptr},
        {"help watch", CLI_OK, "--types TYPE,…", nullptr, nullptr},
        {"--help", CLI_OK, "disconnect", nullptr, nullptr},
        {"--version", CLI_OK, "rocctl ", nullptr, nullptr},
        {"completion tcsh", CLI_USAGE, nullptr, "use bash, zsh or fish", nullptr},
        {"completion fish", CLI_OK, "complete -c rocctl", nullptr, nullptr},
        {"--addr 127.0.0.1:1 status", CLI_USAGE, nullptr, "both given", nullptr},
    };
    run_cases(s, CASES, sizeof CASES / sizeof CASES[0]);
}

static void nobody_there_is_told(void **) {
    struct server nobody = {.path = "/nonexistent/rocd.sock"};
    static const char *const LINES[] = {"status", "watch", "connect a rtp://h:1"};
    for (size_t i = 0; i < sizeof LINES / sizeof LINES[0]; i++) {
        struct result r;
        rocctl(&nobody, LINES[i], &r);
        assert_int_equal(r.exit, CLI_UNREACHABLE);
        assert_non_null(
            strstr(r.err, "rocd is not running at /nonexistent/rocd.sock (No such file or directory): start"));
    }
}

int main(void) {
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sides_are_taken_apart),
        cmocka_unit_test(wrong_sides_are_refused),
        cmocka_unit_test(names_and_uids_are_resolved),
        cmocka_unit_test(endpoints_of_a_site_are_resolved),
        cmocka_unit_test(text_is_made_harmless),
        cmocka_unit_test(tables_are_aligned),
        cmocka_unit_test(tables_fit),
        cmocka_unit_test(events_come_in_any_pieces),
        cmocka_unit_test(numbers_and_durations),
        cmocka_unit_test_setup_teardown(commands_talk_to_rocd, start_server, stop_server),
        cmocka_unit_test_setup_teardown(commands_know_the_peers_of_a_site, start_server, stop_server),
        cmocka_unit_test(nobody_there_is_told),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
