/* SPDX-License-Identifier: MPL-2.0 */
#include "orchestrator/registry/writes.h"

#include <stdio.h>
#include <stdlib.h>

/* All writes of one object that are under way. */
struct write_track {
    struct writes *writes;
    struct list_link link;
    enum store_kind kind;
    char uid[UID_SIZE];
    size_t n_pending;   /* writes */
    bool last_failed;   /* the last write that ended */
    bool is_read;       /* a read is under way */
    struct list failed; // struct write::link, owned: writers who wait for the read
};

struct write {
    struct write_track *track;
    struct list_link link;
    orchestrator_done_fn done;
    void *arg;
    struct err_info info; /* of a failure */
};

constexpr size_t KEY_SIZE = UID_SIZE + 4;
constexpr int64_t RETRY_NS = NS_PER_S;

static void track_key(char key[static KEY_SIZE], enum store_kind kind, const char *uid) {
    snprintf(key, KEY_SIZE, "%d/%s", (int)kind, uid);
}

static bool is_idle(const struct write_track *track) {
    return track->n_pending == 0 && !track->is_read && !track->last_failed && list_empty(&track->failed);
}

static void track_drop_if_idle(struct write_track *track) {
    if (!is_idle(track))
        return;
    char key[KEY_SIZE];
    track_key(key, track->kind, track->uid);
    map_remove(&track->writes->tracks, key);
    list_remove(&track->link);
    free(track);
}

static struct write_track *track_get(struct writes *writes, enum store_kind kind, const char *uid) {
    char key[KEY_SIZE];
    track_key(key, kind, uid);
    struct write_track *track = map_get(&writes->tracks, key);
    if (track)
        return track;
    track = calloc(1, sizeof *track);
    if (!track)
        return nullptr;
    track->writes = writes;
    track->kind = kind;
    snprintf(track->uid, sizeof track->uid, "%s", uid);
    list_init(&track->failed);
    if (!map_put(&writes->tracks, key, track)) {
        free(track);
        return nullptr;
    }
    list_append(&writes->all, &track->link);
    return track;
}

/* ---- reading back ---- */

static void tell_failed(struct write_track *track) {
    while (!list_empty(&track->failed)) {
        struct write *write = list_first(&track->failed, struct write, link);
        list_remove(&write->link);
        if (write->done)
            write->done(write->arg, write->info.code, &write->info);
        free(write);
    }
}

static void on_read(void *arg, enum err result, const char *json, size_t len, int64_t generation) {
    struct write_track *track = arg;
    struct writes *writes = track->writes;
    track->is_read = false;
    writes->n_pending--;
    if (track->n_pending > 0) {
        /* A newer write is on its way and settles it. */
    } else if (result == ERR_OK) {
        track->last_failed = false;
        writes->read_back(writes->arg, track->kind, track->uid, json, len, generation);
    } else {
        log_error(writes->log, "object could not be read back after a failed write; trying again",
                  LOG_STR("uid", track->uid), LOG_STR("error", err_name(result)));
        loop_timer_start(writes->loop, &writes->retry, RETRY_NS);
    }
    tell_failed(track);
    track_drop_if_idle(track);
}

static void read_back(struct write_track *track) {
    if (track->is_read)
        return;
    struct writes *writes = track->writes;
    track->is_read = true;
    writes->n_pending++;
    writes->store->ops->get(writes->store, track->kind, track->uid, on_read, track);
}

static void on_retry(void *arg) {
    struct writes *writes = arg;
    struct write_track *track;
    list_for_each(track, &writes->all, link) {
        if (track->last_failed && track->n_pending == 0)
            read_back(track);
    }
}

/* ---- writing ---- */

static void on_done(void *arg, enum err result, const struct err_info *info) {
    struct write *write = arg;
    struct write_track *track = write->track;
    struct writes *writes = track->writes;
    writes->n_pending--;
    track->n_pending--;
    track->last_failed = result != ERR_OK;
    writes->failing = result;
    if (result == ERR_OK) {
        if (write->done)
            write->done(write->arg, ERR_OK, nullptr);
        free(write);
    } else {
        if (info)
            write->info = *info;
        else
            (void)err_set(&write->info, result, "the change could not be stored: %s", err_title(result));
        write->info.code = result;
        writes->failure = write->info;
        log_error(writes->log, "write failed", LOG_STR("uid", track->uid), LOG_STR("reason", write->info.message));
        list_append(&track->failed, &write->link);
    }
    if (track->n_pending == 0 && track->last_failed)
        read_back(track);
    else if (track->n_pending == 0)
        tell_failed(track); /* a later write has gone through: memory and store agree */
    track_drop_if_idle(track);
}

struct write *write_create(struct writes *writes, enum store_kind kind, const char *uid, orchestrator_done_fn done,
                           void *arg) {
    struct write *write = calloc(1, sizeof *write);
    struct write_track *track = write ? track_get(writes, kind, uid) : nullptr;
    if (!track) {
        free(write);
        return nullptr;
    }
    write->track = track;
    write->done = done;
    write->arg = arg;
    track->n_pending++;
    writes->n_pending++;
    return write;
}

void write_cancel(struct write *write) {
    if (!write)
        return;
    struct write_track *track = write->track;
    track->n_pending--;
    track->writes->n_pending--;
    free(write);
    track_drop_if_idle(track);
}

void write_put(struct write *write, int64_t generation, const char *json, size_t len) {
    struct write_track *track = write->track;
    struct store *store = track->writes->store;
    store->ops->put(store, track->kind, track->uid, generation, json, len, on_done, write);
}

void write_remove(struct write *write) {
    struct write_track *track = write->track;
    struct store *store = track->writes->store;
    store->ops->remove(store, track->kind, track->uid, on_done, write);
}

void writes_init(struct writes *writes, struct log log, struct loop *loop, struct store *store,
                 writes_read_back_fn read_back_fn, void *arg) {
    *writes = (struct writes){.log = log, .store = store, .loop = loop, .read_back = read_back_fn, .arg = arg};
    writes->retry = (struct loop_timer){.fire = on_retry, .arg = writes};
    list_init(&writes->all);
}

void writes_finish(struct writes *writes) {
    if (!writes->loop)
        return;
    loop_timer_stop(writes->loop, &writes->retry);
    struct write_track *track;
    list_for_each_safe(track, &writes->all, link) {
        list_remove(&track->link);
        while (!list_empty(&track->failed)) {
            struct write *write = list_first(&track->failed, struct write, link);
            list_remove(&write->link);
            free(write);
        }
        free(track);
    }
    map_finish(&writes->tracks);
    *writes = (struct writes){};
}
