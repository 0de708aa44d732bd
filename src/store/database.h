/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/list.h"
#include "store/store.h"

struct store_job;

/*
 * The SQLite file: opening, its schema and migrations, and the statements on it. WAL with synchronous=FULL, so that a
 * commit that was reported is on disk. Nothing here knows threads, queues or callbacks.
 *
 * Life cycle: database_open → … → database_close.
 * Threads: one at a time.
 */
struct database;

/* What this rocd writes, and the newest it can read. */
constexpr int DATABASE_VERSION = 1;

/* vfs: nullptr, or the name of another one (tests). The message says what to do. */
enum err database_open(const char *path, const char *vfs, struct database **ret, struct err_info *reterr);
void database_close(struct database *database); /* accepts nullptr */

enum err database_load(struct database *database, store_each_fn each, void *arg, struct err_info *reterr);
/* One GET; fills the job's result. */
void database_read(struct database *database, struct store_job *job);
/* Carries out changes (PUT, REMOVE; struct store_job::link) in one transaction and fills their results. One that
 * fails does so alone; when the commit fails, all of them do. */
void database_write(struct database *database, struct list *jobs);
