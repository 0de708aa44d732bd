/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/buf.h"
#include "base/id.h"
#include "base/list.h"
#include "base/loop.h"
#include "signaling/bucket.h"
#include "signaling/carrier.h"
#include "signaling/frame.h"
#include "signaling/links.h"

/*
 * The insides of links, shared by links_*.c:
 *
 *   links.c         life, members, news       links_line.c   dialing, lines, pings, frames in and out
 *   links_hello.c   epochs, versions          links_call.c   asking: ids, repeats, parts
 *   links_read.c    endless replies, read     links_serve.c  being asked: once each, replies kept
 *   links_write.c   endless replies, written
 *
 * Every link has one timer. Whoever sets something for later calls link_wake(); link_run() does what is due in all files
 * and asks each when it wants to run again.
 */
constexpr int64_t LINK_HELLO_NS = 1 * NS_PER_S;        /* between greetings */
constexpr int64_t LINK_GREETING_NS = 10 * NS_PER_S;    /* then the line is given up */
constexpr int64_t LINK_PAUSE_MIN_NS = 200 * NS_PER_MS; /* before it is dialed again */
constexpr int64_t LINK_PAUSE_MAX_NS = 30 * NS_PER_S;
constexpr int64_t LINK_PAUSE_SECOND_NS = 2 * NS_PER_S;   /* at least, for the peer that lets the other dial */
constexpr int64_t LINK_SETTLED_NS = 10 * NS_PER_S;       /* up for so long: the pause begins anew */
constexpr int64_t LINK_TWO_LINES_NS = 1 * NS_PER_S;      /* what is under way on the second may still arrive */
constexpr int64_t LINK_GRACE_NS = 2 * NS_PER_S;          /* requests wait for a broken line */
constexpr int64_t LINK_PUMP_NS = 10 * NS_PER_MS;         /* the line's queue was full: look again */
constexpr int64_t LINK_BEAT_NS = 5 * NS_PER_S;           /* of an open endless reply; a fifth where closely watched */
constexpr int64_t LINK_READER_SILENT_NS = 20 * NS_PER_S; /* no event and no beat: the writer has forgotten it */
constexpr int64_t LINK_WRITER_SILENT_NS = 60 * NS_PER_S; /* no ack: the reader has */
constexpr int64_t LINK_REPLY_KEPT_NS = 5 * NS_PER_S;     /* after the deadline of the request */
constexpr uint64_t LINK_WINDOW = 4096;                   /* ids between the lowest under way and the newest */
constexpr uint64_t LINK_UNREAD_MAX = 50;                 /* events that the reader has not got */
constexpr uint64_t LINK_ACK_EVERY = 16;
constexpr size_t LINK_SERVINGS_MAX = 256;                /* not yet answered, of one peer */
constexpr size_t LINK_STREAMS_MAX = 64;                  /* endless replies of one peer */
constexpr size_t LINK_REPLIES_MAX = 2 * LINKS_REPLY_MAX; /* bytes kept of replies to one peer */
constexpr size_t LINK_PARTS_MAX = 4 * LINKS_REPLY_MAX;   /* bytes of replies of one peer that are not yet whole */
constexpr size_t LINK_PAST_EPOCHS = 8;
constexpr int64_t LINK_PAST_NS = 10 * NS_PER_S; /* so long a hello of an earlier run may still be on its way */
constexpr size_t LINKS_LISTENERS_MAX = 4;
static_assert((LINKS_REPLY_MAX + FRAME_PART_MAX - 1) / FRAME_PART_MAX <= 64); /* parts are bits of a uint64_t */

struct line {
    bool is_up;
    int64_t up_ns, heard_ns, pinged_ns;
};

struct link {
    struct links *links;
    const struct roster_member *member;
    bool is_first; /* our uid sorts before its */
    struct loop_timer timer;
    struct links_peer now; /* state, epoch …: what links_peer() tells */

    struct line lines[2]; /* by enum carrier_line */
    bool is_dialing;
    int64_t dial_ns;  /* when to dial, or when to give the attempt up; INT64_MAX: never */
    int64_t pause_ns; /* the last one */
    int64_t two_lines_ns;
    int64_t hello_ns, greeting_ns; /* next hello; when greeting has taken too long */
    bool is_refused;               /* no common version with the run that greets */
    bool is_close;
    struct {
        uint64_t epoch;
        int64_t since_ns;
    } past[LINK_PAST_EPOCHS]; /* runs that are over */
    size_t n_past;
    struct bucket frames, control, bad, runs;
    struct bucket paces[3]; /* of requests: links_serve.c */

    /* asking */
    struct list calls;    // struct links_call::link, owned; wait for a reply, in the order of their ids
    struct list readings; // struct links_call::link, owned; endless replies
    size_t n_calls;
    uint64_t last_id;
    size_t part_bytes; /* of replies not yet whole */
    int64_t grace_ns;  /* the link is down: until then they wait */

    /* being asked */
    struct list servings; // struct links_serving::link, owned; asked, or answered and kept for repeats
    struct list writings; // struct links_serving::link, owned; endless replies
    size_t n_servings;    /* not answered yet, those among them that nobody waits for any more included */
    size_t n_writings;
    uint64_t round;
    size_t reply_bytes;              /* kept */
    uint64_t low;                    /* requests below are settled */
    uint64_t seen[LINK_WINDOW / 64]; /* bit id % LINK_WINDOW, of ids from `low` on */
};

