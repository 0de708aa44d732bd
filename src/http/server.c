/* SPDX-License-Identifier: MPL-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "http/http_priv.h"
#include "os/listener.h"
#include "os/peercred.h"

/*
 * libmicrohttpd in external-epoll mode: its epoll descriptor is one uv_poll of the core's loop, its time-outs one
 * uv_timer. The listening sockets are ours, and so is accept(): libmicrohttpd 1.0.1 closes its own socket twice when
 * binding fails, and when descriptors have run out it tries again without pause, or not before one of its connections
 * ends. Its own time-out counts from the last byte, which a client that drips never trips: deadlines are kept here.
 */

constexpr unsigned CONNECTIONS_MAX = 512;
constexpr unsigned CONNECTIONS_MIN = 4;
constexpr unsigned FDS_OF_OTHERS = 192; /* media sockets, files, the store */
constexpr size_t CONNECTION_MEMORY = 16 * 1024;
constexpr int BACKLOG = 1024;
constexpr unsigned ACCEPTS_MAX = 64; /* at one turn of the loop */
constexpr int64_t TICK_NS = NS_PER_S / 2;
/* How long a connection may idle while others queue for its place: before its first request, and after one. */
constexpr int64_t FULL_SILENT_NS = 1 * NS_PER_S;
constexpr int64_t FULL_IDLE_NS = 5 * NS_PER_S;
/* After this time libmicrohttpd holds no further request of a connection that it would have begun. */
constexpr int64_t LEFT_NS = NS_PER_S / 10;

int64_t http_now_ns(const struct http *http) {
    return loop_now_ns(loop_uv_loop(http->loop));
}

/* ---- listeners in the loop ---- */

static void run(struct http_listener *listener);

static bool is_full(const struct http_listener *listener) {
    return listener->n_connections >= listener->connections_max;
}

static void on_timer(uv_timer_t *timer) {
    run(timer->data);
}

static void on_poll(uv_poll_t *poll, int, int) {
    run(poll->data);
}

/* The callback of libmicrohttpd that counts connections comes with its next run. */
static void on_knock(uv_poll_t *door, int, int) {
    struct http_listener *listener = door->data;
    unsigned room = is_full(listener) ? 0 : listener->connections_max - listener->n_connections;
    for (unsigned i = 0; i < room && i < ACCEPTS_MAX; i++) {
        struct sockaddr_storage from = {};
        socklen_t len = sizeof from;
        int fd = accept4(listener->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            listener->is_short = os_accept_is_short(errno);
            break;
        }
        (void)MHD_add_connection(listener->daemon, fd, (struct sockaddr *)&from, len); /* takes it, come what may */
    }
    run(listener);
}

/* New connections wait in the system's queue while there is no room for them. */
static void open_or_close_door(struct http_listener *listener) {
    if (is_full(listener) || listener->is_short)
        uv_poll_stop(&listener->door);
    else
        uv_poll_start(&listener->door, UV_READABLE, on_knock);
}

static void run(struct http_listener *listener) {
    if (!listener->daemon)
        return;
    MHD_run(listener->daemon);
    open_or_close_door(listener);
    uint64_t wait_ms;
    if (MHD_get_timeout64(listener->daemon, &wait_ms) == MHD_YES)
        uv_timer_start(&listener->timer, on_timer, wait_ms, 0);
    else
        uv_timer_stop(&listener->timer);
}

void http_listener_run_soon(struct http_listener *listener) {
    if (listener->daemon)
        uv_timer_start(&listener->timer, on_timer, 0, 0);
}

/* ---- connections ---- */

static void set_principal(struct http_connection *connection) {
    struct api_principal *p = &connection->principal;
    if (!connection->listener->is_unix) {
        p->privilege = API_ADMIN; /* the listener is bound to loopback */
        snprintf(p->name, sizeof p->name, "tcp:loopback");
        return;
    }
    uid_t uid;
    bool known = peercred_uid(connection->fd, &uid);
    p->privilege = known && (uid == 0 || uid == geteuid()) ? API_ADMIN : API_NOBODY;
    if (known)
        snprintf(p->name, sizeof p->name, "unix:%u", (unsigned)uid);
    else
        snprintf(p->name, sizeof p->name, "unix:unknown");
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode code) {
    struct http_listener *listener = cls;
    struct http *http = listener->http;
    struct http_connection *connection = *context;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        listener->n_connections--;
        if (connection)
            list_remove(&connection->link);
        free(connection);
        *context = nullptr;
        return;
    }
    listener->n_connections++;
    connection = calloc(1, sizeof *connection);
    if (!connection)
        return; /* its requests are refused: there is nobody they come from */
    connection->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    connection->idle_ns = http_now_ns(http);
    connection->deadline_ns = connection->idle_ns + http->request_timeout_ns;
    connection->listener = listener;
    set_principal(connection);
    list_append(&http->connections, &connection->link);
    *context = connection;
}

