/* SPDX-License-Identifier: MPL-2.0 */
#include "store/test_vfs.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The methods of an open file are replaced by a copy in which four functions are ours; our data lies behind the real
 * file's in the memory that SQLite allocates (szOsFile).
 */
const char *const TEST_VFS_NAME = "rocd-test";

constexpr int MAX_FILES = 16;
constexpr size_t SECTOR = 512;
constexpr size_t MAX_SIZE = 8 << 20;

struct image {
    char name[64]; /* without the directory; "" = free */
    unsigned char *now, *synced;
    size_t n_now, n_synced;
};

struct shim {
    const sqlite3_io_methods *real;
    sqlite3_io_methods methods;
    struct image *image;
};

static struct {
    sqlite3_vfs vfs, *real;
    pthread_mutex_t lock;
    struct image images[MAX_FILES];
    uint64_t n_syncs;
    _Atomic int fail;
    _Atomic size_t max_size;
} g = {.lock = PTHREAD_MUTEX_INITIALIZER, .max_size = MAX_SIZE};

static struct shim *shim_of(sqlite3_file *file) {
    return (struct shim *)((char *)file + g.real->szOsFile);
}

static struct image *image_of(const char *path) {
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    for (int i = 0; i < MAX_FILES; i++) {
        struct image *m = &g.images[i];
        if (m->name[0] && strcmp(m->name, name))
            continue;
        if (!m->name[0]) {
            snprintf(m->name, sizeof m->name, "%s", name);
            m->now = calloc(1, MAX_SIZE);
            m->synced = calloc(1, MAX_SIZE);
        }
        return m;
    }
    abort();
}

static int shim_write(sqlite3_file *file, const void *data, int n, sqlite3_int64 at) {
    struct shim *s = shim_of(file);
    if (g.fail)
        return g.fail;
    size_t end = (size_t)at + (size_t)n;
    if (end > g.max_size)
        return SQLITE_FULL;
    pthread_mutex_lock(&g.lock);
    memcpy(s->image->now + at, data, (size_t)n);
    if (end > s->image->n_now)
        s->image->n_now = end;
    pthread_mutex_unlock(&g.lock);
    return s->real->xWrite(file, data, n, at);
}

static int shim_truncate(sqlite3_file *file, sqlite3_int64 size) {
    struct shim *s = shim_of(file);
    pthread_mutex_lock(&g.lock);
    if ((size_t)size < s->image->n_now) {
        memset(s->image->now + size, 0, s->image->n_now - (size_t)size);
        s->image->n_now = (size_t)size;
    }
    pthread_mutex_unlock(&g.lock);
    return s->real->xTruncate(file, size);
}

static int shim_sync(sqlite3_file *file, int flags) {
    struct shim *s = shim_of(file);
    pthread_mutex_lock(&g.lock);
    memcpy(s->image->synced, s->image->now, s->image->n_now);
    s->image->n_synced = s->image->n_now;
    g.n_syncs++;
    pthread_mutex_unlock(&g.lock);
    return s->real->xSync(file, flags);
}

static int shim_open(sqlite3_vfs *, sqlite3_filename path, sqlite3_file *file, int flags, int *out) {
    int code = g.real->xOpen(g.real, path, file, flags, out);
    if (code != SQLITE_OK || !path)
        return code;
    struct shim *s = shim_of(file);
    s->real = file->pMethods;
    s->methods = *s->real;
    s->methods.xWrite = shim_write;
    s->methods.xTruncate = shim_truncate;
    s->methods.xSync = shim_sync;
    file->pMethods = &s->methods;
    pthread_mutex_lock(&g.lock);
    s->image = image_of(path);
    pthread_mutex_unlock(&g.lock);
    return SQLITE_OK;
}

void test_vfs_init(void) {
    g.real = sqlite3_vfs_find(nullptr);
    g.vfs = *g.real;
    g.vfs.zName = TEST_VFS_NAME;
    g.vfs.szOsFile = g.real->szOsFile + (int)sizeof(struct shim);
    g.vfs.xOpen = shim_open;
    g.vfs.pNext = nullptr;
    sqlite3_vfs_register(&g.vfs, 0);
}

void test_vfs_reset(void) {
    pthread_mutex_lock(&g.lock);
    for (int i = 0; i < MAX_FILES; i++) {
        free(g.images[i].now);
        free(g.images[i].synced);
        g.images[i] = (struct image){};
    }
    g.n_syncs = 0;
    g.fail = 0;
    g.max_size = MAX_SIZE;
    pthread_mutex_unlock(&g.lock);
}

void test_vfs_finish(void) {
    test_vfs_reset();
    sqlite3_vfs_unregister(&g.vfs);
}

static uint32_t next(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 16;
}

static void crash_file(const struct image *m, const char *dir, uint32_t *seed) {
    size_t n = next(seed) & 1 ? m->n_now : m->n_synced;
    unsigned char *left = calloc(1, n + SECTOR);
    for (size_t at = 0; at < n; at += SECTOR) {
        bool was_synced = at < m->n_synced;
        const unsigned char *from = was_synced && next(seed) % 2 ? m->synced : m->now;
        if (was_synced || next(seed) % 3)
            memcpy(left + at, from + at, SECTOR);
    }
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, m->name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(left, 1, n, f) != n || fclose(f))
        abort();
    free(left);
}

void test_vfs_crash(const char *to_dir, uint32_t *seed) {
    pthread_mutex_lock(&g.lock);
    for (int i = 0; i < MAX_FILES; i++)
        if (!strcmp(g.images[i].name, "rocd.db") || !strcmp(g.images[i].name, "rocd.db-wal"))
            crash_file(&g.images[i], to_dir, seed);
    pthread_mutex_unlock(&g.lock);
}

uint64_t test_vfs_syncs(void) {
    pthread_mutex_lock(&g.lock);
    uint64_t n = g.n_syncs;
    pthread_mutex_unlock(&g.lock);
    return n;
}

void test_vfs_fail_writes(int code) {
    g.fail = code;
}

void test_vfs_limit(size_t max_size) {
    g.max_size = max_size < MAX_SIZE ? max_size : MAX_SIZE;
}
