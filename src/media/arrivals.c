/* SPDX-License-Identifier: MPL-2.0 */
#include "media/arrivals.h"

#include <string.h>

#include "base/clock.h"

void arrivals_init(struct arrivals *arrivals, uint32_t rate_hz, bool has_fec) {
    *arrivals = (struct arrivals){.rate_hz = rate_hz, .one_of = has_fec ? 100 : 400};
}

void arrivals_new_session(struct arrivals *arrivals) {
    arrivals->known = false;
    arrivals->n = arrivals->n_burst = 0;
}

static void begin_window(struct arrivals *arrivals, int64_t now_ns) {
    arrivals->begin_ns = now_ns;
    arrivals->sum_ns = 0;
    arrivals->n = arrivals->n_burst = 0;
}

static void follow(struct arrivals *arrivals, uint16_t seq, uint32_t timestamp) {
    int16_t ahead = (int16_t)(seq - arrivals->seq);
    arrivals->samples += (int32_t)(timestamp - arrivals->timestamp);
    arrivals->timestamp = timestamp;
    if (ahead <= 0)
        return;
    if ((uint32_t)ahead - 1 > arrivals->n_burst)
        arrivals->n_burst = (uint32_t)ahead - 1;
    arrivals->seq = seq;
}

static void keep_latest(struct arrivals *arrivals, int64_t transit_ns) {
    size_t n = arrivals->n < ARRIVALS_LATEST ? arrivals->n : ARRIVALS_LATEST, at = n;
    while (at > 0 && arrivals->latest_ns[at - 1] < transit_ns)
        at--;
    if (at == ARRIVALS_LATEST)
        return;
    size_t n_moved = (n < ARRIVALS_LATEST ? n : ARRIVALS_LATEST - 1) - at;
    memmove(&arrivals->latest_ns[at + 1], &arrivals->latest_ns[at], n_moved * sizeof *arrivals->latest_ns);
    arrivals->latest_ns[at] = transit_ns;
}

void arrivals_packet(struct arrivals *arrivals, uint16_t seq, uint32_t timestamp, int64_t now_ns) {
    if (!arrivals->known) {
        arrivals->known = true;
        arrivals->seq = seq;
        arrivals->timestamp = timestamp;
        arrivals->samples = 0;
        begin_window(arrivals, now_ns);
    }
    follow(arrivals, seq, timestamp);
    int64_t rate = arrivals->rate_hz, samples = arrivals->samples;
    int64_t transit_ns = now_ns - (samples / rate * NS_PER_S + samples % rate * NS_PER_S / rate);
    if (arrivals->n == 0)
        arrivals->first_ns = transit_ns;
    arrivals->sum_ns += transit_ns - arrivals->first_ns;
    keep_latest(arrivals, transit_ns);
    arrivals->n++;
}

bool arrivals_window(struct arrivals *arrivals, int64_t now_ns, struct adapt_window *ret) {
    if (!arrivals->known || now_ns - arrivals->begin_ns < ARRIVALS_WINDOW_NS)
        return false;
    *ret = (struct adapt_window){
        .length_ns = now_ns - arrivals->begin_ns, .n_packets = arrivals->n, .n_burst = arrivals->n_burst};
    if (arrivals->n > 0) {
        size_t n_spared = arrivals->n / arrivals->one_of;
        size_t n_known = arrivals->n < ARRIVALS_LATEST ? arrivals->n : ARRIVALS_LATEST;
        ret->transit_ns = arrivals->first_ns + arrivals->sum_ns / arrivals->n;
        ret->transit_high_ns = arrivals->latest_ns[n_spared < n_known ? n_spared : n_known - 1];
    }
    begin_window(arrivals, now_ns);
    return true;
}
