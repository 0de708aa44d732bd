/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "media/glitch.h"
#include "model_gen.h"

/*
 * The last glitches of a stream. Pieces of one kind that follow each other closely are one glitch, whatever else is between
 * them, so that a bad minute does not push out the hour before it.
 *
 * Life cycle: zeroed → glitch_log_add … Threads: core.
 */
constexpr size_t GLITCH_LOG_MAX = 64;

struct glitch_entry {
    enum glitch_kind kind;
    int64_t wall_ns, end_ns; /* wall time: of its beginning, and of the end of its last piece */
    int64_t lost_ns;         /* sound that was missing; 0: not known */
    uint64_t pieces;
};

struct glitch_log {
    struct glitch_entry entries[GLITCH_LOG_MAX];
    size_t n, newest;
    uint64_t pieces[GLITCH_N_KINDS]; /* of all there were */
};

/* A piece of so much sound; or `pieces` of an unknown length, with lost_ns 0. */
void glitch_log_add(struct glitch_log *log, enum glitch_kind kind, int64_t wall_ns, int64_t lost_ns, uint64_t pieces);
/* 0 is the newest; nullptr: there are no more. */
const struct glitch_entry *glitch_log_at(const struct glitch_log *log, size_t i);

/* As the API shows them. */
void glitch_log_show(const struct glitch_entry *entry, struct stream_glitch *ret);
void glitch_log_show_counts(const struct glitch_log *log, struct stream_glitch_counts *ret);
