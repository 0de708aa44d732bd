/* SPDX-License-Identifier: MPL-2.0 */
#include "media/adapt.h"

#include "base/clock.h"

/* For the tick that takes a packet and the one that plays it. */
constexpr int64_t MARGIN_NS = 5 * NS_PER_MS;
/* The usual transit follows the clocks: 100 ppm of drift put it 2 ms off, and libroc's own queue settles no faster. */
constexpr int64_t REFERENCE_NS = 20 * NS_PER_S;
constexpr int64_t HOLD_MIN_NS = 120 * NS_PER_S;
constexpr int64_t HOLD_MAX_NS = 480 * NS_PER_S;
/* A raise so soon after a lowering speaks against it; so long without need, all is forgotten. */
constexpr int64_t PROBATION_NS = 300 * NS_PER_S;
constexpr int64_t FORGIVE_NS = 900 * NS_PER_S;
constexpr int64_t LOSSY_NS = 60 * NS_PER_S;
/* A hole is known some time after its cause: a target latency, and what the ledger waits before it judges. */
constexpr int64_t ECHO_NS = 3 * NS_PER_S;
/* Between raises for holes that nothing explains, so that each has time to tell. */
constexpr int64_t GUESS_NS = 5 * NS_PER_S;

static const int32_t RUNGS_MS[] = {5,   6,    8,    10,   12,   15,   20,   25,   30,  40,  50,
                                   60,  80,   100,  120,  150,  200,  250,  300,  400, 500, 600,
                                   800, 1000, 1200, 1500, 2000, 2500, 3000, 4000, 5000};
constexpr size_t N_RUNGS = sizeof RUNGS_MS / sizeof *RUNGS_MS;

static int64_t clamp(const struct adapt *adapt, int64_t target_ns) {
    if (target_ns < adapt->config.min_ns)
        return adapt->config.min_ns;
    return target_ns < adapt->config.max_ns ? target_ns : adapt->config.max_ns;
}

static int64_t rung_at_least(const struct adapt *adapt, int64_t ns) {
    size_t i = 0;
    while (i < N_RUNGS - 1 && RUNGS_MS[i] * NS_PER_MS < ns)
        i++;
    return clamp(adapt, RUNGS_MS[i] * NS_PER_MS);
}

static int64_t rung_below(const struct adapt *adapt, int64_t ns) {
    size_t i = N_RUNGS - 1;
    while (i > 0 && RUNGS_MS[i] * NS_PER_MS >= ns)
        i--;
    return clamp(adapt, RUNGS_MS[i] * NS_PER_MS);
}

void adapt_init(struct adapt *adapt, const struct adapt_config *config) {
    *adapt = (struct adapt){.config = *config, .hold_ns = HOLD_MIN_NS};
    adapt->target_ns = clamp(adapt, config->start_ns);
}

void adapt_new_session(struct adapt *adapt) {
    adapt->has_reference = false;
}

void adapt_changed(struct adapt *adapt, int64_t target_ns) {
    bool raised = target_ns > adapt->target_ns;
    if (raised && adapt->lowered && adapt->unchanged_ns < PROBATION_NS)
        adapt->hold_ns = 2 * adapt->hold_ns < HOLD_MAX_NS ? 2 * adapt->hold_ns : HOLD_MAX_NS;
    adapt->lowered = !raised;
    adapt->target_ns = target_ns;
    adapt->calm_ns = adapt->unchanged_ns = 0;
    /* the queue of a new decoder is measured from now on */
    adapt->has_reference = false;
}

/* ---- one window ---- */

static void run_down(int64_t *left_ns, int64_t by_ns) {
    *left_ns = *left_ns > by_ns ? *left_ns - by_ns : 0;
}

static void remember(struct adapt *adapt, const struct adapt_window *w) {
    run_down(&adapt->lossy_ns, w->length_ns);
    run_down(&adapt->late_ns, w->length_ns);
    run_down(&adapt->burst_ns, w->length_ns);
    if (w->n_lost > 0)
        adapt->lossy_ns = LOSSY_NS;
    if (w->n_late > 0)
        adapt->late_ns = ECHO_NS + adapt->target_ns;
    /* half: a burst takes repair packets of its block along */
    if (2 * w->n_burst * adapt->config.packet_ns > adapt->config.repair_ns)
        adapt->burst_ns = ECHO_NS + adapt->target_ns;
    adapt->unchanged_ns += w->length_ns;
    adapt->since_need_ns += w->length_ns;
    if (adapt->since_need_ns > FORGIVE_NS)
        adapt->hold_ns = HOLD_MIN_NS;
}

