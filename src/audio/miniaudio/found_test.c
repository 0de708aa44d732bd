/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "audio/miniaudio/found.h"
#include "model_gen.h"

/* What was told, in order: "+a" new or changed, "-a" gone. */
struct told {
    char text[512];
};

static void add(struct told *told, char sign, const char *name) {
    size_t len = strlen(told->text);
    snprintf(told->text + len, sizeof told->text - len, "%c%s ", sign, name);
}

static void on_device(void *arg, const struct audio_device *device) {
    assert_null(device->uid);
    assert_false(device->has_volume);
    add(arg, '+', device->system_name);
}

static void on_gone(void *arg, const struct audio_device *device) {
    assert_int_equal(device->failure.code, ERR_OK);
    add(arg, '-', device->system_name);
}

static const struct audio_watcher WATCHER = {.device = on_device, .device_gone = on_gone};

static struct found_device device(const char *name) {
    struct found_device d = {.kind = ENDPOINT_KIND_DEVICE, .direction = AUDIO_OUTPUT, .format = {48000, 2}};
    snprintf(d.system_name, sizeof d.system_name, "%s", name);
    snprintf(d.display_name, sizeof d.display_name, "The %s", name);
    return d;
}

static void list(struct found *found, const char *names) {
    for (const char *p = names; *p; p++) {
        struct found_device d = device((char[]){*p, 0});
        assert_true(found_add(found, &d));
    }
}

static void expect(struct found *known, const char *names, const char *told) {
    struct found now = {};
    struct told t = {};
    list(&now, names);
    found_update(known, &now, &WATCHER, &t);
    assert_string_equal(t.text, told);
    assert_int_equal(now.n, 0);
}

static void only_differences_are_told(void **) {
    struct found known = {};
    expect(&known, "", "");
    expect(&known, "ab", "+a +b ");
    expect(&known, "ab", "");
    expect(&known, "ba", ""); /* the order says nothing */
    expect(&known, "cb", "-a +c ");
    expect(&known, "", "-c -b ");
    expect(&known, "a", "+a ");
    found_finish(&known);
}

static void every_change_is_told(void **) {
    struct found known = {};
    expect(&known, "abcdef", "+a +b +c +d +e +f ");
    struct found now = {};
    list(&now, "abcdef");
    now.devices[0].format.rate_hz = 44100;
    now.devices[1].is_default = true;
    snprintf(now.devices[2].display_name, sizeof now.devices[2].display_name, "Other");
    (void)err_set(&now.devices[3].failure, ERR_BUSY, "in use");
    now.devices[4].format.n_channels = 1;
    struct told t = {};
    found_update(&known, &now, &WATCHER, &t);
    assert_string_equal(t.text, "+a +b +c +d +e ");
    expect(&known, "abcdef", "+a +b +c +d +e "); /* and back */
    found_finish(&known);
}

static void a_list_has_an_end_and_no_name_twice(void **) {
    struct found found = {};
    list(&found, "aa");
    assert_int_equal(found.n, 1);
    for (size_t i = 1; i < FOUND_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%zu", i);
        struct found_device d = device(name);
        assert_true(found_add(&found, &d));
    }
    struct found_device d = device("one more");
    assert_false(found_add(&found, &d));
    assert_int_equal(found.n, FOUND_MAX);
    found_finish(&found);
}

static void names_for_people_are_cut_between_characters(void **) {
    char name[FOUND_DISPLAY_NAME_SIZE], from[200] = "";
    found_copy_name(name, "USB\tAudio\n");
    assert_string_equal(name, "USB Audio ");
    for (size_t i = 0; i < 130; i++)
        from[i] = 'x';
    found_copy_name(name, from);
    assert_int_equal(strlen(name), 128);
    memcpy(from + 127, "ö", 2);
    found_copy_name(name, from);
    assert_int_equal(strlen(name), 127);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_differences_are_told),
        cmocka_unit_test(every_change_is_told),
        cmocka_unit_test(a_list_has_an_end_and_no_name_twice),
        cmocka_unit_test(names_for_people_are_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
