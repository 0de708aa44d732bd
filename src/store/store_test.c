/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/loop_uv.h"
#include "store/database.h"
#include "store/sqlite_priv.h"
#include "store/test_vfs.h"

static const struct log QUIET = {};

/* ---- a directory and a loop for each test ---- */

struct fixture {
    char dir[64];
    struct loop_uv *uv;
    struct loop *loop;
    struct store *store;
    int pending, n_ok, n_failed;
    int64_t last;         /* generation of the last callback */
    bool in_order;        /* callbacks came in the order of the calls */
    struct err_info info; /* of the last failure */
};

static int remove_entry(const char *path, const struct stat *, int, struct FTW *) {
    return remove(path);
}

static void remove_tree(const char *path) {
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void make_dir(char dir[static 64]) {
    strcpy(dir, "/tmp/rocd-store-XXXXXX");
    assert_non_null(mkdtemp(dir));
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    make_dir(f->dir);
    f->in_order = true;
    assert_int_equal(loop_uv_create(&f->uv, nullptr), ERR_OK);
    f->loop = loop_uv_loop(f->uv);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    if (f->store)
        f->store->ops->close(f->store);
    loop_uv_destroy(f->uv);
    remove_tree(f->dir);
    free(f);
    return 0;
}

static enum err open_store(struct fixture *f, const char *vfs) {
    return store_sqlite_open_vfs(f->dir, vfs, f->loop, QUIET, &f->store, &f->info);
}

static void close_store(struct fixture *f) {
    f->store->ops->close(f->store);
    f->store = nullptr;
}

struct call {
    struct fixture *f;
    int64_t generation;
};

static void on_done(void *arg, enum err result, const struct err_info *info) {
    struct call *c = arg;
    struct fixture *f = c->f;
    f->in_order = f->in_order && c->generation > f->last;
    f->last = c->generation;
    if (result == ERR_OK) {
        assert_null(info);
        f->n_ok++;
    } else {
        f->info = *info;
        f->n_failed++;
    }
    free(c);
    if (--f->pending == 0)
        loop_uv_stop(f->uv);
}

static void put(struct fixture *f, enum store_kind kind, const char *uid, int64_t generation, const char *json) {
    struct call *c = malloc(sizeof *c);
    *c = (struct call){f, generation};
    f->pending++;
    f->store->ops->put(f->store, kind, uid, generation, json, strlen(json), on_done, c);
}

static void remove_object(struct fixture *f, enum store_kind kind, const char *uid, int64_t generation) {
    struct call *c = malloc(sizeof *c);
    *c = (struct call){f, generation};
    f->pending++;
    f->store->ops->remove(f->store, kind, uid, on_done, c);
}

static void wait_for_all(struct fixture *f) {
    while (f->pending)
        loop_uv_run(f->uv);
}

/* All objects as text: "stream/b@3={}" … */
static void append_object(void *arg, enum store_kind kind, const char *uid, int64_t generation, const char *json,
                          size_t len) {
    char *text = arg;
    size_t n = strlen(text);
    snprintf(text + n, 4096 - n, "%d/%s@%d=%.*s ", kind, uid, (int)generation, (int)len, json);
}

static const char *all(struct fixture *f, char text[static 4096]) {
    text[0] = 0;
    assert_int_equal(f->store->ops->load(f->store, append_object, text, &f->info), ERR_OK);
    return text;
}

/* ---- both stores ---- */

static void on_read(void *arg, enum err result, const char *json, size_t len, int64_t generation) {
    struct fixture *f = arg;
    assert_int_equal(result, ERR_OK);
    if (json)
        assert_int_equal(strlen(json), len);
    f->last = json ? generation : -1;
    if (--f->pending == 0)
        loop_uv_stop(f->uv);
}

static int64_t get(struct fixture *f, enum store_kind kind, const char *uid) {
    f->pending++;
    f->store->ops->get(f->store, kind, uid, on_read, f);
    wait_for_all(f);
    return f->last;
}

static void check_reads_and_writes(struct fixture *f) {
    char text[4096];
    put(f, STORE_STREAM, "b", 1, "{\"n\":1}");
    put(f, STORE_ENDPOINT, "x", 2, "{}");
    put(f, STORE_STREAM, "a", 3, "{}");
    put(f, STORE_STREAM, "b", 4, "{\"n\":4}");
    put(f, STORE_PEER, "p", 5, "{}");
    put(f, STORE_STREAM, "c", 6, "{}");
    remove_object(f, STORE_STREAM, "c", 7);
    remove_object(f, STORE_STREAM, "never was", 8);
    assert_int_equal(f->n_ok, 0); /* never from inside the call */
    wait_for_all(f);
    assert_int_equal(f->n_ok, 8);
    assert_true(f->in_order);
    assert_string_equal(all(f, text), "0/p@5={} 1/x@2={} 2/b@4={\"n\":4} 2/a@3={} ");
    assert_int_equal(get(f, STORE_STREAM, "b"), 4);
    assert_int_equal(get(f, STORE_STREAM, "c"), -1);
    /* a read sees the changes before it and not those after it */
    f->last = 0;
    f->in_order = true;
    put(f, STORE_STREAM, "d", 9, "{}");
    f->pending++;
    f->store->ops->get(f->store, STORE_STREAM, "d", on_read, f);
    put(f, STORE_STREAM, "d", 10, "{}");
    wait_for_all(f);
    assert_true(f->in_order);
    assert_int_equal(get(f, STORE_STREAM, "d"), 10);
    /* flush calls back before it returns */
    int before = f->n_ok;
    put(f, STORE_STREAM, "e", 11, "{}");
    f->store->ops->flush(f->store);
    assert_int_equal(f->n_ok, before + 1);
}

static void memory_reads_and_writes(void **state) {
    struct fixture *f = *state;
    assert_int_equal(store_memory_open(f->loop, &f->store, nullptr), ERR_OK);
    check_reads_and_writes(f);
    store_memory_fail_next(f->store, ERR_STORAGE);
    f->last = 0;
    put(f, STORE_STREAM, "b", 20, "{}");
    put(f, STORE_STREAM, "x", 21, "{}");
    wait_for_all(f);
    assert_int_equal(f->n_failed, 1);
    assert_int_equal(f->info.code, ERR_STORAGE);
    assert_int_equal(get(f, STORE_STREAM, "b"), 4);
}

static void sqlite_reads_and_writes(void **state) {
    struct fixture *f = *state;
    assert_int_equal(open_store(f, nullptr), ERR_OK);
    check_reads_and_writes(f);
    close_store(f);
    char text[4096];
    assert_int_equal(open_store(f, nullptr), ERR_OK);
    assert_string_equal(all(f, text), "0/p@5={} 1/x@2={} 2/b@4={\"n\":4} 2/a@3={} 2/d@10={} 2/e@11={} ");
    struct stat st;
    char path[128];
    snprintf(path, sizeof path, "%s/rocd.db", f->dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void close_makes_what_was_queued_durable(void **state) {
    struct fixture *f = *state;
    assert_int_equal(open_store(f, nullptr), ERR_OK);
    for (int i = 1; i <= 100; i++)
        f->store->ops->put(f->store, STORE_STREAM, "s", i, "{}", 2, nullptr, nullptr);
    close_store(f);
    char text[4096];
    assert_int_equal(open_store(f, nullptr), ERR_OK);
    assert_string_equal(all(f, text), "2/s@100={} ");
}

/* ---- group commit ---- */

static void many_changes_share_a_sync(void **state) {
    struct fixture *f = *state;
    test_vfs_reset();
    assert_int_equal(open_store(f, TEST_VFS_NAME), ERR_OK);
    uint64_t before = test_vfs_syncs();
    char uid[16];
    for (int i = 1; i <= 500; i++) {
        snprintf(uid, sizeof uid, "s%d", i % 50);
        put(f, STORE_STREAM, uid, i, "{\"display_name\":\"x\"}");
    }
    wait_for_all(f);
    assert_int_equal(f->n_ok, 500);
    assert_true(f->in_order);
    uint64_t syncs = test_vfs_syncs() - before;
    assert_in_range(syncs, 1, 100);
    /* and one after the other, each has its own */
    before = test_vfs_syncs();
    for (int i = 501; i <= 510; i++) {
        put(f, STORE_STREAM, "s1", i, "{}");
        wait_for_all(f);
    }
    assert_in_range(test_vfs_syncs() - before, 10, 20);
}

static void failing_change_fails_alone(void **state) {
    struct fixture *f = *state;
    assert_int_equal(open_store(f, nullptr), ERR_OK);
    /* a rule of the database stands for whatever SQLite may find wrong with one change */
    char path[128];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/rocd.db", f->dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "CREATE TRIGGER t BEFORE INSERT ON object WHEN new.uid = 'bad' "
                                  "BEGIN SELECT raise(ABORT, 'no'); END",
                                  nullptr, nullptr, nullptr),
                     SQLITE_OK);
    sqlite3_close(db);
    put(f, STORE_STREAM, "a", 1, "{}");
    put(f, STORE_STREAM, "bad", 2, "{}");
    put(f, STORE_STREAM, "b", 3, "{}");
    wait_for_all(f);
    assert_int_equal(f->n_ok, 2);
    assert_int_equal(f->n_failed, 1);
    assert_int_equal(f->info.code, ERR_STORAGE);
    char text[4096];
    assert_string_equal(all(f, text), "2/a@1={} 2/b@3={} ");
}

/* ---- disks that fail ---- */

static void full_disk_is_told_and_survived(void **state) {
    struct fixture *f = *state;
    char text[4096];
    test_vfs_reset();
    assert_int_equal(open_store(f, TEST_VFS_NAME), ERR_OK);
    put(f, STORE_STREAM, "a", 1, "{}");
    wait_for_all(f);
    test_vfs_fail_writes(SQLITE_FULL);
    put(f, STORE_STREAM, "a", 2, "{}");
    put(f, STORE_STREAM, "b", 3, "{}");
    wait_for_all(f);
    assert_int_equal(f->n_failed, 2);
    assert_int_equal(f->info.code, ERR_STORAGE);
    assert_non_null(strstr(f->info.message, "full"));
    assert_int_equal(get(f, STORE_STREAM, "a"), 1);
    test_vfs_fail_writes(SQLITE_IOERR_WRITE);
    f->last = 0;
    put(f, STORE_STREAM, "b", 4, "{}");
    wait_for_all(f);
    assert_int_equal(f->n_failed, 3);
    assert_int_equal(f->info.code, ERR_STORAGE);
    test_vfs_fail_writes(0);
    put(f, STORE_STREAM, "b", 5, "{}");
    wait_for_all(f);
    assert_int_equal(f->n_ok, 2);
    assert_string_equal(all(f, text), "2/a@1={} 2/b@5={} ");
}

static void full_disk_at_the_start(void **state) {
    struct fixture *f = *state;
    test_vfs_reset();
    test_vfs_fail_writes(SQLITE_FULL);
    assert_int_equal(open_store(f, TEST_VFS_NAME), ERR_STORAGE);
    assert_non_null(strstr(f->info.message, "free some space"));
    test_vfs_fail_writes(0);
    assert_int_equal(open_store(f, TEST_VFS_NAME), ERR_OK);
}

/* ---- opening what cannot be opened ---- */

static void locked_directory_is_refused(void **state) {
    struct fixture *f = *state;
    assert_int_equal(open_store(f, nullptr), ERR_OK);
    struct store *second = nullptr;
    struct err_info info;
    assert_int_equal(store_sqlite_open(f->dir, f->loop, QUIET, &second, &info), ERR_BUSY);
    assert_null(second);
    char pid[32];
    snprintf(pid, sizeof pid, "pid %ld)", (long)getpid());
    assert_non_null(strstr(info.message, pid));
    assert_non_null(strstr(info.message, "--state-dir"));
    close_store(f);
    assert_int_equal(open_store(f, nullptr), ERR_OK);
}

static void write_file(struct fixture *f, const char *name, const void *bytes, size_t len) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    fclose(file);
}

