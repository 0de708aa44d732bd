/* SPDX-License-Identifier: MPL-2.0 */
#include "support/far_path.h"

#include <stdlib.h>

constexpr size_t QUEUE_MAX = 4096;

/* ---- machines ---- */

static int64_t of_truth(const struct far_machine *machine, int64_t true_ns) {
    return machine->ahead_ns + true_ns + (int64_t)((double)true_ns * machine->ppm * 1e-6);
}

static int64_t monotonic_ns(const struct clock *clock) {
    const struct far_machine *machine = (const struct far_machine *)clock;
    return of_truth(machine, clock_now_ns(machine->truth));
}

static int64_t wall_ns(const struct clock *clock) {
    return monotonic_ns(clock) + ((const struct far_machine *)clock)->wall_ahead_ns;
}

void far_machine_init(struct far_machine *machine, const struct clock *truth, double ppm, int64_t ahead_ns) {
    *machine = (struct far_machine){
        .clock = {.monotonic_ns = monotonic_ns, .wall_ns = wall_ns},
        .truth = truth,
        .ppm = ppm,
        .ahead_ns = ahead_ns,
        .wall_ahead_ns = 1'700'000'000 * NS_PER_S,
    };
}

int64_t far_machine_true_ns(const struct far_machine *machine, int64_t ns) {
    return (int64_t)((double)(ns - machine->ahead_ns) / (1 + machine->ppm * 1e-6));
}

/* ---- the way ---- */

struct far_packet {
    int64_t due_ns; /* true time */
    uint64_t number;
    struct packet packet;
};

struct far_end {
    struct path path; /* first member */
    struct far_machine *machine;
    struct far_way *way; /* of what this end sends */
    struct far_end *other;
    bool closed;
    struct far_packet *queue; /* owned: on its way to this end */
    size_t n_queued;
    uint64_t n_numbers;
};

static double draw(struct far_way *way) {
    way->random = way->random * 6364136223846793005 + 1442695040888963407;
    return (double)(way->random >> 11) / 9007199254740992.0;
}

static void far_send(struct path *path, const struct packet *packets, size_t n) {
    struct far_end *end = (struct far_end *)path, *to = end->other;
    struct far_way *way = end->way;
    for (size_t i = 0; i < n; i++) {
        double lost = draw(way), late = draw(way);
        bool is_ping = packets[i].iface == MEDIA_PING;
        way->n_pings += is_ping;
        if (way->blackout || lost < way->loss || (is_ping && way->no_pings) || to->closed ||
            to->n_queued == QUEUE_MAX) {
            way->n_lost += packets[i].iface == MEDIA_SOURCE;
            continue;
        }
        to->queue[to->n_queued++] = (struct far_packet){
            .due_ns = clock_now_ns(end->machine->truth) + way->delay_ns + (int64_t)(late * (double)way->jitter_ns),
            .number = to->n_numbers++,
            .packet = packets[i],
        };
    }
    path->counters.packets_sent += n;
}

static struct far_packet *first_due(struct far_end *end) {
    struct far_packet *first = nullptr;
    int64_t now_ns = clock_now_ns(end->machine->truth);
    for (size_t i = 0; i < end->n_queued; i++) {
        struct far_packet *p = &end->queue[i];
        if (p->due_ns <= now_ns &&
            (!first || p->due_ns < first->due_ns || (p->due_ns == first->due_ns && p->number < first->number)))
            first = p;
    }
    return first;
}

static size_t far_receive(struct path *path, struct packet *packets, size_t max) {
    struct far_end *end = (struct far_end *)path;
    size_t n = 0;
    for (struct far_packet *p; n < max && (p = first_due(end)) != nullptr; n++) {
        packets[n] = p->packet;
        packets[n].received_ns = of_truth(end->machine, p->due_ns);
        packets[n].from = (union path_address){};
        *p = end->queue[--end->n_queued];
    }
    path->counters.packets_received += n;
    return n;
}

static void far_close(struct path *path) {
    struct far_end *end = (struct far_end *)path;
    if (!end)
        return;
    end->closed = true;
    if (!end->other->closed)
        return;
    free(end->queue);
    free(end->other->queue);
    free(end->other);
    free(end);
}

static struct far_end *new_end(struct far_machine *machine, struct far_way *way) {
    static const struct path_ops OPS = {.send = far_send, .receive = far_receive, .close = far_close};
    struct far_end *end = calloc(1, sizeof *end);
    *end = (struct far_end){.path = {.ops = &OPS, .carries_pings = true}, .machine = machine, .way = way};
    end->queue = calloc(QUEUE_MAX, sizeof *end->queue);
    return end;
}

void far_path_open(struct far_machine *sender, struct far_machine *receiver, struct far_way *there,
                   struct far_way *back, struct path **ret_sender, struct path **ret_receiver) {
    struct far_end *a = new_end(sender, there), *b = new_end(receiver, back);
    a->other = b;
    b->other = a;
    *ret_sender = &a->path;
    *ret_receiver = &b->path;
}
