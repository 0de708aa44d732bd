/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/err.h"
#include "base/id.h"
#include "base/list.h"
#include "base/log.h"
#include "base/loop_sim.h"
#include "base/loop_uv.h"
#include "base/map.h"
#include "base/ring.h"

static void err_message_is_cut_at_a_character(void **) {
    struct err_info info;
    char name[600];
    for (size_t i = 0; i + 2 < sizeof name; i += 2)
        memcpy(name + i, "ö", 2);
    name[598] = 0;
    assert_int_equal(err_set(&info, ERR_INVALID, "x%s", name), ERR_INVALID);
    size_t n = strlen(info.message);
    assert_true(n < ERR_MESSAGE_MAX);
    assert_int_equal(n % 2, 1); /* "x" and whole two-byte characters */
    assert_int_equal(err_set(&info, ERR_INVALID, "'%.4s' and '%.3s' and '%.5s' and '%.1s'", "aöö", "♪♪", "🎵🎵", "ö"),
                     ERR_INVALID);
    assert_string_equal(info.message, "'aö' and '♪' and '🎵' and ''");
    assert_int_equal(err_set_errno(&info, ENOENT, "open '%s'", "f"), ERR_NOT_FOUND);
    assert_string_equal(info.message, "open 'f': No such file or directory");
    assert_int_equal(err_http_status(ERR_GENERATION), 412);
    assert_string_equal(err_name(ERR_NOT_FOUND), "not_found");
}

static void buf_grows_and_keeps_its_max(void **) {
    struct buf b = {.max = 10};
    assert_true(buf_printf(&b, "%s-%d", "abc", 42));
    assert_string_equal(b.data, "abc-42");
    assert_false(buf_append_str(&b, "too long"));
    assert_true(buf_failed(&b));
    assert_string_equal(b.data, "abc-42");
    buf_consume(&b, 4);
    assert_string_equal(b.data, "42");
    buf_finish(&b);
    size_t n = 7;
    char *empty = buf_take(&(struct buf){}, &n);
    assert_string_equal(empty, "");
    assert_int_equal(n, 0);
    free(empty);
}

static void capture_line(void *arg, enum log_level, const char *line, size_t len) {
    snprintf(arg, 512, "%.*s", (int)len, line);
}

static void log_quotes_what_could_forge_a_line(void **) {
    char line[512] = "";
    struct log_sink sink;
    log_sink_init(&sink, LOG_LEVEL_INFO, capture_line, line);
    struct log log = {&sink, "test"};
    log_warn(log, "peer named", LOG_STR("name", "a\nerror rocd: all is lost \"x\""), LOG_UINT("port", 4040));
    assert_null(strchr(line, '\n'));
    assert_string_equal(strstr(line, " warn"),
                        " warn  test: peer named name=\"a\\nerror rocd: all is lost \\\"x\\\"\" port=4040");
    line[0] = 0;
    log_debug(log, "not shown");
    assert_string_equal(line, "");
    log_sink_finish(&sink);
}

struct number {
    int value;
    struct list_link link;
};

static void list_survives_removal_while_walking(void **) {
    struct list l;
    list_init(&l);
    struct number n[5];
    for (int i = 0; i < 5; i++) {
        n[i] = (struct number){.value = i};
        list_append(&l, &n[i].link);
    }
    struct number *it;
    list_for_each_safe(it, &l, link) if (it->value % 2) list_remove(&it->link);
    int sum = 0;
    list_for_each(it, &l, link) sum = sum * 10 + it->value;
    assert_int_equal(sum, 24);
    assert_int_equal(list_count(&l), 3);
    list_remove(&n[1].link); /* already out: harmless */
}

