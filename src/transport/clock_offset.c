/* SPDX-License-Identifier: MPL-2.0 */
#include "transport/clock_offset.h"

#include "base/clock.h"

constexpr int64_t POINT_NS = 2 * NS_PER_S;
constexpr int64_t TOO_OLD_NS = 60 * NS_PER_S;
/* What a line may be wrong by, beside half a round trip. */
constexpr int64_t ODD_NS = 5 * NS_PER_MS;
constexpr unsigned ODD_MAX = 3;
/* Standard deviations: of a measurement with the shortest round trip, in ns, and of the difference of two crystals. */
constexpr double BEST_NS = 20e3;
constexpr double SLOPE = 300e-6;

static void begin_anew(struct clock_offset *offset) {
    *offset = (struct clock_offset){.n_jumps = offset->n_jumps};
}

int64_t clock_offset_round_trip_ns(const struct clock_offset *offset) {
    int64_t least = INT64_MAX;
    for (size_t i = 0; i < offset->n; i++)
        if (offset->points[i].round_trip_ns < least)
            least = offset->points[i].round_trip_ns;
    return offset->n > 0 ? least : 0;
}

/* Weighted least squares, with one more observation: that the slope is 0. Counted from the newest point, so that the
 * figures stay small. */
static void fit(struct clock_offset *offset) {
    const struct clock_offset_point *newest = &offset->points[offset->newest];
    double best_ns = (double)clock_offset_round_trip_ns(offset), deviation_ns = BEST_NS;
    for (size_t i = 0; i < offset->n; i++) /* the best of many that differ much was lucky, and may be off itself */
        deviation_ns += ((double)offset->points[i].round_trip_ns - best_ns) / 4 / (double)offset->n;
    double w = 0, wx = 0, wy = 0, wxx = 1 / (SLOPE * SLOPE), wxy = 0;
    for (size_t i = 0; i < offset->n; i++) {
        const struct clock_offset_point *point = &offset->points[i];
        double deviation = deviation_ns + ((double)point->round_trip_ns - best_ns) / 2;
        double weight = 1 / (deviation * deviation);
        double x = (double)(point->at_ns - newest->at_ns), y = (double)(point->offset_ns - newest->offset_ns);
        w += weight;
        wx += weight * x;
        wy += weight * y;
        wxx += weight * x * x;
        wxy += weight * x * y;
    }
    double determinant = w * wxx - wx * wx; /* > 0: there is a point, and the slope's own observation */
    offset->at_ns = newest->at_ns;
    offset->offset_ns = newest->offset_ns + (int64_t)((wxx * wy - wx * wxy) / determinant);
    offset->ns_per_ns = (w * wxy - wx * wy) / determinant;
}

static bool is_odd(const struct clock_offset *offset, int64_t at_ns, int64_t offset_ns, int64_t round_trip_ns) {
    int64_t wrong_ns = offset_ns - clock_offset_at(offset, at_ns);
    int64_t most_ns = round_trip_ns / 2 + ODD_NS;
    return offset->n > 0 && (wrong_ns > most_ns || wrong_ns < -most_ns);
}

void clock_offset_add(struct clock_offset *offset, int64_t at_ns, int64_t offset_ns, int64_t round_trip_ns) {
    if (offset->n > 0 && (at_ns < offset->last_ns - NS_PER_S || at_ns - offset->last_ns > TOO_OLD_NS))
        begin_anew(offset);
    if (is_odd(offset, at_ns, offset_ns, round_trip_ns)) {
        if (++offset->n_odd < ODD_MAX)
            return;
        offset->n_jumps++;
        begin_anew(offset);
    }
    offset->n_odd = 0;
    offset->last_ns = at_ns;
    struct clock_offset_point point = {at_ns, offset_ns, round_trip_ns};
    if (offset->n > 0 && at_ns - offset->begin_ns < POINT_NS) {
        if (round_trip_ns > offset->points[offset->newest].round_trip_ns)
            return;
        offset->points[offset->newest] = point;
    } else {
        offset->newest = offset->n > 0 ? (offset->newest + 1) % CLOCK_OFFSET_POINTS : 0;
        offset->points[offset->newest] = point;
        offset->n += offset->n < CLOCK_OFFSET_POINTS;
        offset->begin_ns = at_ns;
    }
    fit(offset);
}

bool clock_offset_is_known(const struct clock_offset *offset, int64_t now_ns) {
    return offset->n > 0 && now_ns - offset->last_ns < TOO_OLD_NS;
}

int64_t clock_offset_at(const struct clock_offset *offset, int64_t at_ns) {
    return offset->offset_ns + (int64_t)(offset->ns_per_ns * (double)(at_ns - offset->at_ns));
}
