/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "signaling/links_priv.h"
#include "signaling/zmq/zmq_carrier.h"
#include "signaling/zmq/zmq_test_site.h"

/*
 * What ZeroMQ is known to do to those who trust it, each with a test, over real sockets on loopback: dead peers, dead
 * wires, wrong keys, strangers and members that misbehave.
 */

static struct test_site site;
static struct test_peer *const A = &site.peers[0];
static struct test_peer *const B = &site.peers[1];
static struct test_peer *const C = &site.peers[2];

static int set_up(void **) {
    test_site_init(&site);
    return 0;
}

static int tear_down(void **) {
    test_site_finish(&site);
    return 0;
}

static bool is_not_up(void *) {
    return !test_is_up(A, B);
}

static struct links_peer look(const struct test_peer *p, const struct test_peer *other) {
    struct links_peer now = {};
    assert_true(links_peer(p->links, other->uid, &now));
    return now;
}

static bool is_refused(void *) {
    return look(A, B).state == LINKS_REFUSED;
}

static void expect_served(struct test_peer *from, struct test_peer *by) {
    struct test_caller c;
    test_ask(from, by, "/x", nullptr, &c);
    test_wait_done(&site, &c);
    if (c.status != 204)
        fail_msg("%s", c.why);
}

/* ---- row: peer kill -9, back; ZeroMQ does not tell ---- */

/* This program again, as a peer that only listens: its secret, its port, its epoch, the members it knows. */
static int be_a_peer(char **argv) {
    static struct test_site alone;
    struct test_peer *p = &alone.peers[0];
    test_site_init(&alone);
    if (!crypto_unhex(p->key.secret_key, CRYPTO_SECRET_KEY_SIZE, argv[2]) ||
        !crypto_unhex(p->key.public_key, CRYPTO_PUBLIC_KEY_SIZE, argv[3]))
        return 1;
    node_id_format(p->node_id, p->key.public_key);
    uid_reproducible(p->uid, UID_TAG_PEER, p->key.public_key, CRYPTO_PUBLIC_KEY_SIZE);
    p->port = (uint16_t)strtoul(argv[4], nullptr, 10);
    p->epoch = strtoull(argv[5], nullptr, 10);
    for (int i = 6; i < 8; i++)
        if (roster_add(&p->roster, argv[i], "", ROSTER_ADMIN, p->key.public_key, nullptr) != ERR_OK)
            return 1;
    test_start(p);
    printf("%u\n", (unsigned)p->port);
    fflush(stdout);
    loop_uv_run(alone.loop);
    return 0;
}

static pid_t spawn_b(uint64_t epoch) {
    char secret[2 * CRYPTO_SECRET_KEY_SIZE + 1], public[2 * CRYPTO_PUBLIC_KEY_SIZE + 1], port[16], run[32];
    int out[2];
    crypto_hex(secret, B->key.secret_key, CRYPTO_SECRET_KEY_SIZE);
    crypto_hex(public, B->key.public_key, CRYPTO_PUBLIC_KEY_SIZE);
    snprintf(port, sizeof port, "%u", (unsigned)B->port);
    snprintf(run, sizeof run, "%llu", (unsigned long long)epoch);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        execl("/proc/self/exe", "pitfalls", "--peer", secret, public, port, run, A->node_id, C->node_id, nullptr);
        _exit(127);
    }
    close(out[1]);
    FILE *file = fdopen(out[0], "r");
    unsigned got = 0;
    assert_int_equal(fscanf(file, "%u", &got), 1);
    fclose(file);
    B->port = (uint16_t)got;
    return pid;
}

static bool is_up(void *) {
    return test_is_up(A, B);
}

static void kill_9(pid_t pid) {
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, nullptr, 0), pid);
}