static void map_agrees_with_an_array(void **) {
    struct map m = {};
    bool in[500] = {};
    uint64_t seed = 1;
    for (int step = 0; step < 20000; step++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        size_t k = (size_t)(seed >> 33) % 500;
        char key[16];
        snprintf(key, sizeof key, "k%zu", k);
        if (seed >> 63) {
            assert_true(map_put(&m, key, &in[k]));
            in[k] = true;
        } else {
            assert_ptr_equal(map_remove(&m, key), in[k] ? &in[k] : nullptr);
            in[k] = false;
        }
    }
    size_t n = 0;
    for (size_t k = 0; k < 500; k++) {
        char key[16];
        snprintf(key, sizeof key, "k%zu", k);
        assert_ptr_equal(map_get(&m, key), in[k] ? &in[k] : nullptr);
        n += in[k];
    }
    assert_int_equal(m.n, n);
    map_finish(&m);
}

static void uids_match_the_published_vectors(void **) {
    char uid[UID_SIZE];
    uid_reproducible(uid, UID_TAG_PEER, "0", 1);
    assert_string_equal(uid, "6uibwb-h3z9nn-1nwaw6");
    uid_reproducible(uid, UID_TAG_STREAM, "0", 1);
    assert_string_equal(uid, "jgn1af-pyh72a-yu37yt");
    uid_random(uid);
    assert_true(uid_is_valid(uid));
    assert_false(uid_is_valid("6uibwb-h3z9nn-1nwaw"));
    assert_false(uid_is_valid("6uibwb-h3z9nn-1nwaw66"));
    assert_false(uid_is_valid("6uibwb_h3z9nn-1nwaw6"));
    assert_false(uid_is_valid("6UIBWB-h3z9nn-1nwaw6"));
    assert_false(uid_is_valid(""));
}

static void clock_prints_milliseconds(void **) {
    char text[CLOCK_TEXT_SIZE];
    clock_format(text, 1767225600LL * NS_PER_S + 7 * NS_PER_MS);
    assert_string_equal(text, "2026-01-01T00:00:00.007Z");
}

static void *produce(void *arg) {
    struct ring *r = arg;
    for (uint32_t i = 0; i < 200000;) {
        uint32_t v[7];
        uint32_t n = 0;
        for (; n < 7 && i + n < 200000; n++)
            v[n] = i + n;
        i += (uint32_t)ring_write(r, v, n);
    }
    return nullptr;
}

static void ring_keeps_order_between_threads(void **) {
    struct ring r;
    assert_true(ring_init(&r, sizeof(uint32_t), 60));
    pthread_t t;
    pthread_create(&t, nullptr, produce, &r);
    for (uint32_t next = 0; next < 200000;) {
        uint32_t v[5];
        size_t n = ring_read(&r, v, 5);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(v[i], next++);
    }
    pthread_join(t, nullptr);
    assert_int_equal(ring_readable(&r), 0);
    ring_finish(&r);
}

struct trace {
    struct loop *loop;
    struct loop_timer a, b;
    char text[64];
};

static void on_a(void *arg) {
    struct trace *t = arg;
    strcat(t->text, "a");
    if (strlen(t->text) < 6)
        loop_timer_start(t->loop, &t->a, 10 * NS_PER_MS);
}

static void on_b(void *arg) {
    struct trace *t = arg;
    strcat(t->text, "b");
}

static void on_post(void *arg) {
    struct trace *t = arg;
    strcat(t->text, "p");
}

static void simulated_loop_keeps_order(void **) {
    struct loop_sim sim;
    loop_sim_init(&sim);
    struct trace t = {.loop = &sim.loop, .a = {.fire = on_a, .arg = &t}, .b = {.fire = on_b, .arg = &t}};
    int64_t start = loop_now_ns(&sim.loop);
    loop_timer_start(&sim.loop, &t.a, 10 * NS_PER_MS);
    loop_timer_start(&sim.loop, &t.b, 20 * NS_PER_MS);
    assert_int_equal(loop_post(&sim.loop, on_post, &t), ERR_OK);
    loop_sim_run_until(&sim, start + 100 * NS_PER_MS);
    assert_string_equal(t.text, "pabaaa"); /* at 20 ms b was armed before a was armed again */
    assert_int_equal(loop_now_ns(&sim.loop), start + 100 * NS_PER_MS);
    loop_sim_finish(&sim);
}

