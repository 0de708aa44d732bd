/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "transport/path.h"

/* What the unit tests of addresses and paths share. */

static inline union path_address address_of(const char *host, uint16_t port) {
    union path_address address;
    struct err_info info;
    if (path_address_resolve(host, port, &address, &info) != ERR_OK)
        fail_msg("%s", info.message);
    return address;
}

/* A packet that says what it is: its number, then bytes that follow from number and place. */
static inline struct packet packet_of(uint32_t number, enum media_iface iface, uint16_t len) {
    struct packet packet = {.iface = iface, .len = len};
    for (size_t i = 0; i < len && i < PACKET_MAX; i++)
        packet.data[i] = (uint8_t)(number * 31 + i);
    if (len >= sizeof number)
        memcpy(packet.data, &number, sizeof number);
    return packet;
}

static inline void assert_packet(const struct packet *packet, uint32_t number, enum media_iface iface, uint16_t len) {
    struct packet want = packet_of(number, iface, len);
    assert_int_equal(packet->iface, iface);
    assert_int_equal(packet->len, len);
    assert_memory_equal(packet->data, want.data, len);
}
