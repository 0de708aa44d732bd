/* SPDX-License-Identifier: MPL-2.0 */
#include "support/lossy_path.h"

#include <stdlib.h>
#include <string.h>

constexpr size_t QUEUE_MAX = 1024;

struct lossy_packet {
    int64_t due_ns;
    uint64_t seq;
    struct packet packet;
};

static double draw(struct lossy_path *lossy, enum media_iface iface) {
    uint64_t *x = &lossy->rng[iface];
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return (double)(*x >> 11) / 9007199254740992.0;
}

static void lossy_send(struct path *path, const struct packet *packets, size_t n) {
    struct lossy_path *lossy = (struct lossy_path *)path;
    if (!lossy->blackout)
        lossy->inner->ops->send(lossy->inner, packets, n);
}

static void shift(struct packet *packet, uint16_t seq_by, uint32_t by) {
    uint8_t *n = packet->data + 2;
    uint16_t seq = (uint16_t)((n[0] << 8 | n[1]) + seq_by);
    n[0] = (uint8_t)(seq >> 8);
    n[1] = (uint8_t)seq;
    uint8_t *p = packet->data + 4; /* RFC 3550 5.1 */
    uint32_t timestamp = ((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]) + by;
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(timestamp >> (24 - 8 * i));
}

static void take_from_inner(struct lossy_path *lossy) {
    struct packet packet;
    while (lossy->inner->ops->receive(lossy->inner, &packet, 1) == 1) {
        double lost = draw(lossy, packet.iface), late = draw(lossy, packet.iface);
        if (lossy->blackout || lost < lossy->loss || lossy->n_queued == QUEUE_MAX) {
            lossy->n_lost += packet.iface == MEDIA_SOURCE;
            continue;
        }
        if (packet.iface == MEDIA_SOURCE)
            shift(&packet, lossy->seq_shift, lossy->time_shift);
        int64_t due_ns = clock_now_ns(lossy->clock) + lossy->delay_ns + (int64_t)(late * (double)lossy->jitter_ns);
        if (due_ns < lossy->held_until_ns)
            due_ns = lossy->held_until_ns;
        if (lossy->in_order && due_ns < lossy->last_due_ns)
            due_ns = lossy->last_due_ns;
        lossy->last_due_ns = due_ns;
        lossy->queue[lossy->n_queued++] = (struct lossy_packet){
            .due_ns = due_ns,
            .seq = lossy->next_seq++,
            .packet = packet,
        };
    }
}

static struct lossy_packet *first_due(struct lossy_path *lossy) {
    struct lossy_packet *first = nullptr;
    for (size_t i = 0; i < lossy->n_queued; i++) {
        struct lossy_packet *p = &lossy->queue[i];
        if (p->due_ns <= clock_now_ns(lossy->clock) &&
            (!first || p->due_ns < first->due_ns || (p->due_ns == first->due_ns && p->seq < first->seq)))
            first = p;
    }
    return first;
}

static size_t lossy_receive(struct path *path, struct packet *packets, size_t max) {
    struct lossy_path *lossy = (struct lossy_path *)path;
    take_from_inner(lossy);
    size_t n = 0;
    for (struct lossy_packet *p; n < max && (p = first_due(lossy)) != nullptr; n++) {
        packets[n] = p->packet;
        *p = lossy->queue[--lossy->n_queued];
    }
    path->counters.packets_received += n;
    return n;
}

static void lossy_close(struct path *path) {
    struct lossy_path *lossy = (struct lossy_path *)path;
    if (!lossy)
        return;
    lossy->inner->ops->close(lossy->inner);
    free(lossy->queue);
    free(lossy);
}

struct lossy_path *lossy_path_open_take(struct path *inner, const struct clock *clock, double loss, uint64_t seed) {
    static const struct path_ops OPS = {.send = lossy_send, .receive = lossy_receive, .close = lossy_close};
    struct lossy_path *lossy = calloc(1, sizeof *lossy);
    lossy->path.ops = &OPS;
    lossy->path.carries_pings = inner->carries_pings;
    lossy->path.same_clock = inner->same_clock;
    lossy->inner = inner;
    lossy->clock = clock;
    lossy->loss = loss;
    lossy->queue = calloc(QUEUE_MAX, sizeof *lossy->queue);
    for (size_t i = 0; i <= MEDIA_N_IFACES; i++)
        lossy->rng[i] = 88172645463325252ULL * (seed * 6 + 2 * i + 1);
    return lossy;
}
