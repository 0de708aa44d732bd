/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "audio/pipewire/news.h"
#include "base/buf.h"
#include "base/loop_sim.h"

/*
 * What the core is told is written down as "+name volume", "-name", "driver ok", in order.
 */

struct world {
    struct loop_sim sim;
    struct audio_host host;
    struct news *news;
    struct buf told;
};

static void on_device(void *arg, const struct audio_device *d) {
    struct world *w = arg;
    buf_printf(&w->told, "+%s%s%s %g%s; ", d->system_name, d->uid ? " of " : "", d->uid ? d->uid : "", d->volume,
               d->has_returned ? " again" : "");
}

static void on_gone(void *arg, const struct audio_device *d) {
    buf_printf(&((struct world *)arg)->told, "-%s; ", d->system_name);
}

static void on_driver(void *arg, const struct err_info *failure) {
    buf_printf(&((struct world *)arg)->told, "driver %s; ", err_name(failure->code));
}

static const struct audio_watcher WATCHER = {.device = on_device, .device_gone = on_gone, .driver = on_driver};

static struct news_device device(const char *name, double volume) {
    struct news_device d = {.volume = volume};
    snprintf(d.system_name, sizeof d.system_name, "%s", name);
    return d;
}

static void say(struct world *w, const char *name, double volume) {
    struct news_device d = device(name, volume);
    news_say_device(w->news, &d);
}

static void say_gone(struct world *w, const char *name) {
    struct news_device d = device(name, 0);
    news_say_gone(w->news, &d);
}

static void say_driver(struct world *w, enum err code) {
    news_say_driver(w->news, &(struct err_info){.code = code});
}

/* The core gets its turn. */
static void assert_told(struct world *w, const char *expected) {
    loop_sim_settle(&w->sim);
    assert_string_equal(w->told.data ? w->told.data : "", expected);
    buf_clear(&w->told);
}

static int set_up(void **state) {
    static struct world world;
    world = (struct world){};
    loop_sim_init(&world.sim);
    world.host = (struct audio_host){.loop = &world.sim.loop};
    world.news = news_create(&world.host);
    news_watch(world.news, &WATCHER, &world);
    *state = &world;
    return world.news ? 0 : -1;
}

static int tear_down(void **state) {
    struct world *w = *state;
    news_destroy(w->news);
    loop_sim_settle(&w->sim);
    buf_finish(&w->told);
    loop_sim_finish(&w->sim);
    return 0;
}

static void test_in_order(void **state) {
    struct world *w = *state;
    say_driver(w, ERR_OK);
    say(w, "a", 1);
    say(w, "b", 1);
    assert_told(w, "driver ok; +a 1; +b 1; ");
    say_gone(w, "a");
    say(w, "b", 0.5);
    assert_told(w, "-a; +b 0.5; ");
}

static void test_the_last_of_many_changes(void **state) {
    struct world *w = *state;
    for (int i = 0; i < 1000; i++)
        say(w, "a", i);
    say(w, "b", 1);
    say(w, "a", 7);
    assert_told(w, "+b 1; +a 7; ");
}

static void test_who_came_and_went_is_not_heard_of(void **state) {
    struct world *w = *state;
    for (int i = 0; i < 1000; i++) {
        say(w, "a", 1);
        say_gone(w, "a");
    }
    say_gone(w, "never");
    assert_told(w, "");
    say(w, "a", 1);
    assert_told(w, "+a 1; ");
}

static void test_who_went_and_came_is_a_change(void **state) {
    struct world *w = *state;
    say(w, "a", 1);
    assert_told(w, "+a 1; ");
    say_gone(w, "a");
    say(w, "a", 2);
    say(w, "a", 2.5);
    assert_told(w, "+a 2.5 again; "); /* what was set at it is to be set once more */
    say(w, "a", 2);
    assert_told(w, "+a 2; ");
    say_gone(w, "a");
    say(w, "a", 3);
    say_gone(w, "a"); /* the core knows it: it must hear that it went */
    assert_told(w, "-a; ");
    say_gone(w, "a");
    assert_told(w, "");
}

static void test_all_go_before_the_driver_does(void **state) {
    struct world *w = *state;
    say_driver(w, ERR_OK);
    say(w, "a", 1);
    assert_told(w, "driver ok; +a 1; ");
    say_gone(w, "a");
    say_driver(w, ERR_UNAVAILABLE);
    assert_told(w, "-a; driver unavailable; ");
    say_driver(w, ERR_OK);
    say_driver(w, ERR_UNAVAILABLE);
    assert_told(w, "driver unavailable; ");
}

static void test_exposed_ones_are_told_apart_by_uid(void **state) {
    struct world *w = *state;
    struct news_device mine = device("rocd.x", 1), theirs = device("rocd.x", 2);
    snprintf(mine.uid, sizeof mine.uid, "aaaaaa-bbbbbb-cccccc");
    news_say_device(w->news, &mine);
    news_say_device(w->news, &theirs);
    assert_told(w, "+rocd.x of aaaaaa-bbbbbb-cccccc 1; +rocd.x 2; ");
    news_say_device(w->news, &mine);
    news_forget(w->news, mine.uid);
    assert_told(w, "");
    news_say_gone(w->news, &mine);
    assert_told(w, "");
}

static void test_destroyed_before_the_core_had_its_turn(void **state) {
    struct world *w = *state;
    say(w, "a", 1);
    news_destroy(w->news);
    assert_told(w, "");
    w->news = nullptr;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_last_of_many_changes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_came_and_went_is_not_heard_of, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_went_and_came_is_a_change, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_all_go_before_the_driver_does, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_exposed_ones_are_told_apart_by_uid, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_destroyed_before_the_core_had_its_turn, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
