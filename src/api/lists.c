/* SPDX-License-Identifier: MPL-2.0 */
#include "api/lists.h"

#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "base/cleanup.h"
#include "orchestrator/orchestrator.h"

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

bool lists_append_peers(const struct orchestrator *orchestrator, struct buf *buf) {
    struct peer peer = {};
    orchestrator_show_peer(orchestrator, &peer);
    return call_append_object(buf, &peer_schema, &peer);
}

bool lists_append_endpoints(const struct orchestrator *orchestrator, struct buf *buf) {
    size_t n;
    _cleanup_(freep) const struct registry_endpoint **all = lists_endpoints(orchestrator, &n, &buf->failed);
    for (size_t i = 0; i < n && !buf->failed; i++) {
        struct endpoint endpoint = {};
        orchestrator_show_endpoint(orchestrator, all[i], &endpoint);
        call_append_object(buf, &endpoint_schema, &endpoint);
    }
    return !buf->failed;
}

bool lists_append_streams(const struct orchestrator *orchestrator, struct buf *buf) {
    size_t n;
    _cleanup_(freep) const struct registry_stream **all = lists_streams(orchestrator, &n, &buf->failed);
    for (size_t i = 0; i < n && !buf->failed; i++) {
        struct stream stream = {};
        orchestrator_show_stream(orchestrator, all[i], &stream);
        call_append_object(buf, &stream_schema, &stream);
    }
    return !buf->failed;
}

void lists_reply(struct api_call *call, struct buf *buf) {
    size_t len = 0;
    char *body = buf_take(buf, &len);
    call_reply_take(call, 200, "application/json", body, len);
}
