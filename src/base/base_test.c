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

int main(void) {
    if (crypto_init(nullptr))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_message_is_cut_at_a_character),  cmocka_unit_test(buf_grows_and_keeps_its_max),
        cmocka_unit_test(log_quotes_what_could_forge_a_line), cmocka_unit_test(list_survives_removal_while_walking),
        cmocka_unit_test(map_agrees_with_an_array),           cmocka_unit_test(uids_match_the_published_vectors),
        cmocka_unit_test(clock_prints_milliseconds),          cmocka_unit_test(ring_keeps_order_between_threads),
        cmocka_unit_test(simulated_loop_keeps_order),         cmocka_unit_test(real_loop_posts_works_and_fires),
    };
    return cmocka_run_group_tests_name("base", tests, nullptr, nullptr);
}
