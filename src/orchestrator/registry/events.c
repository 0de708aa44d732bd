/* SPDX-License-Identifier: MPL-2.0 */
#include "orchestrator/registry/events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/loop.h"

struct events {
    struct loop *loop;
    uint64_t epoch;
    uint64_t last;  /* number of the newest, 0: none yet */
    uint64_t first; /* number of the oldest kept; last + 1 when none is */
    size_t bytes;
    struct loop_timer wake_timer; /* at the loop's next turn, however many were appended */
    void (*wake)(void *arg);
    void *wake_arg;
    struct event ring[EVENTS_RING]; /* event number n at n % EVENTS_RING */
};

const char *event_type_name(enum event_type type) {
    static const char *const NAMES[EVENT_N_TYPES] = {
        [EVENT_PEER_ADDED] = "peer_added",
        [EVENT_PEER_UPDATED] = "peer_updated",
        [EVENT_PEER_REMOVED] = "peer_removed",
        [EVENT_ENDPOINT_ADDED] = "endpoint_added",
        [EVENT_ENDPOINT_UPDATED] = "endpoint_updated",
        [EVENT_ENDPOINT_REMOVED] = "endpoint_removed",
        [EVENT_STREAM_ADDED] = "stream_added",
        [EVENT_STREAM_UPDATED] = "stream_updated",
        [EVENT_STREAM_REMOVED] = "stream_removed",
        [EVENT_METER] = "meter",
        [EVENT_LOG] = "log",
    };
    return NAMES[type];
}

static void fire_wake(void *arg) {
    struct events *events = arg;
    if (events->wake)
        events->wake(events->wake_arg);
}

struct events *events_create(struct loop *loop, uint64_t epoch) {
    struct events *events = calloc(1, sizeof *events);
    if (!events)
        return nullptr;
    events->loop = loop;
    events->epoch = epoch;
    events->first = 1;
    events->wake_timer = (struct loop_timer){.fire = fire_wake, .arg = events};
    return events;
}

static void drop_oldest(struct events *events) {
    struct event *event = &events->ring[events->first % EVENTS_RING];
    events->bytes -= event->json_len;
    free(event->json);
    event->json = nullptr;
    events->first++;
}

void events_destroy(struct events *events) {
    if (!events)
        return;
    loop_timer_stop(events->loop, &events->wake_timer);
    while (events->first <= events->last)
        drop_oldest(events);
    free(events);
}

void events_append_take(struct events *events, enum event_type type, const char *peer_uid, const char *object_uid,
                        char *json, size_t json_len) {
    uint64_t number = ++events->last;
    if (!json) { /* nobody may believe that nothing happened here */
        while (events->first < number)
            drop_oldest(events);
        events->first = number + 1;
    } else {
        if (number - events->first >= EVENTS_RING)
            drop_oldest(events);
        struct event *event = &events->ring[number % EVENTS_RING];
        *event = (struct event){.number = number, .type = type, .json = json, .json_len = json_len};
        snprintf(event->peer_uid, sizeof event->peer_uid, "%s", peer_uid);
        snprintf(event->object_uid, sizeof event->object_uid, "%s", object_uid);
        events->bytes += json_len;
        while (events->bytes > EVENTS_BYTES_MAX && events->first < number)
            drop_oldest(events);
    }
    if (events->wake && !events->wake_timer.armed)
        loop_timer_start(events->loop, &events->wake_timer, 0);
}

uint64_t events_last(const struct events *events) {
    return events->last;
}

uint64_t events_epoch(const struct events *events) {
    return events->epoch;
}

const struct event *events_get(const struct events *events, uint64_t number) {
    if (number < events->first || number > events->last)
        return nullptr;
    return &events->ring[number % EVENTS_RING];
}

static bool is_stream_event(enum event_type type) {
    return type == EVENT_STREAM_ADDED || type == EVENT_STREAM_UPDATED || type == EVENT_STREAM_REMOVED ||
           type == EVENT_METER;
}

bool events_match(const struct event_filter *filter, const struct event *event) {
    constexpr uint32_t ON_REQUEST = 1u << EVENT_METER | 1u << EVENT_LOG;
    uint32_t types = filter->types ? filter->types : ~ON_REQUEST;
    if (!(types & 1u << event->type))
        return false;
    if (*filter->peer_uid && strcmp(filter->peer_uid, event->peer_uid) != 0)
        return false;
    return !*filter->stream_uid || (is_stream_event(event->type) && strcmp(filter->stream_uid, event->object_uid) == 0);
}

void events_on_append(struct events *events, void (*wake)(void *arg), void *arg) {
    events->wake = wake;
    events->wake_arg = arg;
    if (!wake)
        loop_timer_stop(events->loop, &events->wake_timer);
}
