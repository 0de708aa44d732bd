/* SPDX-License-Identifier: MPL-2.0 */
#include "transport/media_inbox.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

constexpr size_t HEADER = offsetof(struct media_record, data);
constexpr size_t CAPACITY_MIN = 4096; /* two of the largest records, and more */
/* Emptied beyond this, it begins again: what comes in a tick, repair packets of a block included, is less. */
constexpr size_t WARM_BYTES = 16 * 1024;
/* In the place of a length: nothing more up to the end of the memory. */
constexpr uint16_t NOTHING = UINT16_MAX;

static_assert(PACKET_MAX < NOTHING && 2 * (HEADER + PACKET_MAX + 8) <= CAPACITY_MIN);

bool media_inbox_init(struct media_inbox *inbox, uint32_t link, size_t capacity) {
    *inbox = (struct media_inbox){.link = link, .capacity = CAPACITY_MIN};
    while (inbox->capacity < capacity)
        inbox->capacity *= 2;
    /* A mark of NOTHING may have less than a header's room before the end. */
    inbox->bytes = malloc(inbox->capacity + HEADER);
    return inbox->bytes != nullptr;
}

void media_inbox_finish(struct media_inbox *inbox) {
    free(inbox->bytes);
    inbox->bytes = nullptr;
}

/* Of a record in the ring: the next one is aligned. */
static size_t size_of(uint16_t len) {
    return (HEADER + len + 7) & ~(size_t)7;
}

static uint8_t *place(const struct media_inbox *inbox, uint64_t pos) {
    return inbox->bytes + (pos & (inbox->capacity - 1));
}

static uint16_t len_at(const uint8_t *at) {
    uint16_t len;
    memcpy(&len, at + offsetof(struct media_record, len), sizeof len);
    return len;
}

static size_t to_end(const struct media_inbox *inbox, uint64_t pos) {
    return inbox->capacity - (pos & (inbox->capacity - 1));
}

bool media_inbox_put(struct media_inbox *inbox, const struct media_record *record) {
    uint64_t write_pos = atomic_load_explicit(&inbox->write_pos, memory_order_relaxed);
    uint64_t read_pos = atomic_load_explicit(&inbox->read_pos, memory_order_acquire);
    size_t size = size_of(record->len), skipped = 0;
    if (write_pos == read_pos && inbox->capacity - to_end(inbox, write_pos) > WARM_BYTES) {
        /* As long as it is empty the other side does not write read_pos, so we may. */
        write_pos += to_end(inbox, write_pos);
        read_pos = write_pos;
        atomic_store_explicit(&inbox->read_pos, read_pos, memory_order_relaxed);
    } else if (size > to_end(inbox, write_pos)) {
        skipped = to_end(inbox, write_pos);
    }
    if (inbox->capacity - (write_pos - read_pos) < skipped + size) {
        atomic_fetch_add_explicit(&inbox->overflowed, 1, memory_order_relaxed);
        return false;
    }
    if (skipped > 0)
        memcpy(place(inbox, write_pos) + offsetof(struct media_record, len), &NOTHING, sizeof NOTHING);
    memcpy(place(inbox, write_pos + skipped), record, HEADER + record->len);
    atomic_store_explicit(&inbox->write_pos, write_pos + skipped + size, memory_order_release);
    return true;
}

bool media_inbox_take(struct media_inbox *inbox, struct media_record *ret) {
    /* In this order: a read_pos that the other side has set is seen no later than what it has put after that. It may be seen
     * sooner, and is then ahead. */
    uint64_t write_pos = atomic_load_explicit(&inbox->write_pos, memory_order_acquire);
    uint64_t read_pos = atomic_load_explicit(&inbox->read_pos, memory_order_acquire);
    if (read_pos >= write_pos)
        return false;
    if (len_at(place(inbox, read_pos)) == NOTHING) /* a record follows: they are put together */
        read_pos += to_end(inbox, read_pos);
    const uint8_t *from = place(inbox, read_pos);
    uint16_t len = len_at(from);
    memcpy(ret, from, HEADER + len);
    atomic_store_explicit(&inbox->read_pos, read_pos + size_of(len), memory_order_release);
    return true;
}
