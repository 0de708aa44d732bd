/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "support/lossy_path.h"

/*
 * A home's wireless network, made up, seeded: the same seed gives the same minutes. Four kinds of weather, each for some
 * seconds, after what is published of 802.11 networks in use (delays of a few milliseconds with a long tail when others
 * send; retries that lose nearly nothing but hold everything behind them up; scans and roaming that cut a station off for
 * a tenth of a second to a third):
 *   quiet    jitter up to 4 ms, 1 packet in 1000 lost
 *   busy     jitter up to 25 ms, 1 % lost; every second or so a frame is retried and all wait 20 to 70 ms
 *   crowded  the same with 40 to 160 ms
 *   roaming  100 to 300 ms without anything: the first fifth of it is lost, the rest comes at the end
 * Packets stay in order.
 *
 * Life cycle: wifi_trace_init → wifi_trace_step each tick. Threads: one.
 */
struct wifi_trace {
    uint64_t random;
    int64_t weather_end_ns, next_hold_ns, next_roaming_ns, lost_until_ns;
    int weather;
};

void wifi_trace_init(struct wifi_trace *trace, uint64_t seed);
void wifi_trace_step(struct wifi_trace *trace, struct lossy_path *lossy, int64_t now_ns);
