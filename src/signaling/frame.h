/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "signaling/carrier.h"
#include "signaling/links.h"

/*
 * What links say to each other, to and from bytes: `{header}` newline `body`. The header is one JSON object on one line,
 * 4 KiB at most; the body is raw bytes, so that nothing in it needs escaping.
 *
 * Reading is strict about what it knows (types, ranges, members missing or given twice: refused) and passes over header
 * members it does not know, so that later versions can add some. Every frame names the epochs it is from and to: what was
 * meant for another run of either side is not for us.
 *
 *   hello   epochs, versions: repeated until both know both (`to` is absent until the other's epoch is known)
 *   ping    answered by pong
 *   req     a REST request; `low` is the lowest id that still waits for a reply: all below are settled
 *   res     its reply, or one part of it
 *   evt     an event of an endless reply, numbered from 1; without a name: nothing new, `seq` is the last there was
 *   ack     the reader of an endless reply has got this far
 *   end     the endless reply is over, by its writer
 *   cancel  the caller wants no (more) reply
 *
 * Threads: any.
 */
enum frame_type {
    FRAME_HELLO,
    FRAME_PING,
    FRAME_PONG,
    FRAME_REQ,
    FRAME_RES,
    FRAME_EVT,
    FRAME_ACK,
    FRAME_END,
    FRAME_CANCEL,
};
constexpr int FRAME_TYPES = FRAME_CANCEL + 1;

constexpr size_t FRAME_HEADER_MAX = 4096;
constexpr size_t FRAME_PART_MAX = 192 * 1024; /* of the body of a reply; every part but the last is exactly so large */
constexpr uint64_t FRAME_ID_MAX = (1ULL << 53) - 1; /* what every reader of JSON can hold */
constexpr int64_t FRAME_DEADLINE_MAX_NS = 300'000'000'000;
static_assert(FRAME_HEADER_MAX + 1 + FRAME_PART_MAX <= CARRIER_FRAME_MAX);
static_assert(FRAME_HEADER_MAX + 1 + LINKS_BODY_MAX <= CARRIER_FRAME_MAX);
static_assert(FRAME_HEADER_MAX + 1 + LINKS_EVENT_MAX <= CARRIER_FRAME_MAX);

/* Members that a type has not are zero. */
struct frame {
    enum frame_type type;
    uint64_t from, to; /* epochs; `to` is 0 in a first hello */
    int64_t version;   /* of the protocol; 0 in a hello */
    uint64_t id;       /* of the request: req, res, evt, ack, end, cancel */
    uint64_t seq;      /* evt, ack, end */

    /* hello */
    int64_t proto_min, proto_max;
    const char *rocd_version;
    bool is_up; /* the sender has all it needs to know: no answer is wanted */

    /* req; evt has `json` as the body */
    struct links_request request; /* without the body */
    uint64_t low;

    /* res */
    int64_t status;
    bool is_streaming;
    const char *content_type;
    struct links_header headers[LINKS_HEADERS_MAX];
    size_t n_headers;
    int64_t part, size; /* number of the part, from 0; bytes of the whole body */

    /* evt */
    const char *name, *cursor;

    const void *body; /* borrowed */
    size_t body_len;

    void *doc;   // Private state: what the strings above point into
    char *grant; // Private state: owned text
};

/* ERR_TOO_LARGE, ERR_INVALID (what is wrong, by name), ERR_NO_MEMORY. Appends to `ret`. */
enum err frame_encode(const struct frame *frame, struct buf *ret, struct err_info *reterr);
/* ERR_TOO_LARGE, ERR_MALFORMED, ERR_INVALID, ERR_NO_MEMORY. On success frame_finish() it; `bytes` must stay as long. */
enum err frame_decode(const void *bytes, size_t len, struct frame *ret, struct err_info *reterr);
void frame_finish(struct frame *frame);

/* How many parts a body of `size` bytes makes: 1 at least. */
static inline int64_t frame_parts(int64_t size) {
    return size > 0 ? (size + (int64_t)FRAME_PART_MAX - 1) / (int64_t)FRAME_PART_MAX : 1;
}

const char *frame_type_name(enum frame_type type); /* "hello" */
