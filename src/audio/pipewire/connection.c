/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "audio/pipewire/pipewire_priv.h"

/*
 * The connection to the server, which may be absent, die and return at any time.
 *
 * The loss of it is only noted where the library tells of it, and acted upon from the loop: there the library is not in
 * the middle of something. To connect again at once would reach the socket of the server that is just dying, so it is tried
 * after pauses that grow; and at once when something happens in the directory where the socket appears.
 */

constexpr int64_t RETRY_FIRST_NS = 100 * NS_PER_MS;
constexpr int64_t RETRY_LAST_NS = 10 * NS_PER_S;
constexpr int64_t SOCKET_SEEN_NS = 20 * NS_PER_MS;
/* A server that is reached and says nothing for so long is told of as unavailable; it is waited for all the same. */
constexpr int64_t ANSWER_NS = 10 * NS_PER_S;
/* The first answer comes after the names of all objects, the second after what they are, the third after what was asked then. */
constexpr int LISTING_ANSWERS = 3;

int connection_sync(struct pipewire *pw) {
    return pw_core_sync(pw->core, PW_ID_CORE, 0);
}

static void arm(struct pipewire *pw, int64_t after_ns) {
    struct timespec at = {.tv_sec = after_ns / NS_PER_S, .tv_nsec = after_ns % NS_PER_S};
    if (after_ns == 0)
        at.tv_nsec = 1; /* 0 would stop it */
    pw_loop_update_timer(pw->loop, pw->retry_timer, &at, nullptr, false);
}

void connection_tell(struct pipewire *pw) {
    if (pw->is_watched && pw->has_verdict)
        news_say_driver(pw->news, &pw->driver_failure);
}

static void verdict(struct pipewire *pw, const struct err_info *failure) {
    bool is_new = !pw->has_verdict || pw->driver_failure.code != failure->code;
    bool is_other = is_new || strcmp(pw->driver_failure.message, failure->message) != 0;
    pw->has_verdict = true;
    pw->driver_failure = *failure;
    if (is_new && failure->code != ERR_OK)
        log_info(pw->log, "PipeWire is of no use at present", LOG_STR("reason", failure->message));
    else if (is_new)
        log_info(pw->log, "connected to PipeWire");
    if (is_other)
        connection_tell(pw);
}

static void failed(struct pipewire *pw, const char *what, const char *why) {
    struct err_info failure = {};
    (void)err_set(&failure, ERR_UNAVAILABLE,
                  "%s (%s): no device of this desktop can be used until it is back; rocd tries again by itself", what,
                  why);
    verdict(pw, &failure);
}

static void retry_later(struct pipewire *pw) {
    int64_t pause_ns = RETRY_FIRST_NS << (pw->n_retries < 7 ? pw->n_retries : 7);
    pw->n_retries++;
    arm(pw, pause_ns < RETRY_LAST_NS ? pause_ns : RETRY_LAST_NS);
}

/* ---- the server's answers ---- */

static void on_done(void *arg, uint32_t id, int seq) {
    struct pipewire *pw = arg;
    if (id != PW_ID_CORE)
        return;
    if (!pw->is_listed && seq == pw->listed_seq && ++pw->n_answers < LISTING_ANSWERS) {
        pw->listed_seq = connection_sync(pw);
    } else if (!pw->is_listed && seq == pw->listed_seq) {
        pw->is_listed = true;
        pw->n_retries = 0;
        pw_loop_update_timer(pw->loop, pw->retry_timer, nullptr, nullptr, false);
        verdict(pw, &(struct err_info){});
        lines_connect(pw); /* virtual devices first: programs wait for theirs */
        graph_tell_all(pw);
    }
    graph_on_done(pw, seq);
    lines_on_done(pw, seq);
}

static void on_error(void *arg, uint32_t id, int seq, int result, const char *message) {
    struct pipewire *pw = arg;
    if (id == PW_ID_CORE && result == -EPIPE) {
        pw->is_lost = true;
        pw_loop_signal_event(pw->loop, pw->lost_event);
        return;
    }
    log_debug(pw->log, "PipeWire refused something", LOG_UINT("object", id), LOG_INT("seq", seq),
              LOG_STR("why", message ? message : strerror(-result)));
}

static const struct pw_core_events CORE_EVENTS = {
    .version = PW_VERSION_CORE_EVENTS, .done = on_done, .error = on_error};

static void disconnect(struct pipewire *pw) {
    if (!pw->core)
        return;
    pw->is_listed = false;
    lines_disconnect(pw);
    graph_stop(pw);
    spa_hook_remove(&pw->core_hook);
    pw_core_disconnect(pw->core);
    pw->core = nullptr;
    pw->is_lost = false;
}

static void on_lost(void *arg, uint64_t) {
    struct pipewire *pw = arg;
    if (!pw->is_lost)
        return;
    disconnect(pw);
    failed(pw, "PipeWire has ended or closed the connection", "it may be restarting");
    retry_later(pw);
}