struct uv_case {
    struct loop_uv *uv;
    struct loop_timer timer;
    _Atomic int posted;
    bool worked, done;
};

static void on_uv_post(void *arg) {
    struct uv_case *c = arg;
    c->posted++;
}

static void uv_work_fn(void *arg) {
    ((struct uv_case *)arg)->worked = true;
}

static void uv_done_fn(void *arg) {
    struct uv_case *c = arg;
    c->done = c->worked;
    loop_timer_start(loop_uv_loop(c->uv), &c->timer, 5 * NS_PER_MS);
}

static void on_uv_timer(void *arg) {
    loop_uv_stop(((struct uv_case *)arg)->uv);
}

static void *post_many(void *arg) {
    struct uv_case *c = arg;
    for (int i = 0; i < 1000; i++)
        while (loop_post(loop_uv_loop(c->uv), on_uv_post, c) != ERR_OK) {
        }
    return nullptr;
}

static void real_loop_posts_works_and_fires(void **) {
    struct uv_case c = {.timer = {.fire = on_uv_timer, .arg = &c}};
    struct err_info e;
    assert_int_equal(loop_uv_create(&c.uv, &e), ERR_OK);
    pthread_t t;
    pthread_create(&t, nullptr, post_many, &c);
    assert_int_equal(loop_work(loop_uv_loop(c.uv), uv_work_fn, uv_done_fn, &c), ERR_OK);
    loop_uv_run(c.uv);
    pthread_join(t, nullptr);
    assert_true(c.done);
    loop_uv_destroy(c.uv);
    assert_int_equal(c.posted, 1000);
}

static void messages_say_what_the_system_said(void **) {
    static const struct {
        int error_number;
        enum err err;
        int status;
    } CASES[] = {
        {EACCES, ERR_DENIED, 500},    {EROFS, ERR_DENIED, 500},    {ENOENT, ERR_NOT_FOUND, 404},
        {ENOMEM, ERR_NO_MEMORY, 500}, {EADDRINUSE, ERR_BUSY, 503}, {ENOSPC, ERR_STORAGE, 507},
        {EDQUOT, ERR_STORAGE, 507},   {EIO, ERR_IO, 500},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct err_info info = {.pointer = "/old"};
        assert_int_equal(err_set_errno(&info, CASES[i].error_number, "%s", "x"), CASES[i].err);
        assert_int_equal(info.code, CASES[i].err);
        assert_string_equal(info.pointer, "");
        assert_string_equal(info.message + 3, strerror(CASES[i].error_number));
        assert_int_equal(err_http_status(CASES[i].err), CASES[i].status);
        assert_true(err_title(CASES[i].err)[0] && err_name(CASES[i].err)[0]);
        assert_int_equal(err_set_errno(nullptr, CASES[i].error_number, "x"), CASES[i].err);
    }
    struct err_info info;
    char name[600];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = 0;
    assert_int_equal(err_set_errno(&info, EIO, "%s", name), ERR_IO);
    assert_int_equal(strlen(info.message), ERR_MESSAGE_MAX - 1);
    assert_int_equal(err_set_at(&info, ERR_INVALID, name, "m"), ERR_INVALID);
    assert_int_equal(strlen(info.pointer), ERR_POINTER_MAX - 1);
    assert_int_equal(err_set_at(nullptr, ERR_INVALID, "/x", "m"), ERR_INVALID);
}

