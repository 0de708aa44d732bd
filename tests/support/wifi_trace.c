/* SPDX-License-Identifier: MPL-2.0 */
#include "support/wifi_trace.h"

static const struct weather {
    double jitter_ms, loss, hold_min_ms, hold_max_ms, length_s;
} WEATHER[] = {{4, 0.001, 0, 0, 20}, {25, 0.01, 20, 70, 10}, {25, 0.01, 40, 160, 6}};

static double random_of(struct wifi_trace *trace, double min, double max) {
    trace->random ^= trace->random << 13;
    trace->random ^= trace->random >> 7;
    trace->random ^= trace->random << 17;
    return min + (max - min) * (double)(trace->random >> 11) / 9007199254740992.0;
}

static int64_t ms(double ms) {
    return (int64_t)(ms * NS_PER_MS);
}

void wifi_trace_init(struct wifi_trace *trace, uint64_t seed) {
    *trace = (struct wifi_trace){.random = 88172645463325252U * (2 * seed + 1)};
}

static void choose_weather(struct wifi_trace *trace, struct lossy_path *lossy, int64_t now_ns) {
    double luck = random_of(trace, 0, 1);
    trace->weather = luck < 0.55 ? 0 : luck < 0.85 ? 1 : 2;
    const struct weather *weather = &WEATHER[trace->weather];
    trace->weather_end_ns = now_ns + ms(1000 * weather->length_s * random_of(trace, 0.5, 1.5));
    trace->next_hold_ns = now_ns + ms(random_of(trace, 100, 1500));
    lossy->in_order = true;
    lossy->delay_ns = ms(2);
    lossy->jitter_ns = ms(weather->jitter_ms);
    lossy->loss = weather->loss;
}

void wifi_trace_step(struct wifi_trace *trace, struct lossy_path *lossy, int64_t now_ns) {
    if (now_ns >= trace->weather_end_ns)
        choose_weather(trace, lossy, now_ns);
    const struct weather *weather = &WEATHER[trace->weather];
    if (weather->hold_max_ms > 0 && now_ns >= trace->next_hold_ns) {
        lossy->held_until_ns = now_ns + ms(random_of(trace, weather->hold_min_ms, weather->hold_max_ms));
        trace->next_hold_ns = now_ns + ms(random_of(trace, 300, 2000));
    }
    if (!trace->next_roaming_ns)
        trace->next_roaming_ns = now_ns + ms(random_of(trace, 10'000, 60'000));
    if (now_ns >= trace->next_roaming_ns) {
        int64_t length_ns = ms(random_of(trace, 100, 300));
        lossy->held_until_ns = now_ns + length_ns;
        trace->lost_until_ns = now_ns + length_ns / 5;
        trace->next_roaming_ns = now_ns + ms(random_of(trace, 40'000, 120'000));
    }
    lossy->blackout = now_ns < trace->lost_until_ns;
}
