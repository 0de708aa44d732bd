/* SPDX-License-Identifier: MPL-2.0 */
#include "cli/client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

constexpr size_t BODY_MAX = 64 << 20;
constexpr long CONNECT_TIMEOUT_S = 5;
constexpr long REQUEST_TIMEOUT_S = 30;
/* rocd sends a comment every 15 seconds: three missing ones mean that the connection is dead. */
constexpr long SILENCE_MAX_S = 45;

struct client {
    CURL *curl;
    char *where;    /* owned: path or host:port */
    bool is_socket; /* `where` is the path of a unix socket */
    char error[CURL_ERROR_SIZE];
};

enum err client_create(const char *addr, const char *socket, struct client **ret, struct err_info *reterr) {
    static const char HTTP[] = "http://";
    if (!socket && !strncmp(addr, HTTP, strlen(HTTP)))
        addr += strlen(HTTP);
    size_t len = socket ? 0 : strcspn(addr, "/");
    if (!socket && (len == 0 || (addr[len] && strcmp(addr + len, "/"))))
        return err_set(reterr, ERR_INVALID, "'%s' is no address: give host:port, as in 127.0.0.1:4040", addr);
    struct client *c = calloc(1, sizeof *c);
    if (c) {
        c->is_socket = socket;
        c->where = socket ? strdup(socket) : strndup(addr, len);
        if (curl_global_init(CURL_GLOBAL_DEFAULT) == 0)
            c->curl = curl_easy_init();
    }
    if (!c || !c->where || !c->curl) {
        client_destroy(c);
        return err_set(reterr, ERR_NO_MEMORY, "out of memory");
    }
    *ret = c;
    return ERR_OK;
}

void client_destroy(struct client *c) {
    if (!c)
        return;
    curl_easy_cleanup(c->curl);
    curl_global_cleanup();
    free(c->where);
    free(c);
}

const char *client_where(const struct client *c) {
    return c->where;
}

static enum err set_up(struct client *c, const char *path, struct err_info *reterr) {
    char url[2048];
    int n = snprintf(url, sizeof url, "http://%s%s", c->is_socket ? "localhost" : c->where, path);
    if (n < 0 || n >= (int)sizeof url)
        return err_set(reterr, ERR_INVALID, "the request to '%.100s…' is too long", path);
    curl_easy_reset(c->curl);
    c->error[0] = 0;
    curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, c->error);
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(c->curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
    if (c->is_socket)
        curl_easy_setopt(c->curl, CURLOPT_UNIX_SOCKET_PATH, c->where);
    if (curl_easy_setopt(c->curl, CURLOPT_URL, url) != CURLE_OK)
        return err_set(reterr, ERR_NO_MEMORY, "out of memory");
    return ERR_OK;
}

static enum err translate(const struct client *c, CURLcode code, struct err_info *reterr) {
    const char *why = c->error[0] ? c->error : curl_easy_strerror(code);
    long error = 0;
    switch ((int)code) {
    case CURLE_COULDNT_CONNECT:
        /* curl's own words speak of "localhost port 80" for a unix socket */
        curl_easy_getinfo(c->curl, CURLINFO_OS_ERRNO, &error);
        return err_set(reterr, ERR_UNAVAILABLE, "%s", error ? strerrordesc_np((int)error) : why);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
        return err_set(reterr, ERR_UNAVAILABLE, "%s", why);
    case CURLE_URL_MALFORMAT:
        return err_set(reterr, ERR_INVALID, "'%s' is no address: give host:port, as in 127.0.0.1:4040", c->where);
    case CURLE_OUT_OF_MEMORY:
        return err_set(reterr, ERR_NO_MEMORY, "out of memory");
    default:
        return err_set(reterr, ERR_IO, "%s", why);
    }
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg) {
    return buf_append(arg, bytes, size * n) ? size * n : 0;
}

enum err client_request(struct client *c, const char *method, const char *path, const char *body, long *ret_status,
                        struct buf *ret_body, struct err_info *reterr) {
    enum err e = set_up(c, path, reterr);
    if (e != ERR_OK)
        return e;
    ret_body->max = BODY_MAX;
    struct curl_slist *headers = curl_slist_append(nullptr, "Content-Type: application/json");
    curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(c->curl, CURLOPT_TIMEOUT, REQUEST_TIMEOUT_S);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, ret_body);
    if (body) {
        curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body);
    }
    CURLcode code = curl_easy_perform(c->curl);
    curl_slist_free_all(headers);
    if (code != CURLE_OK)
        return translate(c, code, reterr);
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, ret_status);
    return ERR_OK;
}

/* ---- endless answers ---- */

struct stream {
    struct client *client;
    client_bytes_fn on_bytes;
    void *arg;
    struct buf *body; /* of an answer that is an error */
    bool ended_by_us;
};

static size_t on_stream_bytes(char *bytes, size_t size, size_t n, void *arg) {
    struct stream *s = arg;
    long status = 0;
    curl_easy_getinfo(s->client->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200)
        return on_body(bytes, size, n, s->body);
    s->ended_by_us = !s->on_bytes(s->arg, bytes, size * n);
    return s->ended_by_us ? 0 : size * n;
}

enum err client_stream(struct client *c, const char *path, const char *last_event_id, client_bytes_fn on_bytes,
                       void *arg, long *ret_status, struct buf *ret_body, struct err_info *reterr) {
    enum err e = set_up(c, path, reterr);
    if (e != ERR_OK)
        return e;
    ret_body->max = BODY_MAX;
    struct stream stream = {.client = c, .on_bytes = on_bytes, .arg = arg, .body = ret_body};
    struct curl_slist *headers = curl_slist_append(nullptr, "Accept: text/event-stream");
    char resume[128];
    snprintf(resume, sizeof resume, "Last-Event-ID: %.64s", last_event_id);
    if (last_event_id[0])
        headers = curl_slist_append(headers, resume);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c->curl, CURLOPT_LOW_SPEED_TIME, SILENCE_MAX_S);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_stream_bytes);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &stream);
    CURLcode code = curl_easy_perform(c->curl);
    curl_slist_free_all(headers);
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, ret_status);
    bool ended = stream.ended_by_us || code == CURLE_OK || code == CURLE_PARTIAL_FILE ||
                 (code == CURLE_RECV_ERROR && *ret_status == 200) || code == CURLE_OPERATION_TIMEDOUT;
    return ended && *ret_status ? ERR_OK : translate(c, code, reterr);
}
