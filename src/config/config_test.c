/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "config/config.h"

static enum err load(struct config *c, const char *text, struct err_info *info) {
    assert_int_equal(config_defaults(c, info), ERR_OK);
    return config_load_text(c, "rocd.yaml", text, strlen(text), info);
}

static void defaults_are_valid(void **) {
    struct config c;
    struct err_info info;
    assert_int_equal(load(&c, "", &info), ERR_OK);
    assert_string_equal(c.http.address, "127.0.0.1:4040");
    assert_string_equal(c.audio.driver, "auto");
    assert_true(c.audio.realtime);
    assert_int_equal(c.roc.port_min, 10000);
    assert_string_equal(c.log.level, "info");
    assert_true(c.name[0] && c.state_dir[0] == '/' && c.media_dir[0] == '/');
    assert_int_equal(config_check(&c, &info), ERR_OK);
    config_finish(&c);
    config_finish(&c);
    config_finish(nullptr);
}

static void every_key_is_read(void **) {
    static const char TEXT[] = "# all of them\n"
                               "---\n"
                               "name: \"Küche\"\n"
                               "state_dir: /s\n"
                               "media_dir: /m\n"
                               "http:\n"
                               "  address: '[::1]:0'\n"
                               "  socket: ''\n"
                               "audio: {driver: none, threads: 3, realtime: false}\n"
                               "roc:\n"
                               "  port_min: 20000\n"
                               "  port_max: 20002\n"
                               "log:\n"
                               "  level: trace\n";
    struct config c;
    struct err_info info = {};
    enum err e = load(&c, TEXT, &info);
    assert_string_equal(info.message, "");
    assert_int_equal(e, ERR_OK);
    assert_string_equal(c.name, "Küche");
    assert_string_equal(c.state_dir, "/s");
    assert_string_equal(c.media_dir, "/m");
    assert_string_equal(c.http.address, "[::1]:0");
    assert_string_equal(c.http.socket, "");
    assert_string_equal(c.audio.driver, "none");
    assert_int_equal(c.audio.threads, 3);
    assert_false(c.audio.realtime);
    assert_int_equal(c.roc.port_min, 20000);
    assert_int_equal(c.roc.port_max, 20002);
    assert_string_equal(c.log.level, "trace");
    assert_int_equal(config_check(&c, &info), ERR_OK);
    for (int key = 0; key < CONFIG_N_KEYS; key++)
        assert_int_equal(c.sources[key].origin, CONFIG_ORIGIN_FILE);
    assert_int_equal(c.sources[CONFIG_AUDIO_THREADS].line, 9);
    assert_int_equal(c.sources[CONFIG_AUDIO_THREADS].column, 32);
    config_finish(&c);
}