/* The client has closed its side after its last request. libmicrohttpd is told by the edge alone, and misses it when the
 * end came together with the request. */
static bool is_left(const struct http_connection *c, int64_t now_ns) {
    char byte;
    return c->state == CONNECTION_IDLE && now_ns - c->idle_ns > LEFT_NS &&
           recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static bool is_overdue(const struct http_connection *c, int64_t now_ns) {
    if (c->deadline_ns < now_ns)
        return true;
    return c->state == CONNECTION_IDLE && is_full(c->listener) &&
           now_ns - c->idle_ns > (c->has_asked ? FULL_IDLE_NS : FULL_SILENT_NS);
}

static void try_again(struct http_listener *listener) {
    if (!listener || !listener->is_short)
        return;
    listener->is_short = false;
    open_or_close_door(listener);
}

static void on_tick(void *arg) {
    struct http *http = arg;
    try_again(http->tcp);
    try_again(http->unix_socket);
    int64_t now = http_now_ns(http);
    struct http_connection *c;
    list_for_each(c, &http->connections, link) {
        if (is_overdue(c, now) || is_left(c, now))
            shutdown(c->fd, SHUT_RDWR);
    }
    subscribers_check(http);
    loop_timer_start(loop_uv_loop(http->loop), &http->tick, TICK_NS);
}

static void on_news(void *arg) {
    subscribers_wake(arg);
}

/* ---- sockets ---- */

/* "127.0.0.1:4040", "localhost:4040", "[::1]:4040" */
static enum err parse_address(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len,
                              struct err_info *reterr) {
    const char *colon = strrchr(text, ':');
    char host[64];
    size_t n = colon ? (size_t)(colon - text) : 0;
    char *end = nullptr;
    unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;
    if (!n || n >= sizeof host || !end || *end || end == colon + 1 || port > 65535)
        return err_set(reterr, ERR_INVALID, "'%s' is no address to listen on: write 127.0.0.1:4040 or [::1]:4040",
                       text);
    memcpy(host, text, n);
    host[n] = 0;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    bool loopback;
    *ret = (struct sockaddr_storage){};
    if (host[0] == '[' && host[n - 1] == ']') {
        host[n - 1] = 0;
        if (inet_pton(AF_INET6, host + 1, &v6.sin6_addr) != 1)
            return err_set(reterr, ERR_INVALID, "'%s' holds no IPv6 address: write [::1]:4040", text);
        loopback = IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
        memcpy(ret, &v6, *ret_len = sizeof v6);
    } else {
        if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &v4.sin_addr) != 1)
            return err_set(reterr, ERR_INVALID, "'%s' holds no IP address: write 127.0.0.1:4040 or [::1]:4040", text);
        loopback = ntohl(v4.sin_addr.s_addr) >> 24 == 127;
        memcpy(ret, &v4, *ret_len = sizeof v4);
    }
    if (!loopback)
        return err_set(
            reterr, ERR_UNSUPPORTED,
            "the API cannot be served on %s: beyond loopback it needs TLS and tokens, which are not built yet; use "
            "127.0.0.1 or [::1], and an SSH tunnel to reach it from elsewhere",
            text);
    return ERR_OK;
}

