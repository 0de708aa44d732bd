/* SPDX-License-Identifier: MPL-2.0 */
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "api/fake_orchestrator.h"

/*
 * Whatever a transport may hand to api_dispatch(), against the fake orchestrator of api's own tests. The input is lines:
 * method, path, query, If-Match, If-None-Match, Last-Event-ID; the rest is the body. An empty line is an absent value.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *next_line(char **at) {
    char *line = *at;
    char *end = strchr(line, '\n');
    *at = end ? end + 1 : line + strlen(line);
    if (end)
        *end = 0;
    return *line ? line : nullptr;
}

static void on_reply(void *arg, struct api_reply *reply) {
    int *n_replies = arg;
    ++*n_replies;
    if (reply->status < 200 || reply->status > 599 || reply->status == 500)
        abort();
    if (reply->events) {
        struct buf buf = {};
        api_events_read(reply->events, &buf, 4096);
        buf_finish(&buf);
    }
    api_reply_finish(reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    if (size)
        memcpy(text, data, size);
    text[size] = 0;
    char *at = text;
    const char *method = next_line(&at);
    const char *path = next_line(&at);
    struct api_request request = {.method = method ? method : "GET",
                                  .path = path ? path : "/",
                                  .query = next_line(&at),
                                  .if_match = next_line(&at),
                                  .if_none_match = next_line(&at),
                                  .last_event_id = next_line(&at),
                                  .content_type = "application/json",
                                  .principal = {.privilege = API_ADMIN, .name = "fuzz"}};
    request.body = at;
    request.body_len = (size_t)(text + size - at);
    struct orchestrator *fake = fake_create();
    struct api_config config = {.orchestrator = fake};
    struct api *api;
    if (api_create(&config, &api, nullptr) != ERR_OK)
        abort();
    int n_replies = 0;
    /* Twice: the second finds what the first has made. */
    for (int i = 0; i < 2; i++) {
        api_dispatch(api, &request, on_reply, &n_replies);
        fake_store_answers(fake, ERR_OK);
    }
    if (n_replies != 2)
        abort();
    api_destroy(api);
    fake_destroy(fake);
    free(text);
    return 0;
}
