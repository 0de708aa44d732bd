/* SPDX-License-Identifier: MPL-2.0 */
#include "api/events.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_priv.h"
#include "base/cleanup.h"
#include "orchestrator/orchestrator.h"

struct api_events {
    struct api *api;       /* nullptr: the api is gone */
    struct list_link link; /* api::subscribers */
    struct event_filter filter;
    uint64_t seen; /* number of the last event that was considered */
    bool greeted;
    bool watches_own, watches_others; /* meters */
    bool reset;                       /* owes the reader a reset event, for: */
    enum reset_reason reset_reason;
    char *reset_json; /* owned; of that event */
    uint64_t next;    /* where the reader stands after the event that was peeked at */
    char next_cursor[CURSOR_SIZE];
};

/* ---- cursors ---- */

void cursor_format(const struct events *events, uint64_t number, char ret[static CURSOR_SIZE]) {
    snprintf(ret, CURSOR_SIZE, "%" PRIx64 "-%" PRIu64, events_epoch(events), number);
}

void cursor_now(const struct events *events, char ret[static CURSOR_SIZE]) {
    cursor_format(events, events_last(events), ret);
}

static bool read_decimal(const char *text, uint64_t *ret) {
    uint64_t value = 0;
    if (!*text || (*text == '0' && text[1]))
        return false;
    for (; *text; text++)
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
            return false;
    *ret = value;
    return true;
}

bool cursor_parse(const struct events *events, const char *text, uint64_t *ret_number, enum reset_reason *reterr) {
    char epoch[CURSOR_SIZE];
    int n = snprintf(epoch, sizeof epoch, "%" PRIx64 "-", events_epoch(events));
    uint64_t number;
    uint64_t last = events_last(events);
    *reterr = RESET_REASON_UNKNOWN_CURSOR;
    if (strncmp(text, epoch, (size_t)n) != 0 || !read_decimal(text + n, &number) || number > last)
        return false;
    /* What follows the cursor must all be there still. */
    if (number < last && !events_get(events, number + 1)) {
        *reterr = RESET_REASON_TOO_OLD;
        return false;
    }
    *ret_number = number;
    return true;
}

/* ---- subscribing ---- */

static enum err refuse_type(const char *type, struct err_info *reterr) {
    char names[384] = "";
    for (int i = 0; i < EVENT_N_TYPES; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", event_type_name((enum event_type)i));
    }
    return err_set(reterr, ERR_INVALID, "types: '%s' is no event type: there are %s", type, names);
}

static enum err parse_types(const char *text, uint32_t *ret, struct err_info *reterr) {
    uint32_t types = 0;
    while (true) {
        const char *comma = strchr(text, ',');
        size_t len = comma ? (size_t)(comma - text) : strlen(text);
        int type = 0;
        while (type < EVENT_N_TYPES && (strlen(event_type_name((enum event_type)type)) != len ||
                                        memcmp(event_type_name((enum event_type)type), text, len) != 0))
            type++;
        if (type == EVENT_N_TYPES) {
            char name[64];
            snprintf(name, sizeof name, "%.*s", (int)(len < 60 ? len : 60), text);
            return refuse_type(name, reterr);
        }
        types |= 1u << type;
        if (!comma)
            break;
        text = comma + 1;
    }
    *ret = types;
    return ERR_OK;
}

static enum err check_length(const char *name, const char *value, size_t max, struct err_info *reterr) {
    if (value && strlen(value) > max)
        return err_set(reterr, ERR_INVALID, "%s is longer than %zu bytes", name, max);
    return ERR_OK;
}

static enum err parse_filter(const struct api_call *call, struct event_filter *ret, struct err_info *reterr) {
    const char *types = query_get(&call->query, "types");
    const char *peer = query_get(&call->query, "peer");
    const char *stream = query_get(&call->query, "stream");
    struct event_filter filter = {};
    enum err err = check_length("types", types, 512, reterr);
    if (!err && types)
        err = parse_types(types, &filter.types, reterr);
    if (err)
        return err;
    if (peer && strcmp(peer, "self") == 0)
        peer = orchestrator_self(call->orchestrator)->uid;
    if (peer && !uid_is_valid(peer))
        return err_set(reterr, ERR_INVALID, "peer: '%.64s' is not a uid, like ab12cd-ef34gh-ij56kl, and not self",
                       peer);
    if (stream && !uid_is_valid(stream))
        return err_set(reterr, ERR_INVALID, "stream: '%.64s' is not a uid, like ab12cd-ef34gh-ij56kl", stream);
    snprintf(filter.peer_uid, sizeof filter.peer_uid, "%s", peer ? peer : "");
    snprintf(filter.stream_uid, sizeof filter.stream_uid, "%s", stream ? stream : "");
    *ret = filter;
    return ERR_OK;
}

static void attach(struct api *api, struct api_events *events) {
    events->api = api;
    list_append(&api->subscribers, &events->link);
    api->n_subscribers++;
    if (events->watches_own && api->n_meter_watchers++ == 0)
        orchestrator_watch_meters(api->orchestrator, true);
    if (events->watches_others && api->n_remote_meter_watchers++ == 0)
        orchestrator_watch_remote_meters(api->orchestrator, true);
}

static void detach(struct api_events *events) {
    struct api *api = events->api;
    list_remove(&events->link);
    events->api = nullptr;
    api->n_subscribers--;
    if (events->watches_own && --api->n_meter_watchers == 0)
        orchestrator_watch_meters(api->orchestrator, false);
    if (events->watches_others && --api->n_remote_meter_watchers == 0)
        orchestrator_watch_remote_meters(api->orchestrator, false);
}