static void a_peer_that_is_killed_and_back_is_known_as_another_run(void **) {
    pid_t pid = spawn_b(0x1000);
    test_list(A, B, B->port);
    test_start(A);
    test_dial_now(A, B);
    test_wait(&site, is_up, nullptr);
    uint64_t first = look(A, B).epoch;
    struct test_caller waiting;
    test_ask(A, B, "/later", nullptr, &waiting);
    kill_9(pid);
    test_wait(&site, is_not_up, nullptr);
    pid = spawn_b(0x2000);
    test_wait(&site, is_up, nullptr); /* by itself */
    assert_true(look(A, B).epoch != first);
    test_wait_done(&site, &waiting);
    assert_int_equal(waiting.status, 0);
    assert_int_equal(waiting.code, ERR_UNAVAILABLE);
    expect_served(A, B);
    kill_9(pid);
}

/* ---- row: messages sent while the peer is dead reach the new instance ---- */

#define EPOCH_OF_A "00000000000000aa"

static int hello(char *to, size_t size, uint64_t b_epoch) {
    char known[32] = "";
    if (b_epoch)
        snprintf(known, sizeof known, "\"to\":\"%016llx\",", (unsigned long long)b_epoch);
    return snprintf(to, size, "{\"t\":\"hello\",\"from\":\"" EPOCH_OF_A "\",%s\"proto\":[1,1],\"up\":true}\n", known);
}

static int request(char *to, size_t size, uint64_t b_epoch, unsigned id) {
    return snprintf(to, size,
                    "{\"t\":\"req\",\"v\":1,\"from\":\"" EPOCH_OF_A "\",\"to\":\"%016llx\",\"id\":%u,\"low\":1,"
                    "\"method\":\"PUT\",\"path\":\"/x\",\"query\":\"%u\",\"role\":\"admin\",\"deadline_ms\":9000}\n",
                    (unsigned long long)b_epoch, id, id);
}

/* B alone, and a raw client that has the key of A, which B lists. */
static void open_raw_a(struct raw_client *raw) {
    test_list(B, A, 0);
    test_list(B, C, 0);
    test_start(B);
    raw_client_open(raw, &A->key, B->key.public_key, B->port, nullptr);
}

struct expected {
    struct raw_client *raw;
    const char *text;
    char got[2048];
};

static bool has_come(void *arg) {
    struct expected *e = arg;
    return raw_client_receive(e->raw, e->got, sizeof e->got) >= 0 && strstr(e->got, e->text);
}

static void expect_frame(struct raw_client *raw, const char *text) {
    struct expected e = {.raw = raw, .text = text};
    test_wait(&site, has_come, &e);
}

static void say(struct raw_client *raw, const char *frame, int len) {
    assert_true(raw_client_send(raw, frame, (size_t)len));
}

static void what_was_meant_for_an_earlier_run_is_dropped(void **) {
    struct raw_client raw;
    char frame[1024];
    open_raw_a(&raw);
    say(&raw, frame, hello(frame, sizeof frame, B->epoch));
    expect_frame(&raw, "\"t\":\"hello\"");
    say(&raw, frame, request(frame, sizeof frame, B->epoch + 1, 1)); /* another run */
    expect_frame(&raw, "\"t\":\"hello\"");                           /* which tells at once that there is another */
    say(&raw, frame, request(frame, sizeof frame, B->epoch, 2));
    expect_frame(&raw, "\"status\":204");
    assert_int_equal(B->n_served, 1);
    assert_string_equal(B->served, "2");
    raw_client_close(&raw);
}

static void an_earlier_run_cannot_come_back(void **) {
    struct raw_client raw;
    char frame[1024], old[1024];
    open_raw_a(&raw);
    int n_old = hello(old, sizeof old, B->epoch);
    say(&raw, old, n_old);
    expect_frame(&raw, "\"t\":\"hello\"");
    int n =
        snprintf(frame, sizeof frame,
                 "{\"t\":\"hello\",\"from\":\"00000000000000bb\",\"to\":\"%016llx\",\"proto\":[1,1],\"up\":false}\n",
                 (unsigned long long)B->epoch);
    say(&raw, frame, n);
    expect_frame(&raw, "\"to\":\"00000000000000bb\"");
    say(&raw, old, n_old);                                       /* replayed */
    say(&raw, frame, request(frame, sizeof frame, B->epoch, 1)); /* of the earlier run */
    expect_frame(&raw, "\"to\":\"00000000000000bb\"");
    assert_int_equal(B->n_served, 0);
    assert_true(look(B, A).epoch == 0xbb);
    raw_client_close(&raw);
}