static void damaged_database_is_refused(void **state) {
    struct fixture *f = *state;
    char bytes[8192];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 31 + 7);
    write_file(f, "rocd.db", bytes, sizeof bytes);
    assert_int_equal(open_store(f, nullptr), ERR_STORAGE);
    assert_non_null(strstr(f->info.message, "damaged"));
    assert_non_null(strstr(f->info.message, "move it"));
    /* a good head and a torn tail */
    char path[128];
    snprintf(path, sizeof path, "%s/rocd.db", f->dir);
    unlink(path);
    assert_int_equal(open_store(f, nullptr), ERR_OK);
    for (int i = 1; i <= 200; i++)
        f->store->ops->put(f->store, STORE_STREAM, (char[]){(char)(i % 100 + 20), 0}, i, bytes + 100, 150, nullptr,
                           nullptr);
    close_store(f);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, bytes, 4096, 4096), 4096);
    close(fd);
    assert_int_equal(open_store(f, nullptr), ERR_STORAGE);
    assert_non_null(strstr(f->info.message, "damaged"));
}

static void sql_into(struct fixture *f, const char *sql) {
    char path[128];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/rocd.db", f->dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(db);
}

static void newer_and_foreign_databases_are_refused(void **state) {
    struct fixture *f = *state;
    assert_int_equal(open_store(f, nullptr), ERR_OK);
    close_store(f);
    sql_into(f, "PRAGMA user_version = 99");
    assert_int_equal(open_store(f, nullptr), ERR_UNSUPPORTED);
    assert_non_null(strstr(f->info.message, "newer rocd (database version 99, this rocd knows up to 1)"));
    sql_into(f, "PRAGMA application_id = 5");
    assert_int_equal(open_store(f, nullptr), ERR_UNSUPPORTED);
    assert_non_null(strstr(f->info.message, "another program"));
}

