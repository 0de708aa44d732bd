/* SPDX-License-Identifier: MPL-2.0 */
#include "api/lists.h"

#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "base/cleanup.h"
#include "orchestrator/orchestrator.h"
#include "orchestrator/registry/remote.h"

static int by_endpoint_uid(const void *a, const void *b) {
    return strcmp((*(const struct registry_endpoint *const *)a)->uid,
                  (*(const struct registry_endpoint *const *)b)->uid);
}

static int by_stream_uid(const void *a, const void *b) {
    return strcmp((*(const struct registry_stream *const *)a)->uid, (*(const struct registry_stream *const *)b)->uid);
}

const struct registry_endpoint **lists_endpoints(const struct orchestrator *orchestrator, size_t *ret_n,
                                                 bool *reterr_failed) {
    size_t n = 0;
    for (const struct registry_endpoint *e = nullptr; (e = orchestrator_next_endpoint(orchestrator, e));)
        n++;
    const struct registry_endpoint **all = n ? calloc(n, sizeof(*all)) : nullptr;
    *ret_n = all ? n : 0;
    if (n && !all)
        *reterr_failed = true;
    n = 0;
    for (const struct registry_endpoint *e = nullptr; all && (e = orchestrator_next_endpoint(orchestrator, e));)
        all[n++] = e;
    if (all)
        qsort(all, n, sizeof(*all), by_endpoint_uid);
    return all;
}

const struct registry_stream **lists_streams(const struct orchestrator *orchestrator, size_t *ret_n,
                                             bool *reterr_failed) {
    size_t n = 0;
    for (const struct registry_stream *s = nullptr; (s = orchestrator_next_stream(orchestrator, s));)
        n++;
    const struct registry_stream **all = n ? calloc(n, sizeof(*all)) : nullptr;
    *ret_n = all ? n : 0;
    if (n && !all)
        *reterr_failed = true;
    n = 0;
    for (const struct registry_stream *s = nullptr; all && (s = orchestrator_next_stream(orchestrator, s));)
        all[n++] = s;
    if (all)
        qsort(all, n, sizeof(*all), by_stream_uid);
    return all;
}

/* An object of the site on its way into a list: one of ours, shown when its turn comes, or another's, written already. */
struct item {
    const char *uid;
    const void *own;
    const struct remote_object *remote;
};

struct items {
    struct item *all; /* owned */
    size_t n, max;
    bool failed;
};

static void add_item(struct items *items, const char *uid, const void *own, const struct remote_object *remote) {
    if (items->n == items->max && !items->failed) {
        size_t max = items->max ? 2 * items->max : 64;
        struct item *all = reallocarray(items->all, max, sizeof *all);
        items->failed = !all;
        if (all) {
            items->all = all;
            items->max = max;
        }
    }
    if (!items->failed)
        items->all[items->n++] = (struct item){uid, own, remote};
}

static int by_item_uid(const void *a, const void *b) {
    return strcmp(((const struct item *)a)->uid, ((const struct item *)b)->uid);
}

static bool is_wanted(const char *peer_uid, const char *uid) {
    return !*peer_uid || strcmp(peer_uid, uid) == 0;
}

static void sort_items(struct items *items) {
    if (items->n > 0)
        qsort(items->all, items->n, sizeof *items->all, by_item_uid);
}

static void append_remote(struct buf *buf, const struct remote_object *object) {
    if (buf->len > 0 && buf->data[buf->len - 1] != '[')
        buf_append(buf, ",", 1);
    buf_append(buf, object->json, object->json_len);
}

bool lists_append_peers(const struct orchestrator *orchestrator, const char *peer_uid, struct buf *buf) {
    struct items items = {};
    const struct registry_peer *self = orchestrator_self(orchestrator);
    if (is_wanted(peer_uid, self->uid))
        add_item(&items, self->uid, nullptr, nullptr);
    for (const struct remote_peer *p = nullptr; (p = orchestrator_next_remote_peer(orchestrator, p));)
        if (is_wanted(peer_uid, p->uid))
            add_item(&items, p->uid, p, nullptr);
    sort_items(&items);
    for (size_t i = 0; i < items.n && !buf->failed; i++) {
        struct peer peer = {};
        if (items.all[i].own)
            orchestrator_show_remote_peer(orchestrator, items.all[i].own, &peer);
        else
            orchestrator_show_peer(orchestrator, &peer);
        call_append_object(buf, &peer_schema, &peer);
    }
    buf->failed |= items.failed;
    free(items.all);
    return !buf->failed;
}

bool lists_append_endpoints(const struct orchestrator *orchestrator, const char *peer_uid, struct buf *buf) {
    struct items items = {};
    bool own = is_wanted(peer_uid, orchestrator_self(orchestrator)->uid);
    for (const struct registry_endpoint *e = nullptr; own && (e = orchestrator_next_endpoint(orchestrator, e));)
        add_item(&items, e->uid, e, nullptr);
    for (const struct remote_endpoint *e = nullptr; (e = orchestrator_next_remote_endpoint(orchestrator, e));)
        if (is_wanted(peer_uid, e->object.peer->uid))
            add_item(&items, e->object.uid, nullptr, &e->object);
    sort_items(&items);
    for (size_t i = 0; i < items.n && !buf->failed; i++) {
        if (items.all[i].remote) {
            append_remote(buf, items.all[i].remote);
            continue;
        }
        struct endpoint endpoint = {};
        orchestrator_show_endpoint(orchestrator, items.all[i].own, &endpoint);
        call_append_object(buf, &endpoint_schema, &endpoint);
    }
    buf->failed |= items.failed;
    free(items.all);
    return !buf->failed;
}

bool lists_append_streams(const struct orchestrator *orchestrator, const char *peer_uid, struct buf *buf) {
    struct items items = {};
    bool own = is_wanted(peer_uid, orchestrator_self(orchestrator)->uid);
    for (const struct registry_stream *s = nullptr; own && (s = orchestrator_next_stream(orchestrator, s));)
        add_item(&items, s->uid, s, nullptr);
    for (const struct remote_stream *s = nullptr; (s = orchestrator_next_remote_stream(orchestrator, s));)
        if (is_wanted(peer_uid, s->object.peer->uid))
            add_item(&items, s->object.uid, nullptr, &s->object);
    sort_items(&items);
    for (size_t i = 0; i < items.n && !buf->failed; i++) {
        if (items.all[i].remote) {
            append_remote(buf, items.all[i].remote);
            continue;
        }
        struct stream stream = {};
        orchestrator_show_stream(orchestrator, items.all[i].own, &stream);
        call_append_object(buf, &stream_schema, &stream);
    }
    buf->failed |= items.failed;
    free(items.all);
    return !buf->failed;
}

void lists_reply(struct api_call *call, struct buf *buf) {
    size_t len = 0;
    char *body = buf_take(buf, &len);
    call_reply_take(call, 200, "application/json", body, len);
}