/* ---- row: messages in a dying TCP connection are lost silently ---- */

static bool b_has_a_request(void *) {
    return B->later != nullptr;
}

static void a_request_outlives_its_connection(void **) {
    struct test_caller c;
    test_connect(A, B);
    test_ask(A, B, "/later", "1", &c);
    test_wait(&site, b_has_a_request, nullptr);
    A->carrier->ops->hang_up(A->carrier, B->uid, CARRIER_DIALED); /* behind the back of its links */
    links_answer(B->later, &(struct links_reply){.status = 204}, nullptr);
    B->later = nullptr;
    test_wait_done(&site, &c);
    /* Whether the reply was lost with the connection or not, it was done once. */
    assert_int_equal(B->n_served, 1);
    test_wait_up(A, B);
    expect_served(A, B);
}

/* ---- row: the path is a black hole ---- */

static void a_dead_wire_is_noticed_and_mended(void **) {
    struct wire wire;
    test_list(B, A, 0);
    test_start(B);
    wire_open(&wire, B->port);
    test_list(A, B, wire.port);
    test_start(A);
    test_dial_now(A, B);
    test_wait_up(A, B);
    links_watch_closely(A->links, B->uid, true);
    wire.is_dead = true;
    test_wait(&site, is_not_up, nullptr);
    wire.is_dead = false;
    test_wait_up(A, B);
    expect_served(A, B);
    test_stop(A);
    wire_close(&wire);
}

/* ---- rows: ZAP says 400, and the client never tries again; a wrong key is tried every 100 ms for ever ---- */

static void who_is_not_listed_is_told_and_tries_again(void **) {
    test_list(B, C, 0);
    test_start(B);
    test_list(A, B, B->port);
    test_start(A);
    test_dial_now(A, B);
    test_wait(&site, is_refused, nullptr);
    assert_int_equal(look(A, B).reason.code, ERR_FORBIDDEN);
    assert_int_equal(look(B, C).state, LINKS_DOWN);
    test_stop(B); /* and is listed now */
    test_list(B, A, 0);
    test_start(B);
    test_dial_now(A, B);
    test_wait_up(A, B);
}

static void a_wrong_key_is_told_and_not_dialed_without_end(void **) {
    struct wire wire;
    test_list(B, A, 0);
    test_start(B);
    wire_open(&wire, B->port);
    test_list(A, C, wire.port); /* where B is, C is thought to be */
    test_start(A);
    test_dial_now(A, C);
    for (int i = 0; i < 3 && look(A, C).state != LINKS_REFUSED; i++)
        test_run(&site, NS_PER_S);
    assert_int_equal(look(A, C).state, LINKS_REFUSED);
    assert_int_equal(look(A, C).reason.code, ERR_INVALID);
    unsigned before = wire.n_connections;
    test_run(&site, 2 * NS_PER_S);
    assert_int_equal(wire.n_connections, before);
    test_stop(A);
    wire_close(&wire);
}

/* ---- rows about options: no ZAP handler; IMMEDIATE; a CURVE server that dials; drafts ---- */

static struct {
    bool fails; /* binding the handler */
    unsigned n_zap, n_tcp;
    bool tcp_came_first;
    void *servers[8], *bound[8];
    size_t n_servers, n_bound;
    bool forbidden; /* an option that must not be used */
    unsigned n_max_size, n_handshake, n_linger, n_queue;
} seen;

int __real_zmq_bind(void *socket, const char *endpoint);
int __wrap_zmq_bind(void *socket, const char *endpoint);
int __real_zmq_setsockopt(void *socket, int option, const void *value, size_t len);
int __wrap_zmq_setsockopt(void *socket, int option, const void *value, size_t len);