void api_get_events(struct api_call *call) {
    struct api *api = call->api;
    struct err_info info = {};
    struct event_filter filter;
    const char *cursor = call->request->last_event_id;
    const char *name = "Last-Event-ID";
    if (!cursor || !*cursor) {
        cursor = query_get(&call->query, "since");
        name = "since";
    }
    if (parse_filter(call, &filter, &info) != ERR_OK || check_length(name, cursor, 64, &info) != ERR_OK) {
        call_problem(call, &info, nullptr);
        return;
    }
    if (strcmp(call->request->method, "HEAD") == 0) {
        struct api_reply reply = {.status = 200, .content_type = "text/event-stream"};
        call_reply(call, &reply);
        return;
    }
    if (api->n_subscribers >= API_SUBSCRIBERS_MAX) {
        call_refuse(call, ERR_LIMIT, "there are %zu event subscribers already (subscribers_max): close one",
                    API_SUBSCRIBERS_MAX);
        return;
    }
    struct api_events *events = calloc(1, sizeof *events);
    if (!events) {
        call_refuse(call, ERR_NO_MEMORY, "rocd is out of memory");
        return;
    }
    events->filter = filter;
    bool meters = filter.types & 1u << EVENT_METER;
    bool is_own = strcmp(filter.peer_uid, orchestrator_self(api->orchestrator)->uid) == 0;
    events->watches_own = meters && (!*filter.peer_uid || is_own);
    /* A peer that watches ours does not make us watch those of others: two would keep each other at it for ever. */
    events->watches_others = meters && !is_own && !call->request->principal.peer_uid[0];
    const struct events *ring = orchestrator_events(api->orchestrator);
    events->seen = events_last(ring);
    events->reset = cursor && !cursor_parse(ring, cursor, &events->seen, &events->reset_reason);
    attach(api, events);
    struct api_reply reply = {
        .kind = API_REPLY_EVENTS, .status = 200, .content_type = "text/event-stream", .events = events};
    call_reply(call, &reply);
}

/* ---- reading ---- */

/* Tells the reader where it stands before anything happens, so that it can come back from there: an id without data
 * makes no event. */
static bool append_greeting(struct buf *to, const struct events *ring, uint64_t number) {
    char cursor[CURSOR_SIZE];
    cursor_format(ring, number, cursor);
    return buf_printf(to, ": rocd\nretry: 1000\nid: %s\n\n", cursor);
}

static bool make_reset(struct api_events *events) {
    static const char *const MESSAGES[RESET_REASON_N] = {
        [RESET_REASON_TOO_OLD] = "What happened since then is no longer kept. Read /state again.",
        [RESET_REASON_UNKNOWN_CURSOR] = "The cursor is from another instance, or an earlier run. Read /state again.",
        [RESET_REASON_TOO_SLOW] = "News came faster than you read it, and some is lost. Read /state again.",
    };
    struct reset reset = {.reason = events->reset_reason};
    snprintf(reset.message, sizeof reset.message, "%s", MESSAGES[reset.reason]);
    free(TAKE_PTR(events->reset_json));
    return schema_encode_text(&reset_schema, &reset, &events->reset_json, nullptr, nullptr) == ERR_OK;
}

static void set_next(struct api_events *events, const struct events *ring, uint64_t number, struct api_event *ret) {
    events->next = number;
    cursor_format(ring, number, events->next_cursor);
    ret->cursor = events->next_cursor;
}

bool api_events_peek(struct api_events *events, struct api_event *ret) {
    if (!events->api)
        return false;
    const struct events *ring = orchestrator_events(events->api->orchestrator);
    uint64_t last = events_last(ring);
    for (; !events->reset && events->seen < last; events->seen++) {
        const struct event *event = events_get(ring, events->seen + 1);
        if (!event) {
            events->reset = true;
            events->reset_reason = RESET_REASON_TOO_SLOW;
            break;
        }
        if (!events_match(&events->filter, event))
            continue;
        *ret =
            (struct api_event){.name = event_type_name(event->type), .json = event->json, .json_len = event->json_len};
        set_next(events, ring, event->number, ret);
        return true;
    }
    if (!events->reset || !make_reset(events))
        return false;
    *ret = (struct api_event){.name = "reset", .json = events->reset_json, .json_len = strlen(events->reset_json)};
    set_next(events, ring, last, ret);
    return true;
}

void api_events_advance(struct api_events *events) {
    events->seen = events->next;
    events->reset = false;
}

/* One piece of what the reader has not seen. false: nothing left, or no memory. */
static bool append_next(struct api_events *events, struct buf *to) {
    if (!events->greeted)
        return events->greeted = append_greeting(to, orchestrator_events(events->api->orchestrator), events->seen);
    struct api_event event;
    if (!api_events_peek(events, &event) || !buf_printf(to, "id: %s\nevent: %s\ndata: ", event.cursor, event.name) ||
        !buf_append(to, event.json, event.json_len) || !buf_append(to, "\n\n", 2))
        return false;
    api_events_advance(events);
    return true;
}

size_t api_events_read(struct api_events *events, struct buf *to, size_t max) {
    size_t start = to->len;
    if (!events->api || buf_failed(to))
        return 0;
    while (to->len - start < max) {
        size_t whole = to->len;
        if (append_next(events, to))
            continue;
        if (to->len > whole) { /* half an event, then memory ran out: the next read tries again */
            to->len = whole;
            to->data[whole] = 0;
        }
        break;
    }
    return to->len - start;
}

void api_events_destroy(struct api_events *events) {
    if (!events)
        return;
    if (events->api)
        detach(events);
    free(events->reset_json);
    free(events);
}

void api_events_orphan_all(struct api *api) {
    struct api_events *events;
    list_for_each_safe(events, &api->subscribers, link) detach(events);
}
