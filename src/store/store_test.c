/* SPDX-License-Identifier: MPL-2.0 */
#include "store/store_test.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/database.h"
#include "store/job.h"
#include "store/test_vfs.h"

static const struct log QUIET = {};

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

/* On a disk that is nearly full a removal must not fail because of what was written with it. */
static void what_fits_is_done_when_all_together_do_not(void **state) {
    struct fixture *f = *state;
    constexpr size_t LARGE = 300'000;
    char path[128];
    struct database *database;
    struct list jobs;
    test_vfs_reset();
    snprintf(path, sizeof path, "%s/rocd.db", f->dir);
    assert_int_equal(database_open(path, TEST_VFS_NAME, &database, &f->info), ERR_OK);
    list_init(&jobs);
    struct store_job *put = store_job_create(STORE_JOB_PUT, STORE_STREAM, "a", "{}", 2);
    put->generation = 1;
    list_append(&jobs, &put->link);
    database_write(database, &jobs);
    assert_int_equal(put->result, ERR_OK);
    list_remove(&put->link);
    store_job_free(put);

    char *json = malloc(LARGE);
    memset(json, 'x', LARGE);
    put = store_job_create(STORE_JOB_PUT, STORE_STREAM, "b", json, LARGE);
    struct store_job *removal = store_job_create(STORE_JOB_REMOVE, STORE_STREAM, "a", nullptr, 0);
    list_append(&jobs, &put->link);
    list_append(&jobs, &removal->link);
    test_vfs_limit(LARGE / 2);
    database_write(database, &jobs);
    assert_int_equal(put->result, ERR_STORAGE);
    assert_non_null(strstr(put->info.message, "full"));
    assert_int_equal(removal->result, ERR_OK);
    test_vfs_limit(SIZE_MAX);
    char text[4096] = "";
    assert_int_equal(database_load(database, append_object, text, &f->info), ERR_OK);
    assert_string_equal(text, "");
    list_remove(&put->link);
    list_remove(&removal->link);
    store_job_free(put);
    store_job_free(removal);
    free(json);
    database_close(database);
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
        TEST(what_fits_is_done_when_all_together_do_not),
        TEST(locked_directory_is_refused),
        TEST(damaged_database_is_refused),
        TEST(newer_and_foreign_databases_are_refused),
        TEST(unusable_directories_are_refused),
        TEST(unwritable_directory_is_refused),
    };
    int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
    test_vfs_finish();
    return failed;
}
