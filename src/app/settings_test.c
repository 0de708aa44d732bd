/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/settings.h"
#include "rocd/rocd.h"

#define ID_A "25njqam-cweflpv-kl73j4s-zahhiho-c4xt3kt-cgjnpai-ngr5yhk-enaan5g"
#define ID_B "hvabpq7-iioevve-vxbktu2-g36xsoj-qlgpf3c-jndgazv-k7ckxum-ygaly5n"

struct fixture {
    char path[64];
};

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    snprintf(f->path, sizeof f->path, "/tmp/rocd-settings-XXXXXX");
    int fd = mkstemp(f->path);
    assert_true(fd >= 0);
    close(fd);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    unlink(f->path);
    free(f);
    return 0;
}

static void write_file(struct fixture *f, const char *text) {
    FILE *file = fopen(f->path, "w");
    assert_non_null(file);
    assert_int_equal(fputs(text, file) < 0, 0);
    assert_int_equal(fclose(file), 0);
}

static struct settings load(const struct rocd_options *options) {
    struct settings settings = {};
    struct err_info info = {};
    if (settings_load(options, &settings, &info) != ERR_OK)
        fail_msg("%s: %s", info.pointer, info.message);
    return settings;
}

static void test_options_over_file_over_defaults(void **state) {
    struct fixture *f = *state;
    write_file(f, "name: Attic\nstate_dir: /tmp/of-file\nhttp:\n  address: 127.0.0.1:5050\nlog:\n  level: debug\n");
    struct rocd_options options = {.size = sizeof options, .config_path = f->path, .state_dir = "/tmp/of-option"};
    struct settings s = load(&options);
    assert_string_equal(s.config.state_dir, "/tmp/of-option");
    assert_string_equal(s.config.name, "Attic");
    assert_string_equal(s.config.http.address, "127.0.0.1:5050");
    assert_int_equal(s.config.roc.port_min, 10000);
    assert_int_equal(s.log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(s.config.sources[CONFIG_STATE_DIR].origin, CONFIG_ORIGIN_FLAG);
    assert_int_equal(s.config.sources[CONFIG_NAME].origin, CONFIG_ORIGIN_FILE);
    assert_int_equal(s.config.sources[CONFIG_ROC_PORT_MIN].origin, CONFIG_ORIGIN_DEFAULT);
    settings_finish(&s);
    settings_finish(&s); /* accepts a zeroed one */
}

static void test_strings_are_copied(void **) {
    char dir[] = "/tmp/mine", address[] = "127.0.0.1:0";
    struct rocd_options options = {.size = sizeof options,
                                   .state_dir = dir,
                                   .http_address = address,
                                   .signaling_address = "",
                                   .media_address = address};
    struct settings s = load(&options);
    memset(dir, 'x', sizeof dir - 1);
    memset(address, 'x', sizeof address - 1);
    assert_string_equal(s.config.state_dir, "/tmp/mine");
    assert_string_equal(s.config.http.address, "127.0.0.1:0");
    assert_string_equal(s.config.signaling.address, "");
    assert_string_equal(s.config.media.address, "127.0.0.1:0");
    struct settings again = {};
    assert_int_equal(settings_reload(&s, &again, nullptr), ERR_OK);
    assert_string_equal(again.config.state_dir, "/tmp/mine");
    settings_finish(&s);
    settings_finish(&again);
}

static void test_every_level(void **) {
    static const enum log_level LEVELS[] = {[ROCD_LOG_ERROR] = LOG_LEVEL_ERROR,
                                            [ROCD_LOG_WARN] = LOG_LEVEL_WARN,
                                            [ROCD_LOG_INFO] = LOG_LEVEL_INFO,
                                            [ROCD_LOG_DEBUG] = LOG_LEVEL_DEBUG,
                                            [ROCD_LOG_TRACE] = LOG_LEVEL_TRACE};
    for (int level = -1; level <= ROCD_LOG_TRACE + 1; level++) {
        struct rocd_options options = {.size = sizeof options, .log_level = level + 1};
        struct settings s = load(&options);
        bool is_known = level >= 0 && level <= ROCD_LOG_TRACE;
        assert_int_equal(s.log_level, is_known ? LEVELS[level] : LOG_LEVEL_INFO);
        settings_finish(&s);
    }
}

static void test_an_older_caller_is_told(void **) {
    struct rocd_options options = {.size = sizeof options - 1};
    struct settings s = {};
    struct err_info info = {};
    assert_int_equal(settings_load(&options, &s, &info), ERR_INVALID);
    assert_non_null(strstr(info.message, "sizeof(struct rocd_options)"));
    settings_finish(&s);
}

static void test_mistakes_are_named(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *file, *address, *word;
    } CASES[] = {
        {"nam: x\n", nullptr, "nam"},
        {"name: x\nname: y\n", nullptr, "2"}, /* the line */
        {"roc:\n  port_min: many\n", nullptr, "port_min"},
        {"roc:\n  port_min: 2000\n  port_max: 1000\n", nullptr, "port_m"},
        {"", "192.0.2.1:4040", "loopback"},
        {"", "127.0.0.1", "port"},
        {"signaling:\n  address: kitchen:4041\n", nullptr, ":2:12: signaling.address"},
        {"site:\n  peers:\n    - id: kitchen\n", nullptr, ":3:11: site.peers[0].id"},
        {"site:\n  peers:\n    - id: " ID_A "\n      role: boss\n", nullptr, ":4:13: site.peers[0].role"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        write_file(f, CASES[i].file);
        struct rocd_options options = {
            .size = sizeof options, .config_path = f->path, .http_address = CASES[i].address};
        struct settings s = {};
        struct err_info info = {};
        if (settings_load(&options, &s, &info) == ERR_OK)
            fail_msg("case %zu is accepted", i);
        if (!strstr(info.message, CASES[i].word))
            fail_msg("case %zu: '%s' says nothing of '%s'", i, info.message, CASES[i].word);
        settings_finish(&s);
    }
}

static void test_reload_reads_the_file_and_keeps_the_options(void **state) {
    struct fixture *f = *state;
    write_file(f, "name: Attic\nlog:\n  level: info\n");
    struct rocd_options options = {.size = sizeof options, .config_path = f->path, .state_dir = "/tmp/of-option"};
    struct settings before = load(&options), after = {};
    write_file(f, "name: Attic\nstate_dir: /tmp/of-file\nlog:\n  level: warn\n");
    assert_int_equal(settings_reload(&before, &after, nullptr), ERR_OK);
    assert_int_equal(after.log_level, LOG_LEVEL_WARN);
    assert_string_equal(after.config.state_dir, "/tmp/of-option");
    assert_false(settings_need_restart(&before, &after));
    settings_finish(&after);
    write_file(f, "name: [\n");
    struct err_info info = {};
    assert_int_not_equal(settings_reload(&before, &after, &info), ERR_OK);
    assert_true(strlen(info.message) > 0);
    assert_string_equal(before.config.name, "Attic"); /* it goes on with what it had */
    settings_finish(&after);
    settings_finish(&before);
}

static void test_what_needs_a_restart(void **state) {
    struct fixture *f = *state;
    static const char *const FILES[] = {"name: x\n",
                                        "state_dir: /tmp/x\n",
                                        "media_dir: /tmp/x\n",
                                        "http: {address: '127.0.0.1:5050'}\n",
                                        "http: {socket: /tmp/x}\n",
                                        "audio: {driver: tone}\n",
                                        "audio: {threads: 3}\n",
                                        "audio: {realtime: false}\n",
                                        "roc: {port_min: 10001}\n",
                                        "roc: {port_max: 10998}\n",
                                        "signaling: {address: '0.0.0.0:0'}\n",
                                        "signaling: {address: ''}\n",
                                        "media: {address: '0.0.0.0:0'}\n",
                                        "site: {peers: [{id: " ID_B "}]}\n",
                                        "site: {peers: [{id: " ID_A ", role: viewer}]}\n",
                                        "site: {peers: [{id: " ID_A ", address: 'x:1'}]}\n",
                                        "site: {peers: [{id: " ID_A "}, {id: " ID_B "}]}\n"};
    write_file(f, "site: {peers: [{id: " ID_A "}]}\n");
    struct rocd_options options = {.size = sizeof options, .config_path = f->path};
    struct settings before = load(&options);
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        write_file(f, FILES[i]);
        struct settings after = {};
        struct err_info info = {};
        if (settings_reload(&before, &after, &info) != ERR_OK)
            fail_msg("%s: %s", FILES[i], info.message);
        if (!settings_need_restart(&before, &after))
            fail_msg("%s is not seen", FILES[i]);
        assert_false(settings_need_restart(&after, &after));
        settings_finish(&after);
    }
    settings_finish(&before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_options_over_file_over_defaults, set_up, tear_down),
        cmocka_unit_test(test_strings_are_copied),
        cmocka_unit_test(test_every_level),
        cmocka_unit_test(test_an_older_caller_is_told),
        cmocka_unit_test_setup_teardown(test_mistakes_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reload_reads_the_file_and_keeps_the_options, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_needs_a_restart, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
