/* SPDX-License-Identifier: MPL-2.0 */
#include "orchestrator/reconcile/glitch_log.h"

#include <stdio.h>

#include "base/clock.h"

constexpr int64_t NEAR_NS = 250 * NS_PER_MS;

static const struct {
    enum glitch_cause cause;
    const char *message;
} KINDS[GLITCH_N_KINDS] = {
    [GLITCH_NETWORK_LOSS] =
        {GLITCH_CAUSE_NETWORK_LOSS,
         "Packets were lost on the way, more than could be repaired: a longer target latency, a better "
         "network or more repair packets help."},
    [GLITCH_LATE] = {GLITCH_CAUSE_LATE,
                     "Packets came after their time: the network, or the sender's machine, held them up for "
                     "longer than the target latency."},
    [GLITCH_STALL] = {GLITCH_CAUSE_STALL, "This machine stood still or was too busy: see late_ticks of the endpoint."},
    [GLITCH_DEVICE_XRUN] =
        {GLITCH_CAUSE_DEVICE_XRUN,
         "The device found no sound to play, or had no room for it: its period_ms may be too short for "
         "this machine."},
    [GLITCH_SENDER_STOPPED] = {GLITCH_CAUSE_SENDER_STOPPED,
                               "The sender sent nothing for a while, or was started anew."},
    [GLITCH_CLOCK_JUMP] = {GLITCH_CAUSE_CLOCK_JUMP,
                           "The timestamps of the sender jumped, and its sound was taken up again from there."},
    [GLITCH_RESYNC] =
        {GLITCH_CAUSE_RESYNC,
         "The decoder lost its place in the sender's sound and took it up anew: the clocks of both ends differ too "
         "much for the target latency; a longer one helps."},
};

/* A bad network has two kinds of them in turn. */
static struct glitch_entry *last_of_kind(struct glitch_log *log, enum glitch_kind kind) {
    for (size_t i = 0; i < log->n; i++) {
        struct glitch_entry *entry = &log->entries[(log->newest + GLITCH_LOG_MAX - i) % GLITCH_LOG_MAX];
        if (entry->kind == kind)
            return entry;
    }
    return nullptr;
}

void glitch_log_add(struct glitch_log *log, enum glitch_kind kind, int64_t wall_ns, int64_t lost_ns, uint64_t pieces) {
    struct glitch_entry *last = last_of_kind(log, kind);
    log->pieces[kind] += pieces;
    if (last && wall_ns >= last->wall_ns && wall_ns - last->end_ns < NEAR_NS) {
        last->end_ns = wall_ns + lost_ns;
        last->lost_ns += lost_ns;
        last->pieces += pieces;
        return;
    }
    log->newest = log->n > 0 ? (log->newest + 1) % GLITCH_LOG_MAX : 0;
    log->n += log->n < GLITCH_LOG_MAX;
    log->entries[log->newest] = (struct glitch_entry){
        .kind = kind, .wall_ns = wall_ns, .end_ns = wall_ns + lost_ns, .lost_ns = lost_ns, .pieces = pieces};
}

const struct glitch_entry *glitch_log_at(const struct glitch_log *log, size_t i) {
    return i < log->n ? &log->entries[(log->newest + GLITCH_LOG_MAX - i) % GLITCH_LOG_MAX] : nullptr;
}

void glitch_log_show(const struct glitch_entry *entry, struct stream_glitch *ret) {
    *ret = (struct stream_glitch){.cause = KINDS[entry->kind].cause, .pieces = (int64_t)entry->pieces};
    char at[CLOCK_TEXT_SIZE];
    clock_format(at, entry->wall_ns);
    snprintf(ret->at, sizeof ret->at, "%s", at);
    snprintf(ret->message, sizeof ret->message, "%s", KINDS[entry->kind].message);
    ret->has_lost_ms = entry->lost_ns > 0 ? PRESENCE_VALUE : PRESENCE_NULL;
    ret->lost_ms = (double)entry->lost_ns / (double)NS_PER_MS;
}

void glitch_log_show_counts(const struct glitch_log *log, struct stream_glitch_counts *ret) {
    *ret = (struct stream_glitch_counts){
        .network_loss = (int64_t)log->pieces[GLITCH_NETWORK_LOSS],
        .late = (int64_t)log->pieces[GLITCH_LATE],
        .stall = (int64_t)log->pieces[GLITCH_STALL],
        .device_xrun = (int64_t)log->pieces[GLITCH_DEVICE_XRUN],
        .sender_stopped = (int64_t)log->pieces[GLITCH_SENDER_STOPPED],
        .clock_jump = (int64_t)log->pieces[GLITCH_CLOCK_JUMP],
        .resync = (int64_t)log->pieces[GLITCH_RESYNC],
    };
}
