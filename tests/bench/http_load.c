/* SPDX-License-Identifier: MPL-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/*
 * As many GET requests as a server answers: some connections that are kept, each with one request under way at any time.
 *
 *   http-load PORT PATH [CONNECTIONS [SECONDS]]      default 4, 3; the server is on 127.0.0.1
 *
 * Prints one line of JSON: requests answered with 200, seconds, median and p99 of the time to the last byte, in
 * milliseconds. Ends with 1 if the server answers anything else or closes a connection.
 */

constexpr size_t N_MAX = 64;
constexpr size_t REPLY_MAX = 1 << 20;
constexpr size_t SAMPLES_MAX = 1 << 20;

struct client {
    int fd;
    int64_t sent_ns;
    size_t n, whole; /* bytes of the reply that came; of all of it, 0: not known yet */
    char *reply;     /* owned */
};

struct load {
    struct client clients[N_MAX];
    size_t n_clients;
    char request[1024];
    size_t request_len;
    int64_t *samples_ns; /* owned */
    size_t n_samples, n_requests;
};

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

[[noreturn]] static void stop(const char *why, const char *detail) {
    fprintf(stderr, "http-load: %s: %.300s\n", why, detail);
    exit(1);
}

static void send_request(struct load *load, struct client *client) {
    client->n = client->whole = 0;
    client->sent_ns = now_ns();
    if (send(client->fd, load->request, load->request_len, MSG_NOSIGNAL) != (ssize_t)load->request_len)
        stop("a request could not be sent", strerror(errno));
}

static void connect_client(struct client *client, uint16_t port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    client->reply = malloc(REPLY_MAX + 1);
    if (client->fd < 0 || !client->reply || connect(client->fd, (struct sockaddr *)&to, sizeof to) != 0)
        stop("no connection", strerror(errno));
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* Once the head is there. */
static void measure_reply(struct client *client) {
    client->reply[client->n] = 0;
    const char *body = strstr(client->reply, "\r\n\r\n");
    if (!body)
        return;
    const char *length = strcasestr(client->reply, "\r\nContent-Length:");
    if (strncmp(client->reply, "HTTP/1.1 200 ", 13) != 0 || !length || length > body)
        stop("an answer that was not expected", client->reply);
    client->whole = (size_t)(body + 4 - client->reply) + strtoul(length + 17, nullptr, 10);
}

static void take_reply(struct load *load, struct client *client) {
    ssize_t got = recv(client->fd, client->reply + client->n, REPLY_MAX - client->n, 0);
    if (got <= 0)
        stop("the server ended a connection", got < 0 ? strerror(errno) : "after an answer or in it");
    client->n += (size_t)got;
    if (!client->whole)
        measure_reply(client);
    if (!client->whole || client->n < client->whole)
        return;
    load->n_requests++;
    if (load->n_samples < SAMPLES_MAX)
        load->samples_ns[load->n_samples++] = now_ns() - client->sent_ns;
    send_request(load, client);
}

static void run(struct load *load, int64_t end_ns) {
    struct pollfd polled[N_MAX];
    for (size_t i = 0; i < load->n_clients; i++) {
        polled[i] = (struct pollfd){.fd = load->clients[i].fd, .events = POLLIN};
        send_request(load, &load->clients[i]);
    }
    while (now_ns() < end_ns) {
        if (poll(polled, load->n_clients, 100) < 0 && errno != EINTR)
            stop("poll", strerror(errno));
        for (size_t i = 0; i < load->n_clients; i++)
            if (polled[i].revents)
                take_reply(load, &load->clients[i]);
    }
}

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double percentile_ms(const struct load *load, double share) {
    return load->n_samples ? (double)load->samples_ns[(size_t)(share * (double)(load->n_samples - 1))] / 1e6 : 0;
}

int main(int argc, char **argv) {
    static struct load load;
    int port = argc > 2 ? atoi(argv[1]) : 0, n = argc > 3 ? atoi(argv[3]) : 4, seconds = argc > 4 ? atoi(argv[4]) : 3;
    if (port < 1 || port > 65535 || n < 1 || n > (int)N_MAX || seconds < 1) {
        fprintf(stderr, "usage: http-load PORT PATH [CONNECTIONS [SECONDS]]\n");
        return 2;
    }
    load.n_clients = (size_t)n;
    load.request_len = (size_t)snprintf(load.request, sizeof load.request,
                                        "GET %.900s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", argv[2], port);
    load.samples_ns = malloc(SAMPLES_MAX * sizeof *load.samples_ns);
    if (!load.samples_ns)
        return 1;
    for (size_t i = 0; i < load.n_clients; i++)
        connect_client(&load.clients[i], (uint16_t)port);
    int64_t begin_ns = now_ns();
    run(&load, begin_ns + seconds * 1'000'000'000LL);
    double wall_s = (double)(now_ns() - begin_ns) / 1e9;
    qsort(load.samples_ns, load.n_samples, sizeof *load.samples_ns, by_value);
    printf("{\"path\": \"%s\", \"connections\": %d, \"requests\": %zu, \"seconds\": %.3f, \"p50_ms\": %.4f, "
           "\"p99_ms\": %.4f, \"most_ms\": %.4f}\n",
           argv[2], n, load.n_requests, wall_s, percentile_ms(&load, 0.5), percentile_ms(&load, 0.99),
           percentile_ms(&load, 1));
    for (size_t i = 0; i < load.n_clients; i++) {
        close(load.clients[i].fd);
        free(load.clients[i].reply);
    }
    free(load.samples_ns);
    return 0;
}