/* ---- connecting ---- */

static bool make_context(struct pipewire *pw) {
    if (pw->context)
        return true;
    pw->context =
        pw_context_new(pw->loop, pw_properties_new(PW_KEY_APP_NAME, "rocd", PW_KEY_APP_ID, "rocd", nullptr), 0);
    if (!pw->context)
        failed(pw, "PipeWire's library could not be set up", strerror(errno));
    return pw->context != nullptr;
}

static void not_reached(struct pipewire *pw, int error_number) {
    char why[sizeof pw->socket_dir + 64];
    if (error_number == EACCES || error_number == EPERM) {
        failed(pw, "PipeWire does not let rocd in", strerror(error_number));
        return;
    }
    if (pw->socket_dir[0])
        snprintf(why, sizeof why, "nobody answers at its socket in %s", pw->socket_dir);
    else
        snprintf(why, sizeof why, "XDG_RUNTIME_DIR is not set: rocd must run in the session of the desktop's user");
    failed(pw, "PipeWire does not run here", why);
}

static void connect_now(struct pipewire *pw) {
    if (!make_context(pw))
        return;
    pw->core = pw_context_connect(pw->context, nullptr, 0);
    if (!pw->core) {
        not_reached(pw, errno);
        return;
    }
    pw_core_add_listener(pw->core, &pw->core_hook, &CORE_EVENTS, pw);
    graph_start(pw);
    pw->n_answers = 0;
    pw->listed_seq = connection_sync(pw);
    arm(pw, ANSWER_NS);
}

static void on_retry(void *arg, uint64_t) {
    struct pipewire *pw = arg;
    if (pw->core) {
        if (!pw->is_listed)
            failed(pw, "PipeWire does not answer", "it was reached and has said nothing since");
        return;
    }
    connect_now(pw);
    if (!pw->core)
        retry_later(pw);
}

/* Other programs put their things there, too. */
static bool is_of_the_server(const char *name) {
    const char *remote = getenv("PIPEWIRE_REMOTE");
    const char *begin = remote && remote[0] == '/' ? strrchr(remote, '/') + 1 : "pipewire-";
    return strncmp(name, begin, strlen(begin)) == 0;
}

static void on_directory(void *arg, int fd, uint32_t) {
    struct pipewire *pw = arg;
    alignas(struct inotify_event) char events[4096];
    bool is_seen = false;
    for (ssize_t n; (n = read(fd, events, sizeof events)) > 0;)
        for (const char *at = events; at < events + n;) {
            const struct inotify_event *event = (const struct inotify_event *)(const void *)at;
            is_seen |= event->len > 0 && is_of_the_server(event->name);
            at += sizeof *event + event->len;
        }
    if (is_seen && !pw->core && pw->n_retries > 0) {
        pw->n_retries = 0;
        arm(pw, SOCKET_SEEN_NS);
    }
}

/* Where the server's socket is, or will be; without such a directory there is only the timer. */
static void watch_socket(struct pipewire *pw) {
    const char *remote = getenv("PIPEWIRE_REMOTE"), *dir = nullptr;
    const char *names[] = {"PIPEWIRE_RUNTIME_DIR", "XDG_RUNTIME_DIR", "USERPROFILE"};
    for (size_t i = 0; i < sizeof names / sizeof *names && !dir; i++)
        dir = getenv(names[i]);
    if (remote && remote[0] == '/')
        snprintf(pw->socket_dir, sizeof pw->socket_dir, "%.*s", (int)(strrchr(remote, '/') - remote), remote);
    else if (dir)
        snprintf(pw->socket_dir, sizeof pw->socket_dir, "%s", dir);
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (fd < 0)
        return;
    pw->socket_watch = inotify_add_watch(fd, pw->socket_dir, IN_CREATE | IN_MOVED_TO | IN_ATTRIB) < 0
                           ? nullptr
                           : pw_loop_add_io(pw->loop, fd, SPA_IO_IN, true, on_directory, pw);
    if (!pw->socket_watch)
        close(fd);
}

void connection_start(struct pipewire *pw) {
    pw->retry_timer = pw_loop_add_timer(pw->loop, on_retry, pw);
    pw->lost_event = pw_loop_add_event(pw->loop, on_lost, pw);
    watch_socket(pw);
    arm(pw, 0);
}

void connection_stop(struct pipewire *pw) {
    disconnect(pw);
    if (pw->context)
        pw_context_destroy(pw->context);
    pw->context = nullptr;
    struct spa_source **sources[] = {&pw->retry_timer, &pw->lost_event, &pw->socket_watch};
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        if (*sources[i])
            pw_loop_destroy_source(pw->loop, *sources[i]);
        *sources[i] = nullptr;
    }
}
