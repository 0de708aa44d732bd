/* SPDX-License-Identifier: MPL-2.0 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/loop_uv.h"
#include "http/http.h"
#include "support/fake_api.h"

/*
 * The HTTP server alone, over the fake api. Says "ready PORT", ends on SIGTERM or when its input ends; exit status 3:
 * subscribers were left behind.
 */

struct server {
    struct loop_uv *loop;
    struct http *http;
    uv_signal_t sigterm;
    uv_pipe_t input;
    char unused[64]; /* of the input */
    bool stopping;
};

static void stop(struct server *server) {
    if (server->stopping)
        return;
    server->stopping = true;
    uv_close((uv_handle_t *)&server->sigterm, nullptr);
    uv_close((uv_handle_t *)&server->input, nullptr);
    http_stop(server->http);
    loop_uv_stop(server->loop);
}

static void on_signal(uv_signal_t *handle, int) {
    stop(handle->data);
}

static void on_alloc(uv_handle_t *handle, size_t, uv_buf_t *ret) {
    struct server *server = handle->data;
    *ret = uv_buf_init(server->unused, sizeof server->unused);
}

static void on_input(uv_stream_t *handle, ssize_t n, const uv_buf_t *) {
    if (n < 0)
        stop(handle->data);
}

static void on_log(void *arg, enum log_level level, const char *line, size_t len) {
    log_write_stderr(arg, level, line, len);
}

int main(int argc, char **argv) {
    struct http_config config = {.address = "127.0.0.1:0"};
    int option;
    while ((option = getopt(argc, argv, "a:s:c:r:i:h:")) != -1) {
        switch (option) {
        case 'a':
            config.address = optarg;
            break;
        case 's':
            config.socket_path = optarg;
            break;
        case 'c':
            config.connections_max = (unsigned)strtoul(optarg, nullptr, 10);
            break;
        case 'r':
            config.request_timeout_ms = (unsigned)strtoul(optarg, nullptr, 10);
            break;
        case 'i':
            config.idle_timeout_ms = (unsigned)strtoul(optarg, nullptr, 10);
            break;
        case 'h':
            config.heartbeat_ms = (unsigned)strtoul(optarg, nullptr, 10);
            break;
        default:
            return 2;
        }
    }
    struct log_sink sink;
    log_sink_init(&sink, LOG_LEVEL_DEBUG, on_log, nullptr);
    struct err_info info;
    struct server server = {};
    struct api api;
    if (loop_uv_create(&server.loop, &info) != ERR_OK)
        return 1;
    fake_api_init(&api, loop_uv_loop(server.loop));
    if (http_start(&config, server.loop, &api, (struct log){&sink, "http"}, &server.http, &info) != ERR_OK) {
        fprintf(stderr, "refused: %s: %s\n", err_name(info.code), info.message);
        loop_uv_destroy(server.loop);
        log_sink_finish(&sink);
        return 1;
    }
    uv_loop_t *uv = loop_uv_handle(server.loop);
    server.sigterm.data = server.input.data = &server;
    uv_signal_init(uv, &server.sigterm);
    uv_signal_start(&server.sigterm, on_signal, SIGTERM);
    uv_pipe_init(uv, &server.input, 0);
    uv_pipe_open(&server.input, 0);
    uv_read_start((uv_stream_t *)&server.input, on_alloc, on_input);
    printf("ready %u\n", (unsigned)http_port(server.http));
    fflush(stdout);
    loop_uv_run(server.loop);
    unsigned n_left = fake_api_finish(&api);
    loop_uv_destroy(server.loop);
    log_sink_finish(&sink);
    return n_left ? 3 : 0;
}