static int64_t follow_transit(struct adapt *adapt, const struct adapt_window *w) {
    if (!adapt->has_reference)
        adapt->reference_ns = w->transit_ns;
    else
        adapt->reference_ns += (w->transit_ns - adapt->reference_ns) / (REFERENCE_NS / w->length_ns + 1);
    adapt->has_reference = true;
    int64_t high_ns = w->transit_high_ns - adapt->reference_ns;
    /* evenly spread jitter of J is J / 3 after RFC 3550, and the latest packet is J / 2 later than the mean */
    int64_t usual_ns = w->jitter_ns * 3 / 2;
    return high_ns > usual_ns ? high_ns : usual_ns;
}

static bool is_cut_off(const struct adapt *adapt, const struct adapt_window *w) {
    return w->n_packets * adapt->config.packet_ns < w->length_ns / 4;
}

static struct adapt_decision decide(const struct adapt *adapt, enum adapt_cause cause, int64_t target_ns) {
    return (struct adapt_decision){target_ns == adapt->target_ns ? ADAPT_STAY : cause, target_ns};
}

static enum adapt_cause cause_of_raise(const struct adapt *adapt, const struct adapt_window *w, int64_t spread_ns) {
    if (w->n_late > 0)
        return ADAPT_LATE;
    int64_t room_ns = adapt->target_ns - adapt->config.packet_ns;
    if (spread_ns > room_ns)
        return ADAPT_JITTER;
    return spread_ns + w->portion_ns > room_ns ? ADAPT_DEVICE : ADAPT_LOSS;
}

static int64_t need_of(const struct adapt *adapt, const struct adapt_window *w, int64_t spread_ns) {
    int64_t packet_ns = adapt->config.packet_ns, block_ns = adapt->lossy_ns > 0 ? adapt->config.block_ns : 0;
    return spread_ns + w->portion_ns + (block_ns > packet_ns ? block_ns : packet_ns);
}

static bool is_enough(const struct adapt *adapt, int64_t target_ns, int64_t need_ns) {
    return need_ns <= target_ns * 9 / 10 || need_ns <= adapt->config.min_ns;
}

struct adapt_decision adapt_decide(struct adapt *adapt, const struct adapt_window *w) {
    const struct adapt_decision stay = {ADAPT_STAY, adapt->target_ns};
    remember(adapt, w);
    if (is_cut_off(adapt, w)) {
        adapt->burst_ns = ECHO_NS + adapt->target_ns;
        return stay;
    }
    int64_t spread_ns = follow_transit(adapt, w) + MARGIN_NS;
    int64_t need_ns = need_of(adapt, w, spread_ns);
    if (need_ns > adapt->target_ns) {
        adapt->calm_ns = adapt->since_need_ns = 0;
        return decide(adapt, cause_of_raise(adapt, w, spread_ns), rung_at_least(adapt, need_ns));
    }

    bool latency_may_help = adapt->late_ns > 0 || need_ns > adapt->target_ns * 3 / 4;
    if (w->hole_ns > 0 && latency_may_help && adapt->burst_ns == 0 && adapt->unchanged_ns > GUESS_NS)
        return decide(adapt, ADAPT_GLITCHES, rung_at_least(adapt, adapt->target_ns + 1));

    int64_t lower_ns = rung_below(adapt, adapt->target_ns);
    if (!is_enough(adapt, lower_ns, need_ns)) {
        adapt->calm_ns = adapt->since_need_ns = 0;
        return stay;
    }
    if (adapt->calm_ns == 0 || need_ns > adapt->most_need_ns)
        adapt->most_need_ns = need_ns;
    adapt->calm_ns += w->length_ns;
    if (adapt->calm_ns < adapt->hold_ns)
        return stay;
    int64_t lowest_ns = rung_below(adapt, lower_ns);
    return decide(adapt, ADAPT_CALM, is_enough(adapt, lowest_ns, adapt->most_need_ns) ? lowest_ns : lower_ns);
}

/* ---- words ---- */

static const struct {
    const char *name, *text;
} CAUSES[] = {
    [ADAPT_STAY] = {"None", "nothing has changed"},
    [ADAPT_JITTER] = {"Jitter", "packets come unevenly"},
    [ADAPT_LATE] = {"Late", "packets came too late to be played"},
    [ADAPT_LOSS] = {"Loss", "packets are lost and were brought back too late"},
    [ADAPT_DEVICE] = {"Device", "the endpoint takes much sound at once"},
    [ADAPT_GLITCHES] = {"Glitches", "sound was missing"},
    [ADAPT_CALM] = {"Calm", "the network has been steady, less is enough"},
};

const char *adapt_cause_name(enum adapt_cause cause) {
    return CAUSES[cause].name;
}

const char *adapt_cause_text(enum adapt_cause cause) {
    return CAUSES[cause].text;
}