int __wrap_zmq_bind(void *socket, const char *endpoint) {
    if (strcmp(endpoint, "inproc://zeromq.zap.01") == 0) {
        seen.n_zap++;
        if (seen.fails) {
            errno = EADDRINUSE;
            return -1;
        }
    } else if (strncmp(endpoint, "tcp:", 4) == 0) {
        seen.tcp_came_first |= seen.n_zap == 0;
        seen.n_tcp++;
        if (seen.n_bound < 8)
            seen.bound[seen.n_bound++] = socket;
    }
    return __real_zmq_bind(socket, endpoint);
}

int __wrap_zmq_setsockopt(void *socket, int option, const void *value, size_t len) {
    constexpr int FIRST_DRAFT = 93; /* ZMQ_ZAP_ENFORCE_DOMAIN and what follows it in zmq_draft.h */
    static const int FORBIDDEN[] = {ZMQ_IMMEDIATE, ZMQ_ROUTER_HANDOVER, ZMQ_PROBE_ROUTER, ZMQ_ROUTING_ID};
    for (size_t i = 0; i < sizeof FORBIDDEN / sizeof *FORBIDDEN; i++)
        seen.forbidden |= option == FORBIDDEN[i];
    seen.forbidden |= option >= FIRST_DRAFT;
    if (option == ZMQ_CURVE_SERVER && seen.n_servers < 8)
        seen.servers[seen.n_servers++] = socket;
    seen.n_max_size += option == ZMQ_MAXMSGSIZE;
    seen.n_handshake += option == ZMQ_HANDSHAKE_IVL;
    seen.n_linger += option == ZMQ_LINGER;
    seen.n_queue += option == ZMQ_SNDHWM || option == ZMQ_RCVHWM;
    return __real_zmq_setsockopt(socket, option, value, len);
}

static void without_a_zap_handler_nobody_is_let_in(void **) {
    memset(&seen, 0, sizeof seen);
    seen.fails = true;
    const struct carrier_handler handler = {};
    struct err_info info = {};
    const struct zmq_carrier_config config = {
        .loop = site.loop, .roster = &B->roster, .key = &B->key, .address = "127.0.0.1:0"};
    struct carrier *carrier;
    assert_int_equal(zmq_carrier_create(&config, &carrier, &info), ERR_OK);
    assert_int_equal(carrier->ops->start(carrier, &handler, nullptr, &info), ERR_INTERNAL);
    assert_non_null(strstr(info.message, "nobody is let in"));
    assert_int_equal(carrier->ops->port(carrier), 0);
    assert_int_equal(seen.n_tcp, 0);
    carrier->ops->close(carrier);
    seen.fails = false;
}

/* ZMQ_IMMEDIATE with frames in parts and a CURVE handshake that fails has asserted in libzmq; so has a CURVE server that
 * dials and is denied; drafts are not in every libzmq. None of them is used. */
static void dangerous_options_are_not_used_and_limits_are(void **) {
    memset(&seen, 0, sizeof seen);
    test_list(B, A, 0);
    test_start(B);
    assert_int_equal(seen.n_zap, 1);
    assert_int_equal(seen.n_tcp, 1);
    assert_false(seen.tcp_came_first);
    assert_false(seen.forbidden);
    assert_int_equal(seen.n_servers, 1);
    assert_ptr_equal(seen.servers[0], seen.bound[0]); /* the one that listens */
    assert_int_equal(seen.n_max_size, 2);
    assert_int_equal(seen.n_handshake, 2);
    assert_int_equal(seen.n_queue, 4);
    assert_true(seen.n_linger >= 2);
}

/* ---- row: a frame of 1 GiB before authentication ---- */

static const uint8_t GREETING[64] = {0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1, 'C', 'U', 'R', 'V', 'E'};

struct sink {
    int fd;
    size_t n_read;
    bool is_closed;
};

static bool is_greeted_or_closed(void *arg) {
    struct sink *s = arg;
    char bytes[256];
    ssize_t n = recv(s->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n > 0)
        s->n_read += (size_t)n;
    s->is_closed |= n == 0 || (n < 0 && errno != EAGAIN);
    return s->is_closed || s->n_read >= sizeof GREETING;
}

static bool is_closed(void *arg) {
    struct sink *s = arg;
    (void)is_greeted_or_closed(s);
    return s->is_closed;
}