static enum err listen_tcp(struct http *http, const char *address, int *ret_fd, struct err_info *reterr) {
    struct sockaddr_storage at;
    socklen_t len = 0;
    enum err e = parse_address(address, &at, &len, reterr);
    if (e != ERR_OK)
        return e;
    int fd = os_listener_open((struct sockaddr *)&at, len, BACKLOG);
    if (fd < 0 && errno == EADDRINUSE)
        return err_set(reterr, ERR_BUSY,
                       "%s is in use, perhaps by another rocd: stop it, or choose another address with "
                       "-a ADDR:PORT (port 0 picks a free one)",
                       address);
    if (fd < 0)
        return err_set_errno(reterr, errno, "listening on %s", address);
    http->port = os_listener_port(fd);
    char text[80];
    snprintf(text, sizeof text, "%.*s:%u", (int)(strrchr(address, ':') - address), address, (unsigned)http->port);
    log_info(http->log, "listening", LOG_STR("address", text));
    *ret_fd = fd;
    return ERR_OK;
}

/* Is somebody listening behind this socket file? */
static bool is_alive(const struct sockaddr_un *at) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool alive = fd >= 0 && (connect(fd, (const struct sockaddr *)at, sizeof *at) == 0 || errno == EAGAIN);
    if (fd >= 0)
        close(fd);
    return alive;
}

static enum err listen_unix(struct http *http, const char *path, int *ret_fd, struct err_info *reterr) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof at.sun_path)
        return err_set(reterr, ERR_INVALID,
                       "the socket path %s is longer than the %zu bytes the system allows: give a shorter "
                       "one with --socket",
                       path, sizeof at.sun_path - 1);
    memcpy(at.sun_path, path, strlen(path) + 1);
    struct stat st;
    if (lstat(path, &st) == 0) {
        if (!S_ISSOCK(st.st_mode))
            return err_set(reterr, ERR_CONFLICT,
                           "%s is there and is not a socket: move it away or give --socket another path", path);
        if (is_alive(&at))
            return err_set(reterr, ERR_BUSY, "another program listens on %s: stop it or give --socket another path",
                           path);
        unlink(path); /* of a daemon that died */
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_set_errno(reterr, errno, "making the socket %s", path);
    fchmod(fd, 0600); /* Linux: the file gets this mode */
    if (bind(fd, (struct sockaddr *)&at, sizeof at) || chmod(path, 0600) || listen(fd, BACKLOG)) {
        int error = errno;
        close(fd);
        return err_set_errno(reterr, error, "listening on %s", path);
    }
    if (lstat(path, &st) == 0) {
        http->socket_dev = st.st_dev;
        http->socket_ino = st.st_ino;
    }
    http->socket_path = strdup(path);
    log_info(http->log, "listening", LOG_STR("socket", path));
    *ret_fd = fd;
    return ERR_OK;
}

/* ---- life ---- */

static void on_log(void *cls, const char *format, va_list args) {
    struct http *http = cls;
    char text[256];
    vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\r\n")] = 0;
    log_debug(http->log, "libmicrohttpd says", LOG_STR("text", text));
}

/* Takes the socket. */
static enum err start_listener(struct http *http, int fd, bool is_unix, struct http_listener **ret,
                               struct err_info *reterr) {
    struct http_listener *l = calloc(1, sizeof *l);
    if (l) {
        l->http = http;
        l->fd = fd;
        l->is_unix = is_unix;
        l->connections_max = http->connections_max;
        if (is_unix && http->tcp && http->connections_max / 4 >= CONNECTIONS_MIN)
            l->connections_max = http->connections_max / 4;
        l->daemon = MHD_start_daemon(
            MHD_USE_EPOLL | MHD_USE_ERROR_LOG | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET, 0, nullptr,
            nullptr, request_on_call, l, MHD_OPTION_EXTERNAL_LOGGER, on_log, http, MHD_OPTION_NOTIFY_COMPLETED,
            request_on_completed, l, MHD_OPTION_NOTIFY_CONNECTION, on_connection, l, MHD_OPTION_URI_LOG_CALLBACK,
            request_on_target, l, MHD_OPTION_CONNECTION_LIMIT, l->connections_max, MHD_OPTION_CONNECTION_TIMEOUT, 0u,
            MHD_OPTION_CLIENT_DISCIPLINE_LVL, 1, MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, MHD_OPTION_END);
    }
    if (!l || !l->daemon) {
        close(fd);
        free(l);
        return err_set(reterr, ERR_INTERNAL, "the HTTP server could not be started");
    }
    uv_loop_t *uv = loop_uv_handle(http->loop);
    uv_timer_init(uv, &l->timer);
    uv_poll_init(uv, &l->poll, MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd);
    uv_poll_init(uv, &l->door, fd);
    l->timer.data = l->poll.data = l->door.data = l;
    l->n_open = 3;
    uv_poll_start(&l->poll, UV_READABLE, on_poll);
    run(l);
    *ret = l;
    return ERR_OK;
}

