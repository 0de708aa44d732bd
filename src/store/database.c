/* SPDX-License-Identifier: MPL-2.0 */
#include "store/database.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/job.h"

/*
 * `seq` is the order in which objects were made; replacing an object keeps it. The schema's version is in
 * user_version; MIGRATIONS[n] leads from version n to n + 1, all of them in one transaction.
 */
static const char CREATE_OBJECTS[] = "CREATE TABLE object("
                                     "  seq INTEGER PRIMARY KEY,"
                                     "  kind TEXT NOT NULL,"
                                     "  uid TEXT NOT NULL,"
                                     "  generation INTEGER NOT NULL,"
                                     "  json TEXT NOT NULL,"
                                     "  UNIQUE (kind, uid)"
                                     ") STRICT;";
static const char *const MIGRATIONS[DATABASE_VERSION] = {CREATE_OBJECTS};

/* "rocd", so that a database of another program is not taken for ours. */
constexpr int APPLICATION_ID = 0x726f6364;
/* For somebody who looks into the file with the sqlite3 tool. */
constexpr int BUSY_TIMEOUT_MS = 2000;

enum statement { ST_PUT, ST_REMOVE, ST_GET, ST_LOAD, ST_BEGIN, ST_COMMIT, ST_SAVE, ST_RELEASE, ST_UNDO, N_STATEMENTS };

static const char *const SQL[N_STATEMENTS] = {
    [ST_PUT] = ("INSERT INTO object(kind, uid, generation, json) VALUES(?1, ?2, ?3, ?4)"
                " ON CONFLICT(kind, uid) DO UPDATE SET generation = excluded.generation, json = excluded.json"),
    [ST_REMOVE] = "DELETE FROM object WHERE kind = ?1 AND uid = ?2",
    [ST_GET] = "SELECT generation, json FROM object WHERE kind = ?1 AND uid = ?2",
    [ST_LOAD] = "SELECT generation, json, uid FROM object WHERE kind = ?1 ORDER BY seq",
    [ST_BEGIN] = "BEGIN IMMEDIATE",
    [ST_COMMIT] = "COMMIT",
    [ST_SAVE] = "SAVEPOINT one",
    [ST_RELEASE] = "RELEASE one",
    [ST_UNDO] = "ROLLBACK TO one",
};

struct database {
    sqlite3 *db;
    sqlite3_stmt *statements[N_STATEMENTS];
    char path[PATH_MAX];
};

/* ---- errors ---- */

static enum err translate(struct database *d, int code, const char *doing, struct err_info *reterr) {
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return err_set(reterr, ERR_NO_MEMORY, "%s: out of memory", doing);
    case SQLITE_FULL:
        return err_set(reterr, ERR_STORAGE, "%s: the disk of '%s' is full: free some space on it", doing, d->path);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return err_set(
            reterr, ERR_STORAGE,
            "%s: '%s' is damaged (%s): restore it from a backup, or stop rocd, move it and its -wal and -shm "
            "files away, and start with nothing stored",
            doing, d->path, sqlite3_errstr(code));
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return err_set(
            reterr, ERR_DENIED,
            "%s: '%s' is not writable (%s): change the owner or mode of the state directory, or give another "
            "with --state-dir",
            doing, d->path, sqlite3_errstr(code));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_set(reterr, ERR_BUSY, "%s: another program holds '%s': close it", doing, d->path);
    default:
        return err_set(reterr, ERR_STORAGE, "%s: '%s' failed: %s (SQLite %d, system error %d): look at the disk", doing,
                       d->path, sqlite3_errmsg(d->db), code, d->db ? sqlite3_system_errno(d->db) : 0);
    }
}

/* A change that could not be written is one kind of failure for the caller, whatever the disk's reason. */
static enum err translate_write(struct database *d, int code, struct err_info *info) {
    enum err e = translate(d, code, "the change could not be stored", info);
    if (e != ERR_NO_MEMORY)
        info->code = e = ERR_STORAGE;
    return e;
}

/* ---- statements ---- */

static int exec(struct database *d, const char *sql) {
    return sqlite3_exec(d->db, sql, nullptr, nullptr, nullptr);
}

