/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/*
 * Takes a stream of Server-Sent Events apart, in whatever pieces it comes. Comments and fields that are of no use are
 * skipped. (HTML standard, section "Interpreting an event stream".)
 *
 * Life cycle: zero-initialise with .on_event → sse_feed()… → sse_finish(). Before another connection sse_restart(), which
 * keeps the last id. Threads: one.
 */
constexpr size_t SSE_LINE_MAX = 1 << 20;
constexpr size_t SSE_ID_MAX = 64;

/* false: enough */
typedef bool (*sse_event_fn)(void *arg, const char *id, const char *type, const char *data, size_t len);

struct sse {
    sse_event_fn on_event;
    void *arg;
    char id[SSE_ID_MAX + 1]; /* of the last event; "" before */
    struct buf line, data;   // Private state
    char type[64];           // Private state
    bool after_cr;           // Private state
};

/* false: enough, or a line is longer than SSE_LINE_MAX. */
bool sse_feed(struct sse *sse, const char *bytes, size_t len);
void sse_restart(struct sse *sse);
void sse_finish(struct sse *sse);
