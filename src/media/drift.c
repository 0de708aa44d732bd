/* SPDX-License-Identifier: MPL-2.0 */
#include "media/drift.h"

#include <math.h>

#include "base/clock.h"

/* A crystal is wrong by some ten, a bad one by some hundred parts per million. */
constexpr double DRIFT_MAX = 1500e-6;
/* Less is left to libroc: half a millisecond of its queue. */
constexpr double DRIFT_MIN = 25e-6;
constexpr int64_t POINT_NS = NS_PER_S / 4;
constexpr double POINT_S = (double)POINT_NS / (double)NS_PER_S;
constexpr size_t POINTS_MIN = 16;
/* The sender paused, or the network broke. */
constexpr int64_t PAUSE_NS = 100 * NS_PER_MS;
/* The rise of a line through a single step is at most this many steps. */
constexpr double STEP_AS_LINE = 1.5;
constexpr double SURE = 2; /* standard deviations */
constexpr size_t PIECES = 16;
/* Part of a rise that must be left without its steepest part: more than two steps have. */
constexpr double GRADUAL = 0.55;

void drift_init(struct drift *drift, uint32_t frame_rate_hz, uint32_t wire_rate_hz, int64_t packet_ns) {
    *drift = (struct drift){.frame_rate_hz = frame_rate_hz, .wire_rate_hz = wire_rate_hz, .packet_ns = packet_ns};
}

void drift_restart(struct drift *drift) {
    int64_t known_ppm = drift->known_ppm;
    drift_init(drift, drift->frame_rate_hz, drift->wire_rate_hz, drift->packet_ns);
    drift->known_ppm = known_ppm;
}

void drift_corrected(struct drift *drift, int64_t ppm) {
    drift->known_ppm = ppm;
}

void drift_packet(struct drift *drift, uint32_t timestamp, int64_t now_ns) {
    if (drift->has_packets && now_ns - drift->last_packet_ns > PAUSE_NS)
        drift_restart(drift);
    int32_t ahead = (int32_t)(timestamp - drift->timestamp);
    if (drift->has_packets && ahead <= 0)
        return;
    if (drift->has_packets)
        drift->samples += ahead;
    drift->has_packets = true;
    drift->timestamp = timestamp;
    drift->last_packet_ns = now_ns;
}

void drift_played(struct drift *drift, size_t n_frames) {
    drift->n_now += n_frames;
}

static void begin(struct drift *drift, int64_t now_ns) {
    drift->begun = true;
    drift->point_ns = now_ns;
    drift->samples = 0;
}

static void take_played(struct drift *drift) {
    if (drift->n_now > 0 && (drift->n_step == 0 || drift->n_now < drift->n_step))
        drift->n_step = drift->n_now;
    drift->frames += (int64_t)drift->n_now;
}

/* True: a point is complete. */
static bool add(struct drift *drift, int64_t now_ns) {
    drift->sum += (double)drift->samples / drift->wire_rate_hz - (double)drift->frames / drift->frame_rate_hz;
    drift->n_sum++;
    if (now_ns - drift->point_ns < POINT_NS)
        return false;
    drift->points[drift->n++] = (float)(drift->sum / (double)drift->n_sum);
    drift->sum = 0;
    drift->n_sum = 0;
    drift->point_ns += POINT_NS;
    return true;
}

static double mean(const float *points, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)points[i];
    return sum / (double)n;
}

/* The line of least squares; and its standard deviation. */
static double slope_of(const float *points, size_t n, double *ret_deviation) {
    double middle = (double)(n - 1) / 2, level = mean(points, n), sxx = 0, sxy = 0, syy = 0;
    for (size_t i = 0; i < n; i++) {
        double x = ((double)i - middle) * POINT_S, y = (double)points[i] - level;
        sxx += x * x;
        sxy += x * y;
        syy += y * y;
    }
    double slope = sxy / sxx;
    *ret_deviation = sqrt(fmax(0, syy - slope * sxy) / (double)(n - 2) / sxx);
    return slope;
}

/* How much steeper than `known` the line would be without its steepest part: that of a single step is level. A step lies in one
 * piece or in two. */
static double without_steepest(const float *points, size_t n, double known, double direction) {
    double sum = 0, before = 0, steepest = 0;
    size_t length = n / PIECES;
    for (size_t i = 0; i + 1 < PIECES; i++) {
        const float *piece = points + i * length;
        double rise = mean(piece + length, length) - mean(piece, length) - known * (double)length * POINT_S;
        sum += rise;
        steepest = fmax(steepest, direction * (rise + before));
        before = rise;
    }
    return (sum - direction * steepest) / ((double)(length * (PIECES - 1)) * POINT_S);
}

static bool judge(const struct drift *drift, double *ret_slope) {
    double deviation = 0, slope = slope_of(drift->points, drift->n, &deviation),
           known = (double)drift->known_ppm * 1e-6;
    double step = fmax((double)drift->n_step / drift->frame_rate_hz, (double)drift->packet_ns / (double)NS_PER_S);
    double off = slope - known, least = SURE * deviation + STEP_AS_LINE * step / ((double)drift->n * POINT_S);
    *ret_slope = slope;
    if (fabs(slope) > DRIFT_MAX || fabs(off) < DRIFT_MIN || fabs(off) < least)
        return false;
    double direction = off > 0 ? 1 : -1;
    return direction * without_steepest(drift->points, drift->n, known, direction) > GRADUAL * fabs(off);
}

bool drift_tick(struct drift *drift, int64_t now_ns, int64_t *ret_ppm) {
    if (!drift->has_packets)
        return false;
    if (!drift->begun)
        begin(drift, now_ns);
    else
        take_played(drift);
    drift->n_now = 0;
    if (!add(drift, now_ns) || drift->n < POINTS_MIN)
        return false;
    double slope = 0;
    bool is_other = judge(drift, &slope);
    if (is_other)
        *ret_ppm = llround(slope * 1e6);
    if (is_other || drift->n == DRIFT_POINTS_MAX)
        drift_restart(drift);
    return is_other;
}
