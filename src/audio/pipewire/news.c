/* SPDX-License-Identifier: MPL-2.0 */
#include "audio/pipewire/news.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/loop.h"
#include "base/map.h"

enum news_kind { NEWS_DEVICE, NEWS_GONE, NEWS_DRIVER };

struct news_item {
    struct list_link link;
    enum news_kind kind;
    bool is_first;             /* device: the core does not know it, so that it need not hear that it went, either */
    bool has_returned;         /* device: it went and came, and the core has not heard of either */
    struct news_device device; /* driver: only `failure` */
};

struct news {
    struct log log;
    struct loop *loop;
    const struct audio_watcher *watcher; /* core thread */
    void *arg;

    pthread_mutex_t lock; /* held for moments; protects what follows */
    struct list items;    /* struct news_item::link, owned, oldest first */
    struct map devices;   /* key_of() → what `items` holds of it */
    struct map known;     /* key_of() → any: the core has been told of it, or will be */
    struct news_item *driver;
    bool is_posted; /* a delivery lies in the loop's queue, and holds this object */
    bool is_orphan; /* destroyed: the delivery frees it */
};

struct news *news_create(const struct audio_host *host) {
    struct news *n = calloc(1, sizeof *n);
    if (!n)
        return nullptr;
    n->log = host->log;
    n->loop = host->loop;
    list_init(&n->items);
    pthread_mutex_init(&n->lock, nullptr);
    return n;
}

static void free_items(struct list *items) {
    struct news_item *item;
    list_for_each_safe(item, items, link) free(item);
    list_init(items);
}

static void news_free(struct news *n) {
    free_items(&n->items);
    map_finish(&n->devices);
    map_finish(&n->known);
    pthread_mutex_destroy(&n->lock);
    free(n);
}

void news_destroy(struct news *n) {
    if (!n)
        return;
    pthread_mutex_lock(&n->lock);
    n->is_orphan = true;
    bool is_posted = n->is_posted;
    pthread_mutex_unlock(&n->lock);
    if (!is_posted)
        news_free(n);
}

void news_watch(struct news *n, const struct audio_watcher *watcher, void *arg) {
    n->watcher = watcher;
    n->arg = arg;
}

static void tell(const struct news *n, const struct news_item *item) {
    const struct news_device *d = &item->device;
    if (item->kind == NEWS_DRIVER) {
        n->watcher->driver(n->arg, &d->failure);
        return;
    }
    const struct audio_device device = {
        .uid = d->uid[0] ? d->uid : nullptr,
        .system_name = d->system_name,
        .display_name = d->display_name,
        .kind = d->kind,
        .direction = d->direction,
        .format = d->format,
        .is_default = d->is_default,
        .has_volume = d->has_volume,
        .volume = d->volume,
        .is_muted = d->is_muted,
        .follows = d->follows[0] ? d->follows : nullptr,
        .has_returned = item->has_returned,
        .failure = d->failure,
    };
    (item->kind == NEWS_DEVICE ? n->watcher->device : n->watcher->device_gone)(n->arg, &device);
}

/* Core thread. */
static void deliver(void *arg) {
    struct news *n = arg;
    struct list items;
    list_init(&items);
    pthread_mutex_lock(&n->lock);
    n->is_posted = false;
    bool is_orphan = n->is_orphan;
    struct news_item *item;
    list_for_each_safe(item, &n->items, link) {
        list_remove(&item->link);
        list_append(&items, &item->link);
    }
    map_finish(&n->devices);
    n->devices = (struct map){};
    n->driver = nullptr;
    pthread_mutex_unlock(&n->lock);
    if (!is_orphan && n->watcher)
        list_for_each(item, &items, link) tell(n, item);
    free_items(&items);
    if (is_orphan)
        news_free(n);
}

/* With the lock held. */
static void post(struct news *n) {
    if (n->is_posted || list_empty(&n->items))
        return;
    n->is_posted = true;
    if (loop_post(n->loop, deliver, n) != ERR_OK)
        n->is_posted = false; /* news_retry() comes later */
}

static void lost(struct news *n, const char *what) {
    log_error(n->log, "out of memory: the core has not been told of a device", LOG_STR("device", what));
}

/* Another program may have a device with the system_name of an exposed one. */
static const char *key_of(const struct news_device *device) {
    return device->uid[0] ? device->uid : device->system_name;
}

static void drop(struct news *n, struct news_item *item) {
    (void)map_remove(&n->devices, key_of(&item->device));
    list_remove(&item->link);
    free(item);
}

static void say(struct news *n, enum news_kind kind, const struct news_device *device) {
    pthread_mutex_lock(&n->lock);
    const char *name = key_of(device);
    bool is_known = map_get(&n->known, name) != nullptr;
    struct news_item *item = map_get(&n->devices, name);
    if (kind == NEWS_GONE && (!is_known || (item && item->is_first))) {
        if (item)
            drop(n, item);
        (void)map_remove(&n->known, name);
        pthread_mutex_unlock(&n->lock);
        return;
    }
    if (item)
        list_remove(&item->link);
    else if ((item = calloc(1, sizeof *item)) && !map_put(&n->devices, name, item)) {
        free(item);
        item = nullptr;
    }
    if (kind == NEWS_GONE) {
        (void)map_remove(&n->known, name);
        if (item)
            item->has_returned = false;
    }
    if (item && kind == NEWS_DEVICE && !is_known) {
        /* a device that went a moment ago, and of which the core still has to hear that, is not new to it */
        item->has_returned = item->kind == NEWS_GONE;
        item->is_first = !item->has_returned;
        if (!map_put(&n->known, name, n)) {
            drop(n, item);
            item = nullptr;
        }
    }
    if (item) {
        item->kind = kind;
        item->device = *device;
        list_append(&n->items, &item->link);
        post(n);
    } else {
        lost(n, name);
    }
    pthread_mutex_unlock(&n->lock);
}

void news_say_device(struct news *n, const struct news_device *device) {
    say(n, NEWS_DEVICE, device);
}

void news_say_gone(struct news *n, const struct news_device *device) {
    say(n, NEWS_GONE, device);
}

void news_forget(struct news *n, const char *uid) {
    pthread_mutex_lock(&n->lock);
    struct news_item *item = map_get(&n->devices, uid);
    if (item)
        drop(n, item);
    (void)map_remove(&n->known, uid);
    pthread_mutex_unlock(&n->lock);
}

void news_say_driver(struct news *n, const struct err_info *failure) {
    pthread_mutex_lock(&n->lock);
    if (n->driver)
        list_remove(&n->driver->link);
    else
        n->driver = calloc(1, sizeof *n->driver);
    if (n->driver) {
        n->driver->kind = NEWS_DRIVER;
        n->driver->device.failure = *failure;
        list_append(&n->items, &n->driver->link);
        post(n);
    } else {
        lost(n, "(all)");
    }
    pthread_mutex_unlock(&n->lock);
}

void news_retry(struct news *n) {
    pthread_mutex_lock(&n->lock);
    post(n);
    pthread_mutex_unlock(&n->lock);
}
