/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "media/delay.h"

/* The delay line of a sink, by impulses and by a tone that may not click. */

constexpr uint32_t RATE_HZ = 48'000;
constexpr size_t N_MAX = 241;
constexpr size_t N = 96'000;

struct bed {
    struct delay *delay;
    float in[2 * N], out[2 * N];
};

static int setup(void **state) {
    struct bed *bed = calloc(1, sizeof *bed);
    bed->delay = delay_create(2 * NS_PER_S, RATE_HZ, 2, N_MAX);
    assert_true(bed->delay != nullptr);
    *state = bed;
    return 0;
}

static int teardown(void **state) {
    struct bed *bed = *state;
    delay_destroy(bed->delay);
    free(bed);
    return 0;
}

static void run(struct bed *bed, size_t from, size_t to) {
    for (size_t at = from, n = 240; at < to; at += n, n = n % N_MAX + 1) {
        n = n < to - at ? n : to - at;
        memcpy(bed->out + 2 * at, delay_run(bed->delay, bed->in + 2 * at, n), 2 * n * sizeof *bed->out);
    }
}

static void impulse_comes_so_much_later(void **state) {
    struct bed *bed = *state;
    static const size_t delays[] = {1, 480, 4'801, 48'000, 96'000};
    for (size_t d = 0; d < sizeof delays / sizeof *delays; d++) {
        memset(bed->in, 0, sizeof bed->in);
        delay_set(bed->delay, delays[d]);
        run(bed, 0, N); /* the change is over, and the line is silent */
        run(bed, 0, N);
        bed->in[2 * 1'000] = 0.5f;
        bed->in[2 * 1'000 + 1] = -0.25f;
        run(bed, 0, N);
        bed->in[2 * 1'000] = bed->in[2 * 1'000 + 1] = 0;
        size_t first = N;
        for (size_t i = 0; i < N && first == N; i++)
            if (bed->out[2 * i] != 0)
                first = i;
        size_t at = 1'000 + delays[d];
        assert_int_equal(first, at < N ? at : N);
        if (at < N)
            assert_true(bed->out[2 * at] == 0.5f && bed->out[2 * at + 1] == -0.25f && bed->out[2 * at + 2] == 0);
        run(bed, 0, N); /* two seconds reach into the next round */
        if (at >= N)
            assert_true(bed->out[2 * (at - N)] == 0.5f && bed->out[2 * (at - N) + 1] == -0.25f);
    }
}

static void without_delay_no_bit_changes(void **state) {
    struct bed *bed = *state;
    for (size_t i = 0; i < 2 * N; i++)
        bed->in[i] = sinf((float)i * 0.7f);
    run(bed, 0, N);
    assert_memory_equal(bed->in, bed->out, sizeof bed->in);
}

static float largest_step(const struct bed *bed, size_t from, size_t to) {
    float step = 0;
    for (size_t i = from + 1; i < to; i++) {
        float now = fabsf(bed->out[2 * i] - bed->out[2 * i - 2]);
        step = now > step ? now : step;
    }
    return step;
}

static void change_does_not_click(void **state) {
    struct bed *bed = *state;
    for (size_t i = 0; i < 2 * N; i++)
        bed->in[i] = (float)sin((double)(i / 2) * 2 * 3.14159265358979 * 440 / RATE_HZ);
    run(bed, 0, 9'600);
    float tone = largest_step(bed, 0, 9'600);
    static const size_t delays[] = {480, 37, 9'000, 0, 4'800, 60, 0};
    for (size_t d = 0; d < sizeof delays / sizeof *delays; d++) {
        size_t at = 9'600 + d * 12'000;
        delay_set(bed->delay, delays[d]);
        run(bed, at, at + 12'000);
        /* of the tone itself, and of 20 ms of cross-fade or beginning between what may be opposite */
        assert_true(largest_step(bed, at - 1, at + 12'000) < tone + 3.0f / 960);
    }
    run(bed, 9'600 + 7 * 12'000, N);
    assert_memory_equal(bed->in + 2 * (N - 100), bed->out + 2 * (N - 100), 200 * sizeof *bed->in);
}

/* Asked for while another change is under way, it comes after it. */
static void changes_that_follow_closely_all_come(void **state) {
    struct bed *bed = *state;
    for (size_t i = 0; i < 2 * N; i++)
        bed->in[i] = 0.5f;
    run(bed, 0, 4'800);
    for (size_t at = 4'800; at < 9'600; at += 48) {
        delay_set(bed->delay, at % 1'000);
        run(bed, at, at + 48);
    }
    delay_set(bed->delay, 100);
    run(bed, 9'600, N - 10);
    bed->in[2 * (N - 10)] = 1;
    assert_int_equal(bed->delay->n_now, 100);
    assert_true(largest_step(bed, 0, N - 10) < 3.0f / 960);
}

static void more_than_the_most_is_the_most(void **state) {
    struct bed *bed = *state;
    delay_set(bed->delay, 1'000'000);
    run(bed, 0, N);
    assert_int_equal(bed->delay->n_now, 96'001);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(impulse_comes_so_much_later, setup, teardown),
        cmocka_unit_test_setup_teardown(without_delay_no_bit_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(change_does_not_click, setup, teardown),
        cmocka_unit_test_setup_teardown(changes_that_follow_closely_all_come, setup, teardown),
        cmocka_unit_test_setup_teardown(more_than_the_most_is_the_most, setup, teardown),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
