/* SPDX-License-Identifier: MPL-2.0 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/loop_uv.h"
#include "bench/usage.h"
#include "model/roster.h"
#include "signaling/links.h"
#include "signaling/zmq/zmq_carrier.h"

/*
 * What links cost, and how long a request takes: one peer here, the others in processes of their own, over loopback.
 *
 *   link-load [PEERS]      default 2
 *
 * Prints one line of JSON: time until all links were up, private memory and descriptors for each link at this end, median
 * and p99 of requests made one after the other, in milliseconds. A peer may ask 200 times at once, so it pauses in between.
 */
constexpr size_t ROUNDS = 3;
constexpr size_t BURST = 190;
constexpr int64_t REFILL_NS = 5 * NS_PER_S;
constexpr int64_t GIVE_UP_NS = 60 * NS_PER_S;

struct bench {
    struct loop_uv *loop;
    struct loop *base;
    struct carrier *carrier;
    struct links *links;
    struct roster roster;
    size_t n_up;
    struct loop_timer timer, deadline;
    int64_t began_ns, asked_ns;
    int64_t samples_ns[ROUNDS * BURST];
    size_t n_samples, n_failed;
};

[[noreturn]] static void stop(const char *what, const char *why) {
    fprintf(stderr, "link-load: %s: %s\n", what, why);
    exit(1);
}

static void on_request(void *, const char *, const struct links_request *r, struct links_serving *serving) {
    const struct links_reply reply = {
        .status = 200, .content_type = "application/json", .body = r->body, .body_len = r->body_len};
    links_answer(serving, &reply, nullptr);
}

static void on_changed(void *arg, const char *, const struct links_peer *now) {
    struct bench *b = arg;
    b->n_up += now->state == LINKS_UP;
    if (b->n_up == b->roster.n)
        loop_uv_stop(b->loop);
}

static void open_links(struct bench *b, const struct crypto_sign_key *key, const char *address) {
    static const struct links_handler HANDLER = {.request = on_request, .changed = on_changed};
    struct err_info info = {};
    static char uid[UID_SIZE];
    uid_reproducible(uid, UID_TAG_PEER, key->public_key, CRYPTO_PUBLIC_KEY_SIZE);
    const struct zmq_carrier_config carrier = {.loop = b->loop, .roster = &b->roster, .key = key, .address = address};
    if (zmq_carrier_create(&carrier, &b->carrier, &info) != ERR_OK)
        stop("carrier", info.message);
    const struct links_config links = {.loop = b->base,
                                       .carrier = b->carrier,
                                       .roster = &b->roster,
                                       .own_uid = uid,
                                       .epoch = (uint64_t)getpid(),
                                       .version = "bench"};
    if (links_create(&links, &b->links, &info) != ERR_OK)
        stop("links", info.message);
    links_listen(b->links, &HANDLER, b);
    if (links_start(b->links, &info) != ERR_OK)
        stop("start", info.message);
}

static void begin(struct bench *b) {
    struct err_info info = {};
    if (crypto_init(&info) != ERR_OK || loop_uv_create(&b->loop, &info) != ERR_OK)
        stop("loop", info.message);
    b->base = loop_uv_loop(b->loop);
}

/* ---- the others ---- */

static int be_another(char **argv) {
    static struct bench b;
    struct crypto_sign_key key;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    begin(&b);
    if (!crypto_unhex(key.secret_key, CRYPTO_SECRET_KEY_SIZE, argv[2]) ||
        !crypto_unhex(key.public_key, CRYPTO_PUBLIC_KEY_SIZE, argv[3]) ||
        roster_add(&b.roster, argv[4], argv[5], ROSTER_ADMIN, nullptr, nullptr) != ERR_OK)
        return 1;
    open_links(&b, &key, "127.0.0.1:0");
    for (;;)
        loop_uv_run(b.loop); /* until the first of us ends */
}

static void spawn(const struct crypto_sign_key *key, const char *first, uint16_t port) {
    char secret[2 * CRYPTO_SECRET_KEY_SIZE + 1], public[2 * CRYPTO_PUBLIC_KEY_SIZE + 1], address[32];
    crypto_hex(secret, key->secret_key, CRYPTO_SECRET_KEY_SIZE);
    crypto_hex(public, key->public_key, CRYPTO_PUBLIC_KEY_SIZE);
    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)port);
    pid_t pid = fork();
    if (pid == 0) {
        execl("/proc/self/exe", "link-load", "--another", secret, public, first, address, nullptr);
        _exit(127);
    }
    if (pid < 0)
        stop("fork", "no more processes");
}