struct links {
    struct log log;
    struct loop *loop;
    struct carrier *carrier;
    const struct roster *roster;
    char own_uid[UID_SIZE];
    uint64_t epoch;
    const char *version;
    int proto_min, proto_max;
    uint64_t random; /* state of the jitter */
    struct {
        const struct links_handler *handler;
        void *arg;
    } listeners[LINKS_LISTENERS_MAX];
    size_t n_listeners;
    const struct links_handler *server; /* the listener that gets the requests; nullptr: none */
    void *server_arg;
    struct link *members; /* owned, one for each of the roster */
    size_t n_members;
    struct list orphans; // struct links_serving::link; nobody waits for them, and they are not answered yet
    struct list closing; // struct links_serving::link, owned; `closed` is due
    struct loop_timer close_timer;
    struct buf scratch; /* the frame that is being sent */
};

/* ---- links.c ---- */
struct link *links_find(struct links *links, const char *peer_uid);
void link_wake(struct link *link, int64_t at_ns);
void link_set_state(struct link *link, enum links_state state, const struct err_info *reason);
int64_t links_jitter(struct links *links, int64_t ns); /* ± 20 % */
static inline int64_t link_now(const struct link *link) {
    return loop_now_ns(link->links->loop);
}
static inline bool link_is_up(const struct link *link) {
    return link->now.state == LINKS_UP;
}
static inline int64_t link_min(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* ---- links_line.c ---- */
extern const struct carrier_handler links_carrier_handler;
/* Fills in from, to and version. ERR_UNAVAILABLE: no line. ERR_LIMIT: not taken, its queue is full. */
enum err link_send(struct link *link, struct frame *frame);
enum err link_send_on(struct link *link, enum carrier_line line, struct frame *frame);
void link_line_run(struct link *link);
int64_t link_line_due(const struct link *link);
void link_dial_soon(struct link *link);
/* The lines go, and it is dialed again later: soon, or slowly where it would be no use. */
void link_give_up(struct link *link, const struct err_info *reason, bool slowly);

/* ---- links_hello.c ---- */
void link_send_hello(struct link *link, enum carrier_line line);
void link_take_hello(struct link *link, enum carrier_line line, const struct frame *frame);
/* A frame that is meant for another run, or comes from one: tells the other side who we are now. */
void link_greet_stranger(struct link *link, enum carrier_line line);
void link_hello_run(struct link *link);
int64_t link_hello_due(const struct link *link);

/* ---- links_call.c ---- */
struct links_call {
    struct list_link link;
    struct link *peer;
    uint64_t id;
    struct links_caller caller;
    void *arg;
    struct links_request request; /* its texts are in `texts` */
    char *texts;                  /* owned */
    uint64_t epoch;               /* of the run that was asked; 0: none yet */
    int64_t deadline_ns, repeat_ns, pause_ns;
    enum err failed; /* reported at the next run; ERR_OK: not */
    const char *why;
    /* the reply, until it is whole */
    char *body; /* owned */
    int64_t size;
    uint64_t parts; /* those that are there */
    /* reading an endless one */
    uint64_t next_seq, acked;
    int64_t heard_ns;
};
void link_take_reply(struct link *link, const struct frame *frame);
void link_call_free(struct links_call *call);
void link_calls_resume(struct link *link);    /* up again: ask again */
void link_calls_suspend(struct link *link);   /* down */
void link_calls_restarted(struct link *link); /* another run of the peer */
void link_calls_run(struct link *link);
int64_t link_calls_due(const struct link *link);
void link_calls_finish(struct link *link);

/* ---- links_read.c ---- */
void link_take_event(struct link *link, const struct frame *frame);
void link_take_end(struct link *link, const struct frame *frame);
void link_send_cancel(struct link *link, uint64_t id);
/* All of them, because the link went down. */
void link_readings_end(struct link *link, const char *why);
void link_readings_run(struct link *link);
int64_t link_readings_due(const struct link *link);

/* ---- links_serve.c ---- */
enum serving_state { SERVING_ASKED, SERVING_ANSWERED, SERVING_WRITING };
struct links_serving {
    struct list_link link;
    struct links *links;  /* nullptr: they are gone */
    struct link *peer;    /* nullptr: nobody waits any more */
    struct link *counted; /* in whose n_servings it is, until it is answered */
    uint64_t id;
    enum serving_state state;
    int64_t until_ns; /* kept for repeats */
    /* the reply */
    struct links_reply reply; /* its texts and body are in `texts` */
    char *texts;              /* owned */
    size_t n_texts;
    uint64_t parts; /* those still to send */
    /* writing an endless one */
    void *stream;
    uint64_t seq, acked;
    int64_t heard_ns, beat_ns;
    bool is_wanting; /* `writable` is due when there is room */
    uint64_t round;  /* link::round when it was last told */
};
void link_take_request(struct link *link, const struct frame *frame);
void link_take_cancel(struct link *link, const struct frame *frame);
void link_serving_free(struct links_serving *serving);
void link_send_parts(struct links_serving *serving);
void link_servings_forget(struct link *link); /* another run of the peer asks */
void link_servings_run(struct link *link);
int64_t link_servings_due(const struct link *link);
void link_servings_finish(struct link *link);

/* ---- links_write.c ---- */
void link_writing_begin(struct links_serving *serving, void *stream);
void link_take_ack(struct link *link, const struct frame *frame);
/* Tells the handler at once; from inside calls use link_writing_close_later(). */
void link_writing_close(struct links_serving *serving);
void link_writing_close_later(struct links_serving *serving);
void link_writings_end(struct link *link);
void link_writings_run(struct link *link);
int64_t link_writings_due(const struct link *link);