static void a_huge_frame_of_a_stranger_costs_nothing(void **) {
    test_connect(A, B);
    struct sink sink = {.fd = raw_tcp_connect(B->port)};
    assert_int_equal(send(sink.fd, GREETING, sizeof GREETING, MSG_NOSIGNAL), sizeof GREETING);
    test_wait(&site, is_greeted_or_closed, &sink);
    long before_kb = rss_kb();
    const uint8_t long_command[9] = {0x06, 0, 0, 0, 0, 0x40, 0, 0, 0}; /* 1 GiB follows */
    (void)!send(sink.fd, long_command, sizeof long_command, MSG_NOSIGNAL);
    static const char zeros[64 * 1024];
    size_t taken = 0;
    for (int i = 0; i < 1024; i++) {
        ssize_t n = send(sink.fd, zeros, sizeof zeros, MSG_NOSIGNAL | MSG_DONTWAIT);
        taken += n > 0 ? (size_t)n : 0;
        if (n < 0 && errno != EAGAIN)
            break;
    }
    test_wait(&site, is_closed, &sink);
    assert_true(taken < 64UL * 1024 * 1024);
    assert_true(rss_kb() - before_kb < 8 * 1024);
    close(sink.fd);
    expect_served(A, B);
}

/* ---- rows: idle connections until descriptors run out; a monitor that nobody reads stops libzmq's thread ---- */

enum { N_IDLE = 1000 };

static bool are_all_closed(void *arg) {
    struct sink *sinks = arg;
    for (size_t i = 0; i < N_IDLE; i++)
        if (!is_closed(&sinks[i]))
            return false;
    return true;
}

static void a_thousand_idle_connections_are_closed_and_bother_nobody(void **) {
    static struct sink sinks[N_IDLE];
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(limit.rlim_cur >= 4096);
    test_list(B, A, 0);
    test_start(B);
    long before_kb = rss_kb();
    for (size_t i = 0; i < N_IDLE; i++) {
        sinks[i] = (struct sink){.fd = raw_tcp_connect(B->port)};
        if (i % 100 == 0)
            test_run(&site, NS_PER_MS);
    }
    test_list(A, B, B->port); /* comes up among them */
    test_start(A);
    test_dial_now(A, B);
    test_wait_up(A, B);
    expect_served(A, B);
    assert_true(rss_kb() - before_kb < 100 * 1024);
    test_wait(&site, are_all_closed, sinks); /* the time for a handshake is over */
    for (size_t i = 0; i < N_IDLE; i++)
        close(sinks[i].fd);
    expect_served(A, B); /* and a thousand events of the monitor later */
}

/* As often as it likes; never in the way of the test. */
static void knock(struct sink *sink) {
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(B->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    *sink = (struct sink){.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    assert_true(sink->fd >= 0);
    assert_true(connect(sink->fd, (const struct sockaddr *)&at, sizeof at) == 0 || errno == EINPROGRESS);
}

static unsigned n_files_of(pid_t pid) {
    char path[64];
    unsigned n = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir));)
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void limit_files(pid_t pid, rlim_t n) {
    struct rlimit limit;
    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, nullptr, &limit), 0);
    limit.rlim_cur = n;
    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, &limit, nullptr), 0);
}