static void buf_holds_any_bytes_and_is_reused(void **) {
    struct buf b = {};
    assert_true(buf_append(&b, "a\0b", 3));
    assert_int_equal(b.len, 3);
    for (int i = 0; i < 1000; i++)
        assert_true(buf_printf(&b, "%04d", i));
    assert_int_equal(b.len, 4003);
    assert_memory_equal(b.data, "a\0b00000001", 11);
    assert_string_equal(b.data + 3999, "0999");
    buf_consume(&b, 9999); /* more than there is */
    assert_int_equal(b.len, 0);
    assert_string_equal(b.data, "");
    assert_true(buf_append_str(&b, "again"));
    size_t n;
    char *text = buf_take(&b, &n);
    assert_string_equal(text, "again");
    assert_int_equal(n, 5);
    free(text);
    assert_null(b.data);
    b.max = 2;
    assert_false(buf_append_str(&b, "abc"));
    assert_null(buf_take(&b, &n)); /* half of a text is none */
    assert_false(buf_failed(&b));
    assert_true(buf_append_str(&b, "ab"));
    buf_clear(&b);
    assert_true(buf_append_str(&b, "cd")); /* max counts what is in it */
    assert_string_equal(b.data, "cd");
    buf_finish(&b);
    buf_finish(nullptr);
}

static void sums_and_draws(void **) {
    static const uint8_t ABC[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
                                  0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
                                  0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad}; /* FIPS 180-2, B.1 */
    uint8_t sum[CRYPTO_SHA256_SIZE];
    crypto_sha256(sum, "abc", 3);
    assert_memory_equal(sum, ABC, sizeof ABC);
    uint8_t a[32] = {}, b[32] = {};
    crypto_random(a, sizeof a);
    crypto_random(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    crypto_wipe(a, sizeof a);
    assert_memory_equal(a, ((uint8_t[32]){}), sizeof a);
    struct crypto_sign_key one, two;
    crypto_sign_key_make(&one);
    crypto_sign_key_make(&two);
    assert_memory_not_equal(one.secret_key, two.secret_key, sizeof one.secret_key);
    /* the secret half of Ed25519 ends with the public one: RFC 8032 */
    assert_memory_equal(one.secret_key + 32, one.public_key, sizeof one.public_key);
}

static void uids_of_long_seeds_differ(void **) {
    char seed[3000], a[UID_SIZE], b[UID_SIZE];
    memset(seed, 's', sizeof seed);
    const size_t lengths[] = {0, 1, 1023, 1024, 1025, sizeof seed};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        uid_reproducible(a, UID_TAG_ENDPOINT, seed, lengths[i]);
        assert_true(uid_is_valid(a));
        for (size_t k = 0; k < i; k++) {
            uid_reproducible(b, UID_TAG_ENDPOINT, seed, lengths[k]);
            assert_string_not_equal(a, b);
        }
        uid_reproducible(b, UID_TAG_STREAM, seed, lengths[i]);
        assert_string_not_equal(a, b);
        uid_reproducible(b, UID_TAG_ENDPOINT, seed, lengths[i]);
        assert_string_equal(a, b);
    }
    /* every character turns up at every place: 36^-1 a draw, so 2000 draws miss one with less than 1e-20 */
    bool seen[UID_LEN][128] = {};
    for (int i = 0; i < 2000; i++) {
        uid_random(a);
        for (size_t k = 0; k < UID_LEN; k++)
            seen[k][(unsigned char)a[k]] = true;
    }
    for (size_t k = 0; k < UID_LEN; k++)
        for (const char *c = k % 7 == 6 ? "-" : "abcdefghijklmnopqrstuvwxyz0123456789"; *c; c++)
            assert_true(seen[k][(unsigned char)*c]);
}

