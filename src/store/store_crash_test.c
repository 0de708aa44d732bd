/* SPDX-License-Identifier: MPL-2.0 */
#include "store/store_test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/test_vfs.h"

static const struct log QUIET = {};

/* ---- kill -9 ---- */

constexpr int N_KEYS = 8;

struct writer {
    struct fixture f;
    int64_t generation;
    int out;
};

struct ack {
    struct writer *w;
    int key;
    int64_t generation;
};

static void write_next(struct writer *w);

static void on_written(void *arg, enum err result, const struct err_info *) {
    struct ack *a = arg;
    int64_t line[2] = {a->key, a->generation};
    if (result != ERR_OK || write(a->w->out, line, sizeof line) != sizeof line)
        _exit(1);
    write_next(a->w);
    free(a);
}

static void write_next(struct writer *w) {
    struct ack *a = malloc(sizeof *a);
    *a = (struct ack){w, (int)(w->generation % N_KEYS), ++w->generation};
    char uid[8], json[600];
    snprintf(uid, sizeof uid, "k%d", a->key);
    size_t n = (size_t)snprintf(json, sizeof json, "{\"g\":%lld,\"pad\":\"%0*d\"}", (long long)a->generation,
                                (int)(a->generation * 37 % 500) + 1, 0);
    w->f.store->ops->put(w->f.store, STORE_STREAM, uid, a->generation, json, n, on_written, a);
}

[[noreturn]] static void write_for_ever(const char *dir, int64_t generation, int out) {
    struct writer w = {.generation = generation, .out = out};
    strcpy(w.f.dir, dir);
    if (loop_uv_create(&w.f.uv, nullptr) != ERR_OK)
        _exit(2);
    w.f.loop = loop_uv_loop(w.f.uv);
    if (open_store(&w.f, nullptr) != ERR_OK)
        _exit(3);
    for (int i = 0; i < N_KEYS; i++)
        write_next(&w);
    loop_uv_run(w.f.uv);
    _exit(4);
}

static void find_key(void *arg, enum store_kind, const char *uid, int64_t generation, const char *json, size_t) {
    int64_t *found = arg;
    found[uid[1] - '0'] = generation;
    char want[32];
    snprintf(want, sizeof want, "{\"g\":%lld,", (long long)generation);
    assert_int_equal(strncmp(json, want, strlen(want)), 0); /* generation and text are of one piece */
}

static void nothing_acknowledged_is_lost_by_kill(void **state) {
    struct fixture *f = *state;
    int64_t acked[N_KEYS] = {}, generation = 0;
    for (int round = 0; round < 30; round++) {
        int pipe_fds[2];
        assert_int_equal(pipe(pipe_fds), 0);
        pid_t child = fork();
        if (child == 0) {
            close(pipe_fds[0]);
            write_for_ever(f->dir, generation, pipe_fds[1]);
        }
        close(pipe_fds[1]);
        int after = 1 + (round * 7919) % 211;
        int64_t line[2];
        for (int n = 0; read(pipe_fds[0], line, sizeof line) == sizeof line; n++) {
            acked[line[0]] = line[1];
            if (line[1] > generation)
                generation = line[1];
            if (n == after)
                kill(child, SIGKILL);
        }
        close(pipe_fds[0]);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(open_store(f, nullptr), ERR_OK);
        int64_t found[N_KEYS] = {};
        assert_int_equal(f->store->ops->load(f->store, find_key, found, nullptr), ERR_OK);
        for (int k = 0; k < N_KEYS; k++) {
            assert_true(found[k] >= acked[k]);
            if (found[k] > generation)
                generation = found[k];
        }
        close_store(f);
        generation = (generation / N_KEYS + 1) * N_KEYS;
    }
}

/* ---- loss of power ---- */

struct power {
    struct fixture *f;
    int64_t generation, acked[N_KEYS];
    int n_acks, crash_at, n_crashes;
    uint32_t seed;
};

struct power_ack {
    struct power *p;
    int key;
    int64_t generation;
};

static void crash_and_compare(struct power *p) {
    char dir[64];
    make_dir(dir);
    test_vfs_crash(dir, &p->seed);
    struct store *store;
    struct err_info info = {};
    enum err e = store_sqlite_open(dir, p->f->loop, QUIET, &store, &info);
    if (e != ERR_OK)
        print_message("round %d: %s\n", p->n_crashes, info.message);
    assert_int_equal(e, ERR_OK);
    int64_t found[N_KEYS] = {};
    assert_int_equal(store->ops->load(store, find_key, found, nullptr), ERR_OK);
    for (int k = 0; k < N_KEYS; k++)
        assert_true(found[k] >= p->acked[k]);
    store->ops->close(store);
    remove_tree(dir);
}

static void power_write(struct power *p);

static void on_power_written(void *arg, enum err result, const struct err_info *) {
    struct power_ack *a = arg;
    struct power *p = a->p;
    assert_int_equal(result, ERR_OK);
    p->acked[a->key] = a->generation;
    free(a);
    p->f->pending--;
    if (++p->n_acks == p->crash_at) {
        crash_and_compare(p);
        p->crash_at = p->n_acks + 1 + (p->n_acks * 7919) % 97;
        p->n_crashes++;
    }
    if (p->n_crashes < 40)
        power_write(p);
    else if (!p->f->pending)
        loop_uv_stop(p->f->uv);
}

static void power_write(struct power *p) {
    struct power_ack *a = malloc(sizeof *a);
    *a = (struct power_ack){p, (int)(p->generation % N_KEYS), ++p->generation};
    char uid[8], json[900];
    snprintf(uid, sizeof uid, "k%d", a->key);
    size_t n = (size_t)snprintf(json, sizeof json, "{\"g\":%lld,\"pad\":\"%0*d\"}", (long long)a->generation,
                                (int)(a->generation * 37 % 800) + 1, 0);
    p->f->pending++;
    p->f->store->ops->put(p->f->store, STORE_STREAM, uid, a->generation, json, n, on_power_written, a);
}

static void nothing_acknowledged_is_lost_by_loss_of_power(void **state) {
    struct fixture *f = *state;
    test_vfs_reset();
    assert_int_equal(open_store(f, TEST_VFS_NAME), ERR_OK);
    struct power p = {.f = f, .crash_at = 1, .seed = 1};
    for (int i = 0; i < N_KEYS; i++)
        power_write(&p);
    loop_uv_run(f->uv);
    assert_int_equal(p.n_crashes, 40);
    close_store(f);
}

int main(void) {
    test_vfs_init();
    const struct CMUnitTest tests[] = {
        TEST(nothing_acknowledged_is_lost_by_kill),
        TEST(nothing_acknowledged_is_lost_by_loss_of_power),
    };
    int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
    test_vfs_finish();
    return failed;
}
