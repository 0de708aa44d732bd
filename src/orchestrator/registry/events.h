/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"

/*
 * The log of events: what changed, in order, with a cursor each. A bounded ring: a reader that falls out of it is told
 * so and re-reads the state. Cursors start at 1 and are never used twice by one process; across restarts the epoch in
 * the cursor's text ("<epoch>-<number>") tells that another log is meant.
 *
 * Threads: core.
 */
constexpr size_t EVENTS_RING = 4096;
constexpr size_t EVENTS_BYTES_MAX = 4 << 20; /* of all texts; the oldest go first */

enum event_type {
    EVENT_PEER_ADDED,
    EVENT_PEER_UPDATED,
    EVENT_PEER_REMOVED,
    EVENT_ENDPOINT_ADDED,
    EVENT_ENDPOINT_UPDATED,
    EVENT_ENDPOINT_REMOVED,
    EVENT_STREAM_ADDED,
    EVENT_STREAM_UPDATED,
    EVENT_STREAM_REMOVED,
    EVENT_METER, /* only for readers that ask for it by type; at most 10 Hz per object */
    EVENT_LOG,   /* only for readers that ask for it by type */
    EVENT_N_TYPES,
};

const char *event_type_name(enum event_type type); /* "stream_added" */

struct event {
    uint64_t number;
    enum event_type type;
    char peer_uid[UID_SIZE];
    char object_uid[UID_SIZE]; /* endpoint, stream or peer */
    char *json;                /* owned by the ring: the object as the API shows it; {…_uid} alone for removals */
    size_t json_len;
};

struct event_filter {
    uint32_t types;            /* bits 1u << enum event_type; 0: all but meter and log */
    char peer_uid[UID_SIZE];   /* "": any */
    char stream_uid[UID_SIZE]; /* "": any */
};

struct loop;
struct events;
/* nullptr: out of memory */
struct events *events_create(struct loop *loop, uint64_t epoch);
void events_destroy(struct events *events);

/* Takes json (malloc'd). nullptr (memory ran out while it was made) is a gap: all earlier events are dropped, so that every
 * reader re-reads the state. */
void events_append_take(struct events *events, enum event_type type, const char *peer_uid, const char *object_uid,
                        char *json, size_t json_len);
/* Number of the newest event; 0 before the first. */
uint64_t events_last(const struct events *events);
uint64_t events_epoch(const struct events *events);
/* The event with this number, or nullptr: not yet there, or gone (fallen out of the ring). */
const struct event *events_get(const struct events *events, uint64_t number);
bool events_match(const struct event_filter *filter, const struct event *event);

/* wake(arg) after appends, at most once per turn of the loop. One waker. */
void events_on_append(struct events *events, void (*wake)(void *arg), void *arg);
