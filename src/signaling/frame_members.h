/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "signaling/frame.h"

/*
 * The header of a frame as one table, which reading and writing share: what a member is called, where it is kept, what it
 * may be, and which types of frame have it. For frame_read.c and frame_write.c only.
 *
 * Threads: constant.
 */
enum frame_kind {
    FRAME_EPOCH,   /* uint64_t; 16 hexadecimal digits, lower case, not all zero */
    FRAME_ID,      /* uint64_t */
    FRAME_NUMBER,  /* int64_t */
    FRAME_MS,      /* int64_t nanoseconds; a whole number of milliseconds */
    FRAME_FLAG,    /* bool */
    FRAME_RANGE,   /* two int64_t, the lesser first */
    FRAME_TEXT,    /* const char *; no control characters */
    FRAME_METHOD,  /* const char *; capital letters */
    FRAME_PATH,    /* const char *; begins with a slash */
    FRAME_ROLE,    /* enum roster_role */
    FRAME_HEADERS, /* struct links_header[]; an object of strings */
    FRAME_JSON,    /* const char *; an object */
};

struct frame_member {
    const char *name;
    enum frame_kind kind;
    size_t offset;             /* in struct frame */
    int64_t min, max;          /* of a number; bytes of a text */
    unsigned needed, optional; /* masks of 1 << enum frame_type */
};

constexpr size_t FRAME_MEMBERS = 29;
extern const struct frame_member frame_members[FRAME_MEMBERS];

/* What a text of this kind may be, whoever wrote it. */
bool frame_text_is_valid(enum frame_kind kind, const char *text, size_t len, int64_t min, int64_t max);
/* The name of a header of a reply. */
bool frame_header_name_is_valid(const char *name, size_t len);
constexpr int64_t FRAME_HEADER_VALUE_MAX = 160;

/* "viewer": what stands on the wire, whatever roles are called elsewhere. nullptr: no role */
const char *frame_role_name(enum roster_role role);

/* The rules between members, which hold for what is written and for what is read. */
enum err frame_check(const struct frame *frame, struct err_info *reterr);
