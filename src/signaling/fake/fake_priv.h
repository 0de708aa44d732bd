/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/id.h"
#include "base/list.h"
#include "signaling/fake/fake.h"

/* The insides of the made-up network: fake_network.c has its weather and the lines, fake_carrier.c the vtable. */

struct fake_carrier {
    struct carrier carrier; /* first member */
    struct fake_network *network;
    struct list_link link; /* fake_network::carriers */
    struct loop *loop;
    char uid[UID_SIZE];
    bool has_key;
    uint8_t curve_key[CRYPTO_DH_KEY_SIZE];
    const struct roster *roster;
    const struct carrier_handler *handler;
    void *arg;
    bool is_started, is_dead;
    struct list inbox; // struct fake_event::link, owned, by (due_ns, seq)
    struct loop_timer timer;
};

/* Ends are by enum carrier_line: the one that dialed, the one that accepted. */
struct fake_line {
    struct list_link link;        /* fake_network::lines */
    struct fake_carrier *ends[2]; /* nullptr: that side has gone */
    char uids[2][UID_SIZE];
    int64_t last_due_ns[2]; /* of what is on its way to that end: the order is kept */
    size_t n_queued[2];
    bool is_announced; /* the accepting side knows it: with the first frame */
    bool is_silent;    /* a side lost its power: the other is not told */
    size_t n_events;   /* that point here */
};

enum fake_event_kind { FAKE_FRAME, FAKE_FALL, FAKE_DIAL };

struct fake_event {
    struct list_link link; /* fake_carrier::inbox */
    enum fake_event_kind kind;
    int64_t due_ns;
    uint64_t seq;
    struct fake_line *line;  /* FRAME, FALL */
    enum carrier_line end;   /* that end of the line is ours */
    struct err_info info;    /* FALL */
    char peer_uid[UID_SIZE]; /* DIAL: whom, with which key */
    uint8_t curve_key[CRYPTO_DH_KEY_SIZE];
    size_t len;
    uint8_t bytes[]; /* FRAME */
};

struct fake_rule {
    struct list_link link; /* fake_network::rules */
    char from[UID_SIZE], to[UID_SIZE];
    struct fake_weather weather;
};

struct fake_network {
    uint64_t random;
    uint64_t next_seq;
    struct list carriers;        // struct fake_carrier::link
    struct list lines;           // struct fake_line::link, owned
    struct list rules;           // struct fake_rule::link, owned
    struct list cuts;            // struct fake_rule::link, owned
    struct fake_weather weather; /* of those without a rule */
    struct fake_stats stats;
};

static inline enum carrier_line fake_other(enum carrier_line end) {
    return end == CARRIER_DIALED ? CARRIER_ACCEPTED : CARRIER_DIALED;
}

/* ---- fake_network.c ---- */
bool fake_is_cut(const struct fake_network *network, const char *uid, const char *other_uid);
const struct fake_weather *fake_weather_of(const struct fake_network *network, const char *from, const char *to);
/* true once in so many times of a thousand. */
bool fake_happens(struct fake_network *network, int permille);
int64_t fake_delay(struct fake_network *network, const struct fake_weather *weather);
struct fake_carrier *fake_find(const struct fake_network *network, const char *uid);
struct fake_line *fake_line_of(const struct fake_carrier *carrier, const char *peer_uid, enum carrier_line end);
struct fake_line *fake_line_create(struct fake_carrier *dialer, struct fake_carrier *acceptor);
/* This end is gone. */
void fake_line_leave(struct fake_line *line, enum carrier_line end);
void fake_line_release(struct fake_line *line); /* frees it when nothing points here any more */

/* ---- fake_carrier.c ---- */
/* This end hears that the line fell, after what is on its way to it; `now`: at once, and that is lost. */
void fake_tell_fall(struct fake_line *line, enum carrier_line end, const char *why, bool now);