static int64_t cpu_ns_of(pid_t pid) {
    char path[64], line[1024] = "";
    long long user, system;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    fclose(file);
    const char *rest = strrchr(line, ')'); /* the name may hold anything */
    assert_non_null(rest);
    assert_int_equal(sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lld %lld", &user, &system), 2);
    return (user + system) * (NS_PER_S / sysconf(_SC_CLK_TCK));
}

struct crowd {
    struct sink sinks[N_IDLE];
    size_t n;
    pid_t pid;
    unsigned n_files; /* wanted of the process */
};

static bool has_so_many_files(void *arg) {
    const struct crowd *crowd = arg;
    return n_files_of(crowd->pid) >= crowd->n_files;
}

static bool c_is_up(void *) {
    return test_is_up(C, B);
}

/* For three seconds strangers come again and again, a member dials, and another makes use of its link. */
static void press(struct crowd *crowd) {
    int64_t began_ns = loop_now_ns(loop_uv_loop(site.loop)), cpu_ns = cpu_ns_of(crowd->pid), elapsed_ns;
    do {
        for (size_t i = 0; i < crowd->n; i++)
            if (crowd->sinks[i].fd < 0 || is_closed(&crowd->sinks[i])) {
                close(crowd->sinks[i].fd);
                knock(&crowd->sinks[i]);
            }
        test_run(&site, 100 * NS_PER_MS);
        expect_served(A, B);
        elapsed_ns = loop_now_ns(loop_uv_loop(site.loop)) - began_ns;
    } while (elapsed_ns < 3 * NS_PER_S);
    cpu_ns = cpu_ns_of(crowd->pid) - cpu_ns;
    if (cpu_ns > elapsed_ns / 3)
        fail_msg("it spins: %lld ms of CPU in %lld ms", (long long)(cpu_ns / NS_PER_MS),
                 (long long)(elapsed_ns / NS_PER_MS));
}

/* Descriptors run out of a process all at once, and those who wait at its door make accept() fail. */
static void without_descriptors_it_rests_keeps_its_links_and_recovers(void **) {
    static struct crowd crowd;
    crowd = (struct crowd){.n = 50, .pid = spawn_b(0x1000)};
    test_list(A, B, B->port);
    test_list(C, B, B->port);
    test_start(A);
    test_dial_now(A, B);
    test_wait(&site, is_up, nullptr);
    expect_served(A, B);
    limit_files(crowd.pid, n_files_of(crowd.pid));
    for (size_t i = 0; i < crowd.n; i++)
        knock(&crowd.sinks[i]);
    test_start(C);
    test_dial_now(C, B);
    press(&crowd);
    assert_int_equal(A->n_up, 1); /* the link it had */
    assert_int_equal(C->n_up, 0);
    for (size_t i = 0; i < crowd.n; i++)
        close(crowd.sinks[i].fd);
    limit_files(crowd.pid, 1024);
    test_dial_now(C, B);
    test_wait(&site, c_is_up, nullptr);
    expect_served(C, B);
    expect_served(A, B);
    assert_int_equal(A->n_up, 1);
    kill_9(crowd.pid);
}

/* Does its door not answer, for as long as it would take many times over? */
static bool is_left_waiting(struct sink *sink) {
    struct pollfd one = {.fd = sink->fd, .events = POLLOUT};
    test_run(&site, 200 * NS_PER_MS);
    return poll(&one, 1, 0) == 0;
}

/* Strangers come one by one until no more of them is let in: then there are still descriptors for other things. */
static void strangers_do_not_get_the_last_descriptors(void **) {
    static struct crowd crowd;
    crowd = (struct crowd){.pid = spawn_b(0x1000)};
    test_list(A, B, B->port);
    test_start(A);
    test_dial_now(A, B);
    test_wait(&site, is_up, nullptr);
    const rlim_t limit = n_files_of(crowd.pid) + 80;
    limit_files(crowd.pid, limit);
    do {
        assert_true(crowd.n < 80);
        knock(&crowd.sinks[crowd.n]);
    } while (!is_left_waiting(&crowd.sinks[crowd.n++]));
    assert_true(n_files_of(crowd.pid) < limit);
    expect_served(A, B);
    for (size_t i = 0; i < crowd.n; i++)
        close(crowd.sinks[i].fd);
    kill_9(crowd.pid);
}

/* They come all at once, more than there are descriptors, and again and again. */
static void a_crowd_of_strangers_does_not_make_it_spin(void **) {
    static struct crowd crowd;
    enum { LIMIT = 300, KEPT = 64 };
    crowd = (struct crowd){.n = 400, .pid = spawn_b(0x1000), .n_files = LIMIT - KEPT};
    limit_files(crowd.pid, LIMIT);
    test_list(A, B, B->port);
    test_list(C, B, B->port);
    test_start(A);
    test_dial_now(A, B);
    test_wait(&site, is_up, nullptr);
    for (size_t i = 0; i < crowd.n; i++) {
        knock(&crowd.sinks[i]);
        if (i % 10 == 0)
            test_run(&site, NS_PER_MS);
    }
    test_wait(&site, has_so_many_files, &crowd);
    press(&crowd);
    assert_int_equal(A->n_up, 1);
    for (size_t i = 0; i < crowd.n; i++)
        close(crowd.sinks[i].fd);
    test_start(C);
    test_dial_now(C, B);
    test_wait(&site, c_is_up, nullptr);
    expect_served(C, B);
    assert_int_equal(A->n_up, 1);
    kill_9(crowd.pid);
}

/* ---- row: claimed routing ids ---- */

static void a_claimed_routing_id_steals_nothing(void **) {
    struct raw_client thief;
    char frame[1024];
    test_list(B, C, 0);
    test_connect(A, B);
    raw_client_open(&thief, &C->key, B->key.public_key, B->port, A->uid); /* C is a member, and says it is A */
    say(&thief, frame, hello(frame, sizeof frame, B->epoch));
    expect_frame(&thief, "\"t\":\"hello\"");
    assert_true(look(B, C).epoch == 0xaa); /* the key says who it is */
    assert_true(look(B, A).epoch == A->epoch);
    for (int i = 0; i < 20; i++) {
        expect_served(B, A);
        int n = raw_client_receive(&thief, frame, sizeof frame);
        assert_true(n < 0 || !strstr(frame, "\"t\":\"req\""));
    }
    raw_client_close(&thief);
}

/* ---- members that misbehave ---- */

static bool is_up_with_raw_a(void *) {
    return test_is_up(B, A);
}

static bool b_has_no_a(void *) {
    return !test_is_up(B, A);
}

/* C is served while A does its worst. */
static void expect_c_served(void) {
    expect_served(C, B);
}

static void open_raw_a_and_c(struct raw_client *raw) {
    test_list(B, A, 0);
    test_connect(C, B);
    raw_client_open(raw, &A->key, B->key.public_key, B->port, nullptr);
    char frame[1024];
    say(raw, frame, hello(frame, sizeof frame, B->epoch));
    test_wait(&site, is_up_with_raw_a, nullptr);
}

static void nonsense_of_a_member_ends_its_line_only(void **) {
    struct raw_client raw;
    char deep[3000], frame[1024];
    open_raw_a_and_c(&raw);
    memset(deep, '[', sizeof deep);
    deep[sizeof deep - 1] = '\n';
    int n = request(frame, sizeof frame, B->epoch, 1);
    const struct {
        const char *bytes;
        size_t len;
    } NONSENSE[] = {{"", 0},
                    {"\n", 1},
                    {"{}\n", 3},
                    {deep, sizeof deep},
                    {frame, (size_t)n / 2},
                    {"{\"t\":\"req\",\"id\":{}}\n", 20},
                    {"\xff\xff\xff\n", 4}};
    for (int i = 0; i < 30; i++)
        for (size_t k = 0; k < sizeof NONSENSE / sizeof *NONSENSE; k++)
            (void)raw_client_send(&raw, NONSENSE[k].bytes, NONSENSE[k].len);
    test_wait(&site, b_has_no_a, nullptr);
    assert_non_null(strstr(look(B, A).reason.message, "not valid"));
    assert_int_equal(B->n_served, 0);
    expect_c_served();
    raw_client_close(&raw);
}

static void an_oversized_frame_of_a_member_ends_its_connection_only(void **) {
    struct raw_client raw;
    open_raw_a_and_c(&raw);
    static const char big[CARRIER_FRAME_MAX + 1];
    assert_true(raw_client_send(&raw, big, sizeof big));
    test_wait(&site, b_has_no_a, nullptr);
    assert_int_equal(B->n_served, 0);
    expect_c_served();
    raw_client_close(&raw);
}

static void a_flood_of_a_member_does_not_drown_others(void **) {
    struct raw_client raw;
    char frame[1024];
    open_raw_a_and_c(&raw);
    unsigned served_before = B->n_served;
    int64_t began_ns = loop_now_ns(loop_uv_loop(site.loop));
    unsigned id = 0;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 1000; i++) {
            char got[2048];
            (void)raw_client_send(&raw, frame, (size_t)request(frame, sizeof frame, B->epoch, ++id));
            (void)raw_client_receive(&raw, got, sizeof got);
        }
        expect_c_served();
    }
    int64_t seconds = (loop_now_ns(loop_uv_loop(site.loop)) - began_ns) / NS_PER_S + 1;
    assert_true(B->n_served - served_before <= 20 + 200 + 50 * seconds); /* C's, the burst, 50 a second */
    const struct link *link = links_find(B->links, A->uid);
    assert_true(link->n_servings <= LINK_SERVINGS_MAX && link->reply_bytes <= LINK_REPLIES_MAX);
    assert_true(list_count(&link->servings) <= LINK_WINDOW);
    raw_client_close(&raw);
}