static void unusable_directories_are_refused(void **state) {
    struct fixture *f = *state;
    struct err_info info;
    write_file(f, "file", "x", 1);
    char path[128];
    snprintf(path, sizeof path, "%s/file/state", f->dir);
    assert_int_not_equal(store_sqlite_open(path, f->loop, QUIET, &f->store, &info), ERR_OK);
    assert_non_null(strstr(info.message, "--state-dir"));
    snprintf(path, sizeof path, "%s/file", f->dir);
    assert_int_equal(store_sqlite_open(path, f->loop, QUIET, &f->store, &info), ERR_INVALID);
    assert_int_equal(store_sqlite_open("", f->loop, QUIET, &f->store, &info), ERR_INVALID);
    snprintf(path, sizeof path, "%s/new/deep/state", f->dir);
    assert_int_equal(store_sqlite_open(path, f->loop, QUIET, &f->store, &info), ERR_OK);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

/* Root may write anywhere, so a child becomes somebody else. */
static void unwritable_directory_is_refused(void **state) {
    struct fixture *f = *state;
    if (geteuid() == 0)
        assert_int_equal(chmod(f->dir, 0755), 0);
    else
        assert_int_equal(chmod(f->dir, 0555), 0);
    pid_t child = fork();
    if (child == 0) {
        if (geteuid() == 0 && (setgid(65534) || setuid(65534)))
            _exit(9);
        struct err_info info;
        struct store *store;
        enum err e = store_sqlite_open(f->dir, f->loop, QUIET, &store, &info);
        _exit(e == ERR_DENIED && strstr(info.message, "not writable") ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    chmod(f->dir, 0700);
}

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

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void) {
    test_vfs_init();
    const struct CMUnitTest tests[] = {
        TEST(memory_reads_and_writes),
        TEST(sqlite_reads_and_writes),
        TEST(close_makes_what_was_queued_durable),
        TEST(many_changes_share_a_sync),
        TEST(failing_change_fails_alone),
        TEST(full_disk_is_told_and_survived),
        TEST(full_disk_at_the_start),
        TEST(locked_directory_is_refused),
        TEST(damaged_database_is_refused),
        TEST(newer_and_foreign_databases_are_refused),
        TEST(unusable_directories_are_refused),
        TEST(unwritable_directory_is_refused),
        TEST(nothing_acknowledged_is_lost_by_kill),
        TEST(nothing_acknowledged_is_lost_by_loss_of_power),
    };
    int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
    test_vfs_finish();
    return failed;
}
