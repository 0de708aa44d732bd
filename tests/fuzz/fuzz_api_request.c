/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "api/api.h"
#include "api/fake_orchestrator.h"
#include "base/json.h"
#include "fuzz/target.h"
#include "http/guards.h"

/*
 * Whatever a client may say, from the bytes of its request to the reply: the guards of http, then the api against the fake
 * orchestrator of its own tests, in which there are an endpoint, a stream and some events. The input is lines: method,
 * target, If-Match, If-None-Match, Last-Event-ID, Content-Type, Host, Origin; the rest is the body. An empty line is an
 * absent value, but for the Content-Type: there it is JSON.
 */
static char *next_line(char **at) {
    char *line = *at;
    char *end = strchr(line, '\n');
    *at = end ? end + 1 : line + strlen(line);
    if (end)
        *end = 0;
    return *line ? line : nullptr;
}

static bool is_clean(const char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7F)
            return false;
    return true;
}

static void check_reply(const struct api_reply *reply) {
    FUZZ_CHECK(reply->status >= 200 && reply->status <= 599);
    FUZZ_CHECK(reply->status != 500);
    FUZZ_CHECK(reply->n_headers <= API_HEADERS_MAX);
    for (size_t i = 0; i < reply->n_headers; i++)
        FUZZ_CHECK(is_clean(reply->headers[i].name) && is_clean(reply->headers[i].value));
    bool is_problem = reply->content_type && strcmp(reply->content_type, "application/problem+json") == 0;
    FUZZ_CHECK(is_problem == (reply->status >= 400));
    if (is_problem || (reply->body && reply->content_type && strcmp(reply->content_type, "application/json") == 0)) {
        yyjson_doc *doc = yyjson_read(reply->body, reply->body_len, YYJSON_READ_NOFLAG);
        FUZZ_CHECK(doc);
        if (is_problem)
            FUZZ_CHECK(yyjson_get_int(yyjson_obj_get(yyjson_doc_get_root(doc), "status")) == reply->status);
        yyjson_doc_free(doc);
    }
}

static void on_reply(void *arg, struct api_reply *reply) {
    int *n_replies = arg;
    ++*n_replies;
    check_reply(reply);
    if (reply->events) {
        struct buf buf = {};
        api_events_read(reply->events, &buf, 4096);
        api_events_read(reply->events, &buf, 4096);
        buf_finish(&buf);
    }
    api_reply_finish(reply);
}

static void ask(struct api *api, struct orchestrator *fake, const struct api_request *request) {
    int n_replies = 0;
    api_dispatch(api, request, on_reply, &n_replies);
    fake_store_answers(fake, ERR_OK);
    FUZZ_CHECK(n_replies == 1);
}

static void put(struct api *api, struct orchestrator *fake, const char *path, const char *body) {
    ask(api, fake,
        &(struct api_request){.method = "PUT",
                              .path = path,
                              .body = body,
                              .body_len = strlen(body),
                              .content_type = "application/json",
                              .if_none_match = "*",
                              .principal = {.privilege = API_ADMIN}});
}

static void furnish(struct api *api, struct orchestrator *fake) {
    put(api, fake, "/peers/self/endpoints/aaaaaa-aaaaaa-aaaaaa", "{\"kind\":\"tone\",\"tone\":{}}");
    put(api, fake, "/streams/aaaaaa-aaaaaa-aaaaaa",
        "{\"source\":{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"/peers/self/endpoints/aaaaaa-aaaaaa-aaaaaa\"},"
        "\"destination\":{\"connection_type\":\"external\",\"media_uri\":\"rtp://127.0.0.1:1\"}}");
    FUZZ_CHECK(fake->n_endpoints == 1 && fake->n_streams == 1);
    for (int i = 0; i < 3; i++)
        fake_event(fake, EVENT_STREAM_UPDATED, "aaaaaa-aaaaaa-aaaaaa", "{}");
    fake_event(fake, EVENT_METER, "aaaaaa-aaaaaa-aaaaaa", "{}");
}

/* As the server does; false: refused, with a reply. */
static bool pass_guards(struct api_request *request, const char *target, const char *host, const char *origin,
                        char path[static GUARD_TARGET_MAX + 1]) {
    struct err_info info = {};
    if ((!host || guard_host(host, &info) == ERR_OK) && guard_origin(host, origin, nullptr, false, &info) == ERR_OK &&
        guard_target(target, path, &request->query, &info) == ERR_OK) {
        request->path = path;
        FUZZ_CHECK(path[0] == '/' && is_clean(path) && strlen(path) <= GUARD_TARGET_MAX);
        return true;
    }
    struct api_reply reply = {};
    api_problem(&reply, &info);
    FUZZ_CHECK(reply.status >= 400 && info.message[0]);
    check_reply(&reply);
    api_reply_finish(&reply);
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = 0;
    char *at = text;
    const char *lines[8];
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        lines[i] = next_line(&at);
    struct api_request request = {.method = lines[0] ? lines[0] : "GET",
                                  .if_match = lines[2],
                                  .if_none_match = lines[3],
                                  .last_event_id = lines[4],
                                  .content_type = lines[5] ? lines[5] : "application/json",
                                  .principal = {.privilege = API_ADMIN, .name = "fuzz"}};
    char path[GUARD_TARGET_MAX + 1];
    if (!pass_guards(&request, lines[1] ? lines[1] : "/", lines[6], lines[7], path)) {
        free(text);
        return 0;
    }
    /* Exactly so large and without a NUL behind it, as it comes from the network. */
    request.body_len = (size_t)(text + size - at);
    char *body = request.body_len ? malloc(request.body_len) : nullptr;
    if (body)
        memcpy(body, at, request.body_len);
    request.body = body;

    struct orchestrator *fake = fake_create();
    struct api_config config = {.orchestrator = fake};
    struct api *api;
    FUZZ_CHECK(api_create(&config, &api, nullptr) == ERR_OK);
    furnish(api, fake);
    /* Twice: the second finds what the first has made. */
    ask(api, fake, &request);
    ask(api, fake, &request);
    api_destroy(api);
    fake_destroy(fake);
    free(body);
    free(text);
    return 0;
}