/* Descriptors are shared with the sound: running out of them must not be a matter of opening connections. */
static unsigned count_connections_max(struct log log, unsigned wanted) {
    unsigned n = wanted ? wanted : CONNECTIONS_MAX;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == RLIM_INFINITY)
        return n;
    rlim_t room = limit.rlim_cur > FDS_OF_OTHERS ? (limit.rlim_cur - FDS_OF_OTHERS) / 5 * 4 : 0;
    if (room < CONNECTIONS_MIN)
        room = CONNECTIONS_MIN;
    if (n <= room)
        return n;
    log_warn(log, "fewer HTTP connections than wanted: raise the limit of open files (ulimit -n, LimitNOFILE=)",
             LOG_UINT("wanted", n), LOG_UINT("connections_max", room), LOG_UINT("open_files_max", limit.rlim_cur));
    return (unsigned)room;
}

static int64_t or_default(unsigned ms, int64_t default_ns) {
    return ms ? ms * NS_PER_MS : default_ns;
}

enum err http_start(const struct http_config *config, struct loop_uv *loop, struct api *api, struct log log,
                    struct http **ret, struct err_info *reterr) {
    struct http *http = calloc(1, sizeof *http);
    if (!http)
        return err_set(reterr, ERR_NO_MEMORY, "out of memory: the HTTP server could not be started");
    *http = (struct http){
        .log = log,
        .loop = loop,
        .api = api,
        .connections_max = count_connections_max(log, config->connections_max),
        .request_timeout_ns = or_default(config->request_timeout_ms, 10 * NS_PER_S),
        .idle_timeout_ns = or_default(config->idle_timeout_ms, 60 * NS_PER_S),
        .heartbeat_ns = or_default(config->heartbeat_ms, 15 * NS_PER_S),
        .tick = {.fire = on_tick, .arg = http},
    };
    list_init(&http->connections);
    list_init(&http->subscribers);
    list_init(&http->waiting);
    enum err e = ERR_OK;
    int fd = -1;
    if (config->address && *config->address) {
        e = listen_tcp(http, config->address, &fd, reterr);
        if (e == ERR_OK)
            e = start_listener(http, fd, false, &http->tcp, reterr);
    }
    if (e == ERR_OK && config->socket_path && *config->socket_path) {
        e = listen_unix(http, config->socket_path, &fd, reterr);
        if (e == ERR_OK)
            e = start_listener(http, fd, true, &http->unix_socket, reterr);
    }
    if (e != ERR_OK) {
        http_stop(http);
        return e;
    }
    api_on_events(api, on_news, http);
    loop_timer_start(loop_uv_loop(loop), &http->tick, TICK_NS);
    *ret = http;
    return ERR_OK;
}

static void on_closed(uv_handle_t *handle) {
    struct http_listener *l = handle->data;
    if (--l->n_open == 0)
        free(l);
}

static void stop_listener(struct http_listener *l) {
    if (!l)
        return;
    uv_poll_stop(&l->poll);
    uv_poll_stop(&l->door);
    MHD_run(l->daemon); /* resumed connections are taken up, ended event streams closed */
    MHD_stop_daemon(l->daemon);
    l->daemon = nullptr;
    uv_close((uv_handle_t *)&l->door, on_closed);
    close(l->fd);
    uv_close((uv_handle_t *)&l->poll, on_closed);
    uv_close((uv_handle_t *)&l->timer, on_closed);
}

void http_stop(struct http *http) {
    if (!http)
        return;
    http->stopping = true;
    api_off_events(http->api, http);
    loop_timer_stop(loop_uv_loop(http->loop), &http->tick);
    subscribers_wake(http);
    requests_release(http);
    stop_listener(http->tcp);
    stop_listener(http->unix_socket);
    struct stat st;
    if (http->socket_path && lstat(http->socket_path, &st) == 0 && st.st_dev == http->socket_dev &&
        st.st_ino == http->socket_ino)
        unlink(http->socket_path);
    free(http->socket_path);
    free(http);
}

uint16_t http_port(const struct http *http) {
    return http ? http->port : 0;
}
