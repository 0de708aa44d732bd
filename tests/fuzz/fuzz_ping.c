/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "fuzz/target.h"
#include "transport/ping.h"

/*
 * Pings of a peer that says what it likes, one after another: what is read is, written again, the same, and none of them
 * upsets the exchange. 8 bytes say when a ping comes, the rest of the 46 is the ping.
 */
static int64_t time_of(const uint8_t *bytes) {
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | bytes[i];
    return (int64_t)(value % (uint64_t)PING_TIME_MAX_NS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct ping_exchange exchange = {};
    for (; size >= 8; data += 8 + PING_SIZE) {
        int64_t came_ns = time_of(data);
        size_t len = size - 8 < PING_SIZE ? size - 8 : PING_SIZE;
        struct ping ping;
        uint8_t again[PING_SIZE];
        if (ping_read(data + 8, len, &ping)) {
            ping_write(&ping, again);
            FUZZ_CHECK(len == PING_SIZE && memcmp(again, data + 8, PING_SIZE) == 0);
            ping_exchange_take(&exchange, &ping, came_ns);
            FUZZ_CHECK(ping_exchange_has_other(&exchange));
            FUZZ_CHECK(exchange.one_way_ns >= 0 && clock_offset_round_trip_ns(&exchange.clock) >= 0);
            (void)clock_offset_at(&exchange.clock, came_ns);
        }
        if (ping_exchange_is_due(&exchange, came_ns))
            (void)ping_exchange_next(&exchange, came_ns);
        if (size < 8 + PING_SIZE)
            break;
        size -= 8 + PING_SIZE;
    }
    return 0;
}