/* ---- requests ---- */

static void ask(void *arg);

static void on_reply(void *arg, const struct links_reply *reply, const struct err_info *) {
    struct bench *b = arg;
    if (reply && reply->status == 200)
        b->samples_ns[b->n_samples++] = loop_now_ns(b->base) - b->asked_ns;
    else if (++b->n_failed > 100)
        stop("requests", "too many were not answered");
    if (b->n_samples == ROUNDS * BURST)
        loop_uv_stop(b->loop);
    else
        loop_timer_start(b->base, &b->timer, reply && b->n_samples % BURST == 0 ? REFILL_NS : 0);
}

static void ask(void *arg) {
    static const struct links_caller CALLER = {.reply = on_reply};
    static char body[300];
    struct bench *b = arg;
    memset(body, 'x', sizeof body);
    const struct links_request request = {
        .method = "PUT", .path = "/x", .role = ROSTER_ADMIN, .body = body, .body_len = sizeof body};
    b->asked_ns = loop_now_ns(b->base);
    if (!links_ask(b->links, b->roster.members[0].uid, &request, &CALLER, b))
        stop("request", "no memory");
}

static int by_size(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static long n_descriptors(void) {
    long n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

static void on_deadline(void *) {
    stop("deadline", "the links did not come up, or a request was not answered");
}

int main(int argc, char **argv) {
    static struct bench b;
    if (argc == 6 && strcmp(argv[1], "--another") == 0)
        return be_another(argv);
    size_t n = argc > 1 ? strtoul(argv[1], nullptr, 10) : 2;
    if (n < 2 || n > ROSTER_MAX)
        stop("usage", "link-load [PEERS], 2 to 64");
    begin(&b);
    b.timer = (struct loop_timer){.fire = ask, .arg = &b};
    b.deadline = (struct loop_timer){.fire = on_deadline};
    struct crypto_sign_key key, others[ROSTER_MAX];
    char node_id[NODE_ID_SIZE];
    crypto_sign_key_make(&key);
    for (size_t i = 0; i + 1 < n; i++) {
        crypto_sign_key_make(&others[i]);
        node_id_format(node_id, others[i].public_key);
        if (roster_add(&b.roster, node_id, "", ROSTER_ADMIN, key.public_key, nullptr) != ERR_OK)
            stop("roster", "a key is listed twice");
    }
    node_id_format(node_id, key.public_key);
    open_links(&b, &key, "127.0.0.1:0");
    long kb = usage_written_kb(), fds = n_descriptors();
    b.began_ns = loop_now_ns(b.base);
    for (size_t i = 0; i + 1 < n; i++)
        spawn(&others[i], node_id, b.carrier->ops->port(b.carrier));
    loop_timer_start(b.base, &b.deadline, GIVE_UP_NS);
    loop_uv_run(b.loop);
    int64_t setup_ns = loop_now_ns(b.base) - b.began_ns;
    kb = usage_written_kb() - kb;
    fds = n_descriptors() - fds;
    loop_timer_start(b.base, &b.timer, 0);
    loop_uv_run(b.loop);
    loop_timer_stop(b.base, &b.deadline);
    qsort(b.samples_ns, b.n_samples, sizeof *b.samples_ns, by_size);
    double links = (double)(n - 1);
    printf("{\"peers\":%zu,\"setup_ms\":%.0f,\"kb_per_link\":%.1f,\"descriptors_per_link\":%.2f,\"requests\":%zu,"
           "\"request_p50_ms\":%.3f,\"request_p99_ms\":%.3f}\n",
           n, (double)setup_ns / 1e6, (double)kb / links, (double)fds / links, b.n_samples,
           (double)b.samples_ns[b.n_samples / 2] / 1e6, (double)b.samples_ns[b.n_samples * 99 / 100] / 1e6);
    links_destroy(b.links);
    b.carrier->ops->close(b.carrier);
    loop_uv_destroy(b.loop);
    roster_finish(&b.roster);
    return 0;
}