static void clocks_go_forward_or_stand(void **) {
    const struct clock *system = clock_system();
    int64_t before = clock_now_ns(system);
    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_now_ns(system);
        assert_true(now >= before);
        before = now;
    }
    assert_true(clock_wall_ns(system) > 1'700'000'000 * NS_PER_S); /* this was written later */
    struct clock_virtual v;
    clock_virtual_init(&v, 5, 1000);
    assert_int_equal(clock_now_ns(&v.clock), 5);
    assert_int_equal(clock_wall_ns(&v.clock), 1005);
    v.now_ns += 7;
    assert_int_equal(clock_now_ns(&v.clock), 12);
    assert_int_equal(clock_wall_ns(&v.clock), 1012);
    char text[CLOCK_TEXT_SIZE];
    clock_format(text, 0);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    clock_format(text, 4'107'542'400LL * NS_PER_S - 1); /* cut, not rounded into the next century */
    assert_string_equal(text, "2100-02-28T23:59:59.999Z");
}

static void ring_wraps_skips_and_is_never_overfilled(void **) {
    struct ring r;
    assert_true(ring_init(&r, 3, 5)); /* 8: the next power of two */
    unsigned char in[30], out[30], written = 0, read = 0;
    assert_int_equal(ring_writable(&r), 8);
    assert_int_equal(ring_read(&r, out, 1), 0);
    for (int step = 0; step < 1000; step++) {
        size_t n = (size_t)(step * 7 % 10);
        for (size_t i = 0; i < n; i++)
            memset(in + 3 * i, written + (int)i, 3);
        size_t room = ring_writable(&r);
        size_t done = ring_write(&r, in, n);
        assert_int_equal(done, n < room ? n : room);
        written = (unsigned char)(written + done);
        assert_int_equal(ring_readable(&r), (unsigned char)(written - read));
        if (step % 5 == 4)
            read = (unsigned char)(read + ring_skip(&r, 2));
        size_t got = ring_read(&r, out, (size_t)(step * 5 % 9));
        for (size_t i = 0; i < 3 * got; i++)
            assert_int_equal(out[i], (unsigned char)(read + i / 3));
        read = (unsigned char)(read + got);
        assert_int_equal(ring_readable(&r) + ring_writable(&r), 8);
    }
    ring_skip(&r, 100);
    assert_int_equal(ring_readable(&r), 0);
    ring_finish(&r);
    ring_finish(&r);
    ring_finish(nullptr);
}

static void map_replaces_and_forgets(void **) {
    struct map m = {};
    int one, two;
    assert_null(map_get(&m, "a"));
    assert_null(map_remove(&m, "a"));
    char key[] = "key";
    assert_true(map_put(&m, key, &one));
    key[0] = 'K'; /* the map has a copy */
    assert_ptr_equal(map_get(&m, "key"), &one);
    assert_true(map_put(&m, "key", &two));
    assert_int_equal(m.n, 1);
    assert_ptr_equal(map_get(&m, "key"), &two);
    assert_true(map_put(&m, "", &one));
    assert_ptr_equal(map_get(&m, ""), &one);
    assert_ptr_equal(map_remove(&m, "key"), &two);
    assert_null(map_get(&m, "key"));
    assert_int_equal(m.n, 1);
    map_finish(&m);
    assert_null(map_get(&m, ""));
    map_finish(&m);
}

int main(void) {
    if (crypto_init(nullptr))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_message_is_cut_at_a_character),
        cmocka_unit_test(buf_grows_and_keeps_its_max),
        cmocka_unit_test(log_quotes_what_could_forge_a_line),
        cmocka_unit_test(list_survives_removal_while_walking),
        cmocka_unit_test(map_agrees_with_an_array),
        cmocka_unit_test(uids_match_the_published_vectors),
        cmocka_unit_test(clock_prints_milliseconds),
        cmocka_unit_test(ring_keeps_order_between_threads),
        cmocka_unit_test(simulated_loop_keeps_order),
        cmocka_unit_test(real_loop_posts_works_and_fires),
        cmocka_unit_test(messages_say_what_the_system_said),
        cmocka_unit_test(buf_holds_any_bytes_and_is_reused),
        cmocka_unit_test(sums_and_draws),
        cmocka_unit_test(uids_of_long_seeds_differ),
        cmocka_unit_test(clocks_go_forward_or_stand),
        cmocka_unit_test(ring_wraps_skips_and_is_never_overfilled),
        cmocka_unit_test(map_replaces_and_forgets),
    };
    return cmocka_run_group_tests_name("base", tests, nullptr, nullptr);
}
