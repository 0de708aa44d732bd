/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <string.h>

#include "os/thread.h"
#include "transport/media_inbox.h"

constexpr uint32_t LINK = 4711;

/* A record that says what it is. */
static struct media_record record_of(uint32_t number, uint16_t len) {
    struct media_record record = {.received_ns = number, .len = len, .from.v4 = {.sin_family = AF_INET}};
    record.from.v4.sin_addr.s_addr = number;
    for (size_t i = 0; i < len; i++)
        record.data[i] = (uint8_t)(number * 31 + i);
    return record;
}

static bool is_record(const struct media_record *record, uint32_t number, uint16_t len) {
    struct media_record want = record_of(number, len);
    return memcmp(record, &want, offsetof(struct media_record, data) + len) == 0;
}

static struct media_inbox new_inbox(size_t capacity) {
    struct media_inbox inbox;
    assert_true(media_inbox_init(&inbox, LINK, capacity));
    memset(inbox.bytes, 0xee, inbox.capacity);
    assert_int_equal(inbox.link, LINK);
    return inbox;
}

static bool put(struct media_inbox *inbox, uint32_t number, uint16_t len) {
    struct media_record record = record_of(number, len);
    return media_inbox_put(inbox, &record);
}

static void take(struct media_inbox *inbox, uint32_t number, uint16_t len) {
    struct media_record record;
    assert_true(media_inbox_take(inbox, &record));
    assert_true(is_record(&record, number, len));
}

static void records_come_out_as_they_went_in(void **) {
    struct media_inbox inbox = new_inbox(64 * 1024);
    struct media_record none;
    for (uint32_t len = 0; len <= PACKET_MAX; len++) {
        assert_false(media_inbox_take(&inbox, &none));
        assert_true(put(&inbox, len, (uint16_t)len));
        assert_true(put(&inbox, len + 1, (uint16_t)(PACKET_MAX - len)));
        take(&inbox, len, (uint16_t)len);
        take(&inbox, len + 1, (uint16_t)(PACKET_MAX - len));
    }
    assert_int_equal(inbox.overflowed, 0);
    media_inbox_finish(&inbox);
}

static uint32_t draw(uint32_t *random, uint32_t n) {
    *random = *random * 1664525 + 1013904223;
    return (uint32_t)(((uint64_t)*random * n) >> 32);
}

/* Of all sizes, with any number in it, against a plain list; and what does not fit is told and changes nothing. */
static void it_is_a_queue(void **) {
    static uint16_t lens[100'000];
    for (size_t capacity = 1; capacity <= 128 * 1024; capacity *= 8) {
        struct media_inbox inbox = new_inbox(capacity);
        uint32_t random = (uint32_t)capacity, n_put = 0, n_taken = 0, n_full = 0;
        size_t bytes = 0;
        while (n_put < 100'000) {
            /* for a while it fills, for a while it empties */
            bool fill = draw(&random, 100) < (n_put / 5000 % 2 ? 60u : 40u);
            if (fill) {
                uint16_t len = (uint16_t)draw(&random, PACKET_MAX + 1);
                if (put(&inbox, n_put, len)) {
                    lens[n_put++] = len;
                    bytes += len;
                } else {
                    n_full++;
                    /* at most a record's length was left at each of the two ends */
                    assert_true(bytes + (n_put - n_taken) * 46 + 2 * (PACKET_MAX + 46) > inbox.capacity);
                }
            } else if (n_taken < n_put) {
                take(&inbox, n_taken, lens[n_taken]);
                bytes -= lens[n_taken++];
            }
        }
        while (n_taken < n_put) {
            take(&inbox, n_taken, lens[n_taken]);
            n_taken++;
        }
        struct media_record none;
        assert_false(media_inbox_take(&inbox, &none));
        assert_int_equal(inbox.overflowed, n_full);
        assert_true(n_full > 0);
        media_inbox_finish(&inbox);
    }
}

static void it_stays_in_its_first_pages_while_it_is_emptied(void **) {
    struct media_inbox inbox = new_inbox(128 * 1024);
    for (uint32_t i = 0; i < 10'000; i++) {
        uint32_t n = 1 + i % 11; /* a tick: sound, and sometimes repair packets */
        for (uint32_t k = 0; k < n; k++)
            assert_true(put(&inbox, i + k, 1003));
        for (uint32_t k = 0; k < n; k++)
            take(&inbox, i + k, 1003);
    }
    for (size_t i = 32 * 1024; i < inbox.capacity; i++)
        if (inbox.bytes[i] != 0xee && i < inbox.capacity - sizeof(struct media_record))
            fail_msg("byte %zu has been written", i);
    media_inbox_finish(&inbox);
}

/* Wherever it has been emptied, all of it is there for bad times. */
static void it_can_always_be_filled(void **) {
    constexpr uint32_t SIZE = (38 + 1003 + 7) / 8 * 8;
    for (uint32_t n_before = 0; n_before < 140; n_before++) {
        struct media_inbox inbox = new_inbox(128 * 1024);
        for (uint32_t i = 0; i < n_before; i++) {
            assert_true(put(&inbox, i, 1003));
            take(&inbox, i, 1003);
        }
        uint32_t n = 0;
        while (put(&inbox, n, 1003))
            n++;
        assert_in_range(n, 128 * 1024 / SIZE - 1, 128 * 1024 / SIZE);
        for (uint32_t i = 0; i < n; i++)
            take(&inbox, i, 1003);
        media_inbox_finish(&inbox);
    }
}

/* ---- two threads ---- */

constexpr uint32_t N_THROUGH = 200'000;

static void *put_all(void *arg) {
    struct media_inbox *inbox = arg;
    for (uint32_t i = 0; i < N_THROUGH;)
        if (put(inbox, i, (uint16_t)(i * 7 % (PACKET_MAX + 1))))
            i++;
        else
            sched_yield();
    return nullptr;
}

static void one_puts_while_the_other_takes(void **) {
    struct media_inbox inbox = new_inbox(32 * 1024);
    struct thread thread = {};
    struct media_record record;
    assert_int_equal(thread_start(&thread, "puts", put_all, &inbox), 0);
    for (uint32_t i = 0; i < N_THROUGH;) {
        if (!media_inbox_take(&inbox, &record)) {
            sched_yield();
            continue;
        }
        if (!is_record(&record, i, (uint16_t)(i * 7 % (PACKET_MAX + 1))))
            fail_msg("record %u is another", i);
        i++;
    }
    thread_join(&thread);
    assert_false(media_inbox_take(&inbox, &record));
    media_inbox_finish(&inbox);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_out_as_they_went_in),
        cmocka_unit_test(it_is_a_queue),
        cmocka_unit_test(it_stays_in_its_first_pages_while_it_is_emptied),
        cmocka_unit_test(it_can_always_be_filled),
        cmocka_unit_test(one_puts_while_the_other_takes),
    };
    return cmocka_run_group_tests_name("media-inbox", tests, nullptr, nullptr);
}