static int run(struct database *d, enum statement which) {
    sqlite3_stmt *st = d->statements[which];
    int code = sqlite3_step(st);
    sqlite3_reset(st);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int pragma_int(struct database *d, const char *sql, int *ret) {
    sqlite3_stmt *st = nullptr;
    int code = sqlite3_prepare_v2(d->db, sql, -1, &st, nullptr);
    if (code == SQLITE_OK && (code = sqlite3_step(st)) == SQLITE_ROW) {
        *ret = sqlite3_column_int(st, 0);
        code = SQLITE_OK;
    }
    sqlite3_finalize(st);
    return code == SQLITE_DONE ? SQLITE_ERROR : code;
}

static int bind_key(sqlite3_stmt *st, enum store_kind kind, const char *uid) {
    int code = sqlite3_bind_text(st, 1, store_kind_name(kind), -1, SQLITE_STATIC);
    return code != SQLITE_OK || !uid ? code : sqlite3_bind_text(st, 2, uid, -1, SQLITE_STATIC);
}

/* ---- opening ---- */

static int migrate(struct database *d, int version) {
    if (version == DATABASE_VERSION)
        return SQLITE_OK;
    char set[96];
    snprintf(set, sizeof set, "PRAGMA application_id = %d; PRAGMA user_version = %d;", APPLICATION_ID,
             DATABASE_VERSION);
    int code = exec(d, "BEGIN IMMEDIATE");
    for (int v = version; v < DATABASE_VERSION && code == SQLITE_OK; v++)
        code = exec(d, MIGRATIONS[v]);
    if (code == SQLITE_OK)
        code = exec(d, set);
    if (code == SQLITE_OK)
        code = exec(d, "COMMIT");
    if (code != SQLITE_OK && !sqlite3_get_autocommit(d->db))
        exec(d, "ROLLBACK");
    return code;
}

static enum err check_version(struct database *d, int *ret_version, struct err_info *reterr) {
    int version = 0, id = 0, n_tables = 0;
    int code = pragma_int(d, "PRAGMA user_version", &version);
    if (code == SQLITE_OK)
        code = pragma_int(d, "PRAGMA application_id", &id);
    if (code == SQLITE_OK)
        code = pragma_int(d, "SELECT count(*) FROM sqlite_schema", &n_tables);
    if (code != SQLITE_OK)
        return translate(d, code, "the store could not be opened", reterr);
    if (id != APPLICATION_ID && (n_tables || version))
        return err_set(
            reterr, ERR_UNSUPPORTED,
            "'%s' is a database of another program: move it away, or give another directory with --state-dir", d->path);
    if (version < 0 || version > DATABASE_VERSION)
        return err_set(reterr, ERR_UNSUPPORTED,
                       "'%s' was written by a newer rocd (database version %d, this rocd knows up to %d): install that "
                       "rocd again, or give another directory with --state-dir",
                       d->path, version, DATABASE_VERSION);
    *ret_version = version;
    return ERR_OK;
}

static bool is_ok_text(const unsigned char *text) {
    return text && !strcmp((const char *)text, "ok");
}

static enum err check_integrity(struct database *d, struct err_info *reterr) {
    sqlite3_stmt *st = nullptr;
    int code = sqlite3_prepare_v2(d->db, "PRAGMA quick_check(1)", -1, &st, nullptr);
    if (code == SQLITE_OK && (code = sqlite3_step(st)) == SQLITE_ROW)
        code = is_ok_text(sqlite3_column_text(st, 0)) ? SQLITE_OK : SQLITE_CORRUPT;
    sqlite3_finalize(st);
    return code == SQLITE_OK ? ERR_OK : translate(d, code, "the store could not be opened", reterr);
}

static enum err prepare_all(struct database *d, struct err_info *reterr) {
    for (int i = 0; i < N_STATEMENTS; i++) {
        int code = sqlite3_prepare_v3(d->db, SQL[i], -1, SQLITE_PREPARE_PERSISTENT, &d->statements[i], nullptr);
        if (code != SQLITE_OK)
            return translate(d, code, "the store could not be opened", reterr);
    }
    return ERR_OK;
}

static enum err set_up(struct database *d, struct err_info *reterr) {
    sqlite3_busy_timeout(d->db, BUSY_TIMEOUT_MS);
    sqlite3_db_config(d->db, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    int version = 0;
    enum err e = check_version(d, &version, reterr);
    if (e == ERR_OK)
        e = check_integrity(d, reterr);
    if (e != ERR_OK)
        return e;
    int code = exec(d, "PRAGMA trusted_schema = OFF; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;");
    if (code == SQLITE_OK)
        code = migrate(d, version);
    if (code != SQLITE_OK)
        return translate(d, code, "the store could not be opened", reterr);
    return prepare_all(d, reterr);
}

enum err database_open(const char *path, const char *vfs, struct database **ret, struct err_info *reterr) {
    struct database *d = calloc(1, sizeof *d);
    if (!d)
        return err_set(reterr, ERR_NO_MEMORY, "the store could not be opened: out of memory");
    if (snprintf(d->path, sizeof d->path, "%s", path) >= (int)sizeof d->path) {
        free(d);
        return err_set(reterr, ERR_INVALID, "the path of the state directory is too long: give a shorter one");
    }
    /* SQLite would make it readable for all, and gives its companions the same mode */
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    enum err e;
    if (fd < 0) {
        e = err_set_errno(reterr, errno,
                          "the store '%s' could not be opened: make it writable for this user, or give another "
                          "directory with --state-dir",
                          path);
    } else {
        close(fd);
        int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
        int code = sqlite3_open_v2(path, &d->db, flags, vfs);
        e = code == SQLITE_OK ? set_up(d, reterr) : translate(d, code, "the store could not be opened", reterr);
    }
    if (e != ERR_OK) {
        database_close(d);
        return e;
    }
    *ret = d;
    return ERR_OK;
}

void database_close(struct database *d) {
    if (!d)
        return;
    for (int i = 0; i < N_STATEMENTS; i++)
        sqlite3_finalize(d->statements[i]);
    sqlite3_close(d->db);
    free(d);
}

/* ---- reading ---- */

enum err database_load(struct database *d, store_each_fn each, void *arg, struct err_info *reterr) {
    sqlite3_stmt *st = d->statements[ST_LOAD];
    for (int kind = 0; kind < STORE_N_KINDS; kind++) {
        int code = bind_key(st, (enum store_kind)kind, nullptr);
        while (code == SQLITE_OK || code == SQLITE_ROW) {
            code = sqlite3_step(st);
            if (code != SQLITE_ROW)
                break;
            const char *json = (const char *)sqlite3_column_text(st, 1);
            const char *uid = (const char *)sqlite3_column_text(st, 2);
            if (!json || !uid) {
                code = SQLITE_NOMEM;
                break;
            }
            each(arg, (enum store_kind)kind, uid, sqlite3_column_int64(st, 0), json,
                 (size_t)sqlite3_column_bytes(st, 1));
        }
        sqlite3_reset(st);
        if (code != SQLITE_DONE)
            return translate(d, code, "the store could not be read", reterr);
    }
    return ERR_OK;
}

void database_read(struct database *d, struct store_job *job) {
    sqlite3_stmt *st = d->statements[ST_GET];
    int code = bind_key(st, job->kind, job->uid);
    if (code == SQLITE_OK)
        code = sqlite3_step(st);
    job->result = ERR_OK;
    if (code == SQLITE_ROW) {
        const char *json = (const char *)sqlite3_column_text(st, 1);
        job->len = (size_t)sqlite3_column_bytes(st, 1);
        job->found = json ? strndup(json, job->len) : nullptr;
        job->generation = sqlite3_column_int64(st, 0);
        if (!job->found)
            job->result = err_set(&job->info, ERR_NO_MEMORY, "the store could not be read: out of memory");
    } else if (code != SQLITE_DONE) {
        job->result = translate(d, code, "the store could not be read", &job->info);
    }
    sqlite3_reset(st);
}

/* ---- writing ---- */

static int change(struct database *d, const struct store_job *job) {
    enum statement which = job->op == STORE_JOB_PUT ? ST_PUT : ST_REMOVE;
    sqlite3_stmt *st = d->statements[which];
    int code = bind_key(st, job->kind, job->uid);
    if (code == SQLITE_OK && which == ST_PUT)
        code = sqlite3_bind_int64(st, 3, job->generation);
    if (code == SQLITE_OK && which == ST_PUT)
        code = sqlite3_bind_text64(st, 4, job->json, job->len, SQLITE_STATIC, SQLITE_UTF8);
    if (code == SQLITE_OK)
        code = run(d, which);
    sqlite3_clear_bindings(st);
    return code;
}

/* One change under a savepoint. */
static int change_alone(struct database *d, const struct store_job *job) {
    int code = run(d, ST_SAVE);
    if (code != SQLITE_OK)
        return code;
    code = change(d, job);
    if (code != SQLITE_OK && !sqlite3_get_autocommit(d->db))
        run(d, ST_UNDO);
    if (!sqlite3_get_autocommit(d->db))
        run(d, ST_RELEASE);
    return code;
}

static void roll_back(struct database *d) {
    if (!sqlite3_get_autocommit(d->db))
        exec(d, "ROLLBACK");
}

/* SQLITE_OK, and the results of all are filled; else the whole transaction is gone and none is. */
static int write_together(struct database *d, struct list *jobs) {
    int code = run(d, ST_BEGIN);
    if (code != SQLITE_OK)
        return code;
    struct store_job *job;
    list_for_each(job, jobs, link) {
        code = change_alone(d, job);
        job->result = code == SQLITE_OK ? ERR_OK : translate_write(d, code, &job->info);
        /* some failures (full, I/O) make SQLite give up the transaction */
        if (sqlite3_get_autocommit(d->db))
            return code == SQLITE_OK ? SQLITE_ERROR : code;
    }
    code = run(d, ST_COMMIT);
    if (code != SQLITE_OK)
        roll_back(d);
    return code;
}

void database_write(struct database *d, struct list *jobs) {
    int code = write_together(d, jobs);
    if (code == SQLITE_OK)
        return;
    struct store_job *job;
    list_for_each(job, jobs, link) job->result = translate_write(d, code, &job->info);
    if ((code & 0xff) != SQLITE_FULL || jobs->head.next->next == &jobs->head)
        return;
    /* too much for the disk together: one by one, so that what fits (a removal) is done */
    list_for_each(job, jobs, link) {
        code = run(d, ST_BEGIN);
        if (code == SQLITE_OK)
            code = change(d, job);
        if (code == SQLITE_OK)
            code = run(d, ST_COMMIT);
        roll_back(d);
        job->result = code == SQLITE_OK ? ERR_OK : translate_write(d, code, &job->info);
    }
}