/* A peer that changes its epoch with every frame makes nobody's memory grow, and no other link suffers. */
static void a_peer_that_lies_about_its_epochs_harms_itself(void **) {
    struct raw_client raw;
    char frame[1024], got[2048];
    open_raw_a_and_c(&raw);
    long before_kb = rss_kb();
    for (unsigned i = 1; i <= 5000; i++) {
        int n =
            snprintf(frame, sizeof frame, "{\"t\":\"hello\",\"from\":\"%016x\",\"to\":\"%016llx\",\"proto\":[1,1]}\n",
                     i, (unsigned long long)B->epoch);
        (void)raw_client_send(&raw, frame, (size_t)n);
        (void)raw_client_receive(&raw, got, sizeof got);
        if (i % 500 == 0)
            expect_c_served();
    }
    assert_true(rss_kb() - before_kb < 30 * 1024);
    assert_int_equal(C->n_up, 1);
    raw_client_close(&raw);
}

static bool has_one_of_two(void *) {
    return test_is_up(B, A);
}

/* Two peers with one key: the later line counts; neither harms a third. */
static void two_peers_with_one_key(void **) {
    struct test_peer *const twin = C;
    test_connect(A, B);
    twin->key = A->key;
    memcpy(twin->node_id, A->node_id, sizeof twin->node_id);
    memcpy(twin->uid, A->uid, sizeof twin->uid);
    twin->epoch = 0x500000;
    test_list(twin, B, B->port);
    test_start(twin);
    test_dial_now(twin, B);
    test_run(&site, NS_PER_S);
    test_wait(&site, has_one_of_two, nullptr);
    test_stop(twin);
    test_run(&site, NS_PER_MS);
    links_watch_closely(A->links, B->uid, true);
    test_wait_up(A, B);
    expect_served(A, B);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        TEST(a_peer_that_is_killed_and_back_is_known_as_another_run),
        TEST(what_was_meant_for_an_earlier_run_is_dropped),
        TEST(an_earlier_run_cannot_come_back),
        TEST(a_request_outlives_its_connection),
        TEST(a_dead_wire_is_noticed_and_mended),
        TEST(who_is_not_listed_is_told_and_tries_again),
        TEST(a_wrong_key_is_told_and_not_dialed_without_end),
        TEST(without_a_zap_handler_nobody_is_let_in),
        TEST(dangerous_options_are_not_used_and_limits_are),
        TEST(a_huge_frame_of_a_stranger_costs_nothing),
        TEST(a_thousand_idle_connections_are_closed_and_bother_nobody),
        TEST(without_descriptors_it_rests_keeps_its_links_and_recovers),
        TEST(strangers_do_not_get_the_last_descriptors),
        TEST(a_crowd_of_strangers_does_not_make_it_spin),
        TEST(a_claimed_routing_id_steals_nothing),
        TEST(nonsense_of_a_member_ends_its_line_only),
        TEST(an_oversized_frame_of_a_member_ends_its_connection_only),
        TEST(a_flood_of_a_member_does_not_drown_others),
        TEST(a_peer_that_lies_about_its_epochs_harms_itself),
        TEST(two_peers_with_one_key),
    };
    if (argc == 8 && strcmp(argv[1], "--peer") == 0)
        return be_a_peer(argv);
    return cmocka_run_group_tests_name("pitfalls", tests, nullptr, nullptr);
}