static void what_is_wrong_is_told(void **) {
    static const struct {
        const char *text, *message;
    } CASES[] = {
        {"nam: x\n", "rocd.yaml:1:1: unknown key 'nam': did you mean 'name'?"},
        {"name: foo\nfoo: b\n", "rocd.yaml:2:1: unknown key 'foo': see docs/config.md"},
        {"http:\n  address: 127.0.0.1:1\n  # port: no\n  \"port\": 3\n",
         "rocd.yaml:4:4: unknown key 'http.port': did you mean 'roc.port_min'?"},
        {"http: {bogus: {a: {b: [c]}}}\n", "rocd.yaml:1:8: unknown key 'http.bogus'"},
        {"address: x\n", "rocd.yaml:1:1: unknown key 'address': did you mean 'http.address'?"},
        {"name: a\nname: b\n", "rocd.yaml:2:1: the key 'name' is given twice"},
        {"log:\n  level: info\nhttp:\nlog:\n  level: warn\n", "rocd.yaml:4:1: the key 'log' is given twice"},
        {"log: {level: info,\n  level: warn}", "rocd.yaml:2:3: the key 'log.level' is given twice"},
        {"name: [a]\n", "rocd.yaml:1:7: name: expected one value, found a list"},
        {"roc:\n  port_min: {a: b}\n", "rocd.yaml:2:13: roc.port_min: expected one value, found a mapping"},
        {"http: 5\n", "rocd.yaml:1:7: http: expected settings below it, indented, found a value"},
        {"- a\n", "rocd.yaml:1:1: expected settings as 'key: value', found a list"},
        {"just text\n", "rocd.yaml:1:1: expected settings as 'key: value', found a value"},
        {"audio:\n  threads: many\n",
         "rocd.yaml:2:12: audio.threads: expected a whole number from 0 to 64, found 'many'"},
        {"audio:\n  threads: 65\n", "rocd.yaml:2:12: audio.threads: expected a whole number from 0 to 64, found '65'"},
        {"audio:\n  threads: -1\n", "audio.threads: expected a whole number from 0 to 64, found '-1'"},
        {"audio:\n  threads: 99999999999999999999\n", "audio.threads: expected a whole number from 0 to 64"},
        {"audio:\n  threads: 1.5\n", "audio.threads: expected a whole number"},
        {"audio:\n  threads:\n", "audio.threads: expected a whole number from 0 to 64, found ''"},
        {"audio: {realtime: maybe}\n", "rocd.yaml:1:19: audio.realtime: expected true or false, found 'maybe'"},
        {"log: {level: loud}\n",
         "rocd.yaml:1:14: log.level: expected one of error, warn, info, debug, trace, found 'loud'"},
        {"name: \"\"\n", "rocd.yaml:1:7: name: expected a text of 1 to 128 bytes"},
        {"name: \"a\\nb\"\n", "name: expected a text of 1 to 128 bytes without control characters"},
        {"name: &x a\nstate_dir: *x\n", "rocd.yaml:2:1: aliases (*name) are not allowed"},
        {"name: a\n---\nname: b\n", "rocd.yaml: holds more than one document"},
        {"name: a\n\tlog: x\n", "rocd.yaml:2:1: this is not YAML"},
        {"name: ok\nmedia_dir: /m\nstate_dir: \"abc\nlog:\n  level: info\n", "rocd.yaml:3:1: this is not YAML"},
        {"name: a\nlog: {level: info\nhttp:\n", "this is not YAML"},
        {"name: a\x01z\n", "rocd.yaml:1:1: this is not YAML"},
        {"? {a: b}\n: c\n", "rocd.yaml:1:1: not understood"},
        {"a: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "rocd.yaml:1:1: unknown key 'a'"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct config c;
        struct err_info info = {};
        enum err e = load(&c, CASES[i].text, &info);
        if (e != ERR_INVALID || !strstr(info.message, CASES[i].message))
            fail_msg("case %zu: want \"%s\", got %s \"%s\"", i, CASES[i].message, err_name(e), info.message);
        config_finish(&c);
    }
}

static void meaning_is_checked(void **) {
    static const struct {
        const char *text;
        enum err code;
        const char *message;
    } CASES[] = {
        {"http: {address: 'nonsense'}", ERR_INVALID, "rocd.yaml:1:17: http.address: expected host:port"},
        {"http: {address: '127.0.0.1:70000'}", ERR_INVALID, "expected host:port"},
        {"http: {address: '127.0.0.1:'}", ERR_INVALID, "expected host:port"},
        {"http: {address: '::1:80'}", ERR_INVALID, "expected host:port"},
        {"http: {address: ':80'}", ERR_INVALID, "expected host:port"},
        {"http: {address: '0.0.0.0:4040'}", ERR_UNSUPPORTED, "TLS and tokens, which are not built yet"},
        {"http: {address: '192.0.2.1:4040'}", ERR_UNSUPPORTED, "is not a loopback address"},
        {"http: {address: '[2001:db8::1]:4040'}", ERR_UNSUPPORTED, "is not a loopback address"},
        {"http: {address: 'localhost:4040'}", ERR_OK, ""},
        {"http: {address: '127.1.2.3:0'}", ERR_OK, ""},
        {"http: {address: ''}", ERR_OK, ""},
        {"http: {address: '', socket: ''}", ERR_INVALID, "neither an address nor a socket"},
        {"roc: {port_min: 11000}", ERR_INVALID, "rocd.yaml:1:17: roc.port_min: a stream needs three ports"},
        {"roc:\n  port_max: 10001", ERR_INVALID, "rocd.yaml:2:13: roc.port_max: a stream needs three ports"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct config c;
        struct err_info info = {};
        assert_int_equal(load(&c, CASES[i].text, &info), ERR_OK);
        enum err e = config_check(&c, &info);
        if (e != CASES[i].code || !strstr(info.message, CASES[i].message))
            fail_msg("case %zu: got %s \"%s\"", i, err_name(e), info.message);
        config_finish(&c);
    }
}

static void flags_win_and_sources_are_told(void **) {
    struct config c;
    struct err_info info;
    assert_int_equal(config_defaults(&c, &info), ERR_OK);
    assert_int_equal(config_set(&c, CONFIG_LOG_LEVEL, "debug", &info), ERR_OK);
    static const char TEXT[] = "log: {level: error}\nname: x\n";
    assert_int_equal(config_load_text(&c, "rocd.yaml", TEXT, strlen(TEXT), &info), ERR_OK);
    assert_int_equal(config_set(&c, CONFIG_STATE_DIR, "/tmp/one", &info), ERR_OK);
    assert_string_equal(c.log.level, "debug");
    assert_string_equal(c.http.socket, "/tmp/one/rocd.sock");
    struct buf out = {};
    assert_true(config_print(&c, &out));
    assert_non_null(strstr(out.data, "\nlog.level       debug"));
    assert_non_null(strstr(out.data, "  rocd.yaml:2\n"));
    assert_non_null(strstr(out.data, "  --state-dir\n"));
    assert_non_null(strstr(out.data, "  default\n"));
    buf_finish(&out);
    assert_int_equal(config_set(&c, CONFIG_HTTP_ADDRESS, "here", &info), ERR_OK);
    assert_int_equal(config_check(&c, &info), ERR_INVALID);
    assert_int_equal(strncmp(info.message, "--addr: expected", 16), 0);
    assert_int_equal(config_set(&c, CONFIG_LOG_LEVEL, "shout", &info), ERR_INVALID);
    config_finish(&c);
}

static void files_that_are_none(void **) {
    struct config c;
    struct err_info info;
    assert_int_equal(config_defaults(&c, &info), ERR_OK);
    assert_int_equal(config_load(&c, "/nonexistent/rocd.yaml", &info), ERR_NOT_FOUND);
    assert_int_equal(config_load(&c, "/tmp", &info), ERR_INVALID);
    char path[] = "/tmp/rocd-config-XXXXXX";
    int fd = mkstemp(path);
    static char big[CONFIG_FILE_MAX + 10];
    memset(big, '#', sizeof big);
    assert_int_equal(write(fd, big, sizeof big), sizeof big);
    assert_int_equal(config_load(&c, path, &info), ERR_TOO_LARGE);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(pwrite(fd, "name: y\n", 8, 0), 8);
    assert_int_equal(config_load(&c, path, &info), ERR_OK);
    assert_string_equal(c.name, "y");
    close(fd);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(config_load(&c, path, &info), ERR_INVALID);
    unlink(path);
    config_finish(&c);
}

static void reference_page_follows_the_table(void **) {
    struct buf want = {};
    assert_true(config_reference(&want));
    if (getenv("ROCD_UPDATE_DOCS")) {
        FILE *f = fopen(DOCS_CONFIG_MD, "w");
        assert_non_null(f);
        fwrite(want.data, 1, want.len, f);
        fclose(f);
    }
    FILE *f = fopen(DOCS_CONFIG_MD, "r");
    assert_non_null(f);
    char *have = calloc(1, want.len + 2);
    size_t n = fread(have, 1, want.len + 1, f);
    fclose(f);
    if (n != want.len || memcmp(have, want.data, n))
        fail_msg("docs/config.md is not what src/config/schema.c says: run this test with ROCD_UPDATE_DOCS=1");
    free(have);
    buf_finish(&want);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_valid),
        cmocka_unit_test(every_key_is_read),
        cmocka_unit_test(what_is_wrong_is_told),
        cmocka_unit_test(meaning_is_checked),
        cmocka_unit_test(flags_win_and_sources_are_told),
        cmocka_unit_test(files_that_are_none),
        cmocka_unit_test(reference_page_follows_the_table),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
