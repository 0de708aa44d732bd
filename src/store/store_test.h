/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/loop_uv.h"
#include "store/sqlite_priv.h"

/*
 * What the unit tests of the store share: a directory and a loop for each test, and changes whose callbacks are counted.
 *
 * Life cycle: set_up → open_store, put, wait_for_all … → tear_down, one a test.  Threads: one.
 */

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

static inline int remove_entry(const char *path, const struct stat *, int, struct FTW *) {
    return remove(path);
}

static inline void remove_tree(const char *path) {
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void make_dir(char dir[static 64]) {
    memcpy(dir, "/tmp/rocd-store-XXXXXX", sizeof "/tmp/rocd-store-XXXXXX");
    assert_non_null(mkdtemp(dir));
}

static inline int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    make_dir(f->dir);
    f->in_order = true;
    assert_int_equal(loop_uv_create(&f->uv, nullptr), ERR_OK);
    f->loop = loop_uv_loop(f->uv);
    *state = f;
    return 0;
}

static inline int tear_down(void **state) {
    struct fixture *f = *state;
    if (f->store)
        f->store->ops->close(f->store);
    loop_uv_destroy(f->uv);
    remove_tree(f->dir);
    free(f);
    return 0;
}

static inline enum err open_store(struct fixture *f, const char *vfs) {
    return store_sqlite_open_vfs(f->dir, vfs, f->loop, (struct log){}, &f->store, &f->info);
}

static inline void close_store(struct fixture *f) {
    f->store->ops->close(f->store);
    f->store = nullptr;
}

struct call {
    struct fixture *f;
    int64_t generation;
};

static inline void on_done(void *arg, enum err result, const struct err_info *info) {
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

static inline void put(struct fixture *f, enum store_kind kind, const char *uid, int64_t generation, const char *json) {
    struct call *c = malloc(sizeof *c);
    *c = (struct call){f, generation};
    f->pending++;
    f->store->ops->put(f->store, kind, uid, generation, json, strlen(json), on_done, c);
}

static inline void remove_object(struct fixture *f, enum store_kind kind, const char *uid, int64_t generation) {
    struct call *c = malloc(sizeof *c);
    *c = (struct call){f, generation};
    f->pending++;
    f->store->ops->remove(f->store, kind, uid, on_done, c);
}

static inline void wait_for_all(struct fixture *f) {
    while (f->pending)
        loop_uv_run(f->uv);
}

/* All objects as text: "stream/b@3={}" … */
static inline void append_object(void *arg, enum store_kind kind, const char *uid, int64_t generation, const char *json,
                                 size_t len) {
    char *text = arg;
    size_t n = strlen(text);
    snprintf(text + n, 4096 - n, "%d/%s@%d=%.*s ", kind, uid, (int)generation, (int)len, json);
}

static inline const char *all(struct fixture *f, char text[static 4096]) {
    text[0] = 0;
    assert_int_equal(f->store->ops->load(f->store, append_object, text, &f->info), ERR_OK);
    return text;
}

/* A test with a fixture of its own. */
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
