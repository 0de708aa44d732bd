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
    assert_string_equal(c.signaling.address, "0.0.0.0:4041");
    assert_string_equal(c.media.address, "0.0.0.0:4042");
    assert_int_equal(c.site.n_peers, 0);
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
                               "  level: trace\n"
                               "signaling: {address: '[::]:0'}\n"
                               "media:\n"
                               "  address: 192.0.2.1:4042\n";
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
    assert_string_equal(c.signaling.address, "[::]:0");
    assert_string_equal(c.media.address, "192.0.2.1:4042");
    assert_int_equal(c.site.n_peers, 0);
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
        {"signaling: {address: ''}", ERR_OK, ""},
        {"signaling: {address: '127.0.0.1:0'}", ERR_OK, ""},
        {"signaling: {address: '[fe80::1]:4041'}", ERR_OK, ""},
        {"signaling: {address: 'kitchen:4041'}", ERR_INVALID,
         "rocd.yaml:1:22: signaling.address: expected an address of this computer and a port such as 0.0.0.0:4041"},
        {"signaling: {address: '0.0.0.0'}", ERR_INVALID, "signaling.address: expected an address of this computer"},
        {"signaling: {address: '[0.0.0.0]:1'}", ERR_INVALID, "signaling.address: expected an address"},
        {"signaling: {address: '0.0.0.0:65536'}", ERR_INVALID, "signaling.address: expected an address"},
        {"media: {address: '[::]:0'}", ERR_OK, ""},
        {"media: {address: ':4042'}", ERR_INVALID,
         "rocd.yaml:1:18: media.address: expected an address of this computer and a port such as 0.0.0.0:4042"},
        {"media: {address: 'localhost:4042'}", ERR_INVALID, "media.address: expected an address of this computer"},
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
    assert_non_null(strstr(out.data, "\nlog.level          debug"));
    assert_non_null(strstr(out.data, "  rocd.yaml:2\n"));
    assert_non_null(strstr(out.data, "  --state-dir\n"));
    assert_non_null(strstr(out.data, "  default\n"));
    buf_finish(&out);
    assert_int_equal(config_set(&c, CONFIG_HTTP_ADDRESS, "here", &info), ERR_OK);
    assert_int_equal(config_check(&c, &info), ERR_INVALID);
    assert_int_equal(strncmp(info.message, "--addr: expected", 16), 0);
    assert_int_equal(config_set(&c, CONFIG_LOG_LEVEL, "shout", &info), ERR_INVALID);
    assert_int_equal(config_set(&c, CONFIG_HTTP_ADDRESS, "127.0.0.1:0", &info), ERR_OK);
    assert_int_equal(config_set(&c, CONFIG_SIGNALING_ADDRESS, "here", &info), ERR_OK);
    assert_int_equal(config_check(&c, &info), ERR_INVALID);
    assert_int_equal(strncmp(info.message, "--signaling: expected", 21), 0);
    config_finish(&c);
}

/* ---- the list of peers ---- */

#define ID_A "25njqam-cweflpv-kl73j4s-zahhiho-c4xt3kt-cgjnpai-ngr5yhk-enaan5g"
#define ID_B "hvabpq7-iioevve-vxbktu2-g36xsoj-qlgpf3c-jndgazv-k7ckxum-ygaly5n"

static void assert_source(const struct config_source *source, enum config_origin origin, int line, int column) {
    assert_int_equal(source->origin, origin);
    assert_int_equal(source->line, line);
    assert_int_equal(source->column, column);
}

static void peers_are_read(void **) {
    static const char TEXT[] = "site:\n"
                               "  peers:\n"
                               "    - id: " ID_A "\n"
                               "      address: kitchen:4041\n"
                               "      role: admin\n"
                               "    # the role of that one is the usual\n"
                               "    - {role: viewer, id: '" ID_B "'}\n"
                               "    - address: \"[::1]:5\"   # id: none\n"
                               "      id:\n"
                               "        not for us to judge\n"
                               "name: x\n";
    struct config c;
    struct err_info info = {};
    if (load(&c, TEXT, &info) != ERR_OK)
        fail_msg("%s", info.message);
    assert_int_equal(c.site.n_peers, 3);
    const struct config_peer *p = c.site.peers;
    assert_string_equal(p[0].id, ID_A);
    assert_string_equal(p[0].address, "kitchen:4041");
    assert_string_equal(p[0].role, "admin");
    assert_source(&p[0].sources[CONFIG_PEER_ID], CONFIG_ORIGIN_FILE, 3, 11);
    assert_source(&p[0].sources[CONFIG_PEER_ADDRESS], CONFIG_ORIGIN_FILE, 4, 16);
    assert_source(&p[0].sources[CONFIG_PEER_ROLE], CONFIG_ORIGIN_FILE, 5, 13);
    assert_string_equal(p[1].id, ID_B);
    assert_string_equal(p[1].address, "");
    assert_string_equal(p[1].role, "viewer");
    assert_source(&p[1].sources[CONFIG_PEER_ID], CONFIG_ORIGIN_FILE, 7, 26);
    assert_source(&p[1].sources[CONFIG_PEER_ADDRESS], CONFIG_ORIGIN_DEFAULT, 7, 7);
    assert_source(&p[1].sources[CONFIG_PEER_ROLE], CONFIG_ORIGIN_FILE, 7, 14);
    assert_string_equal(p[2].id, "not for us to judge");
    assert_string_equal(p[2].address, "[::1]:5");
    assert_string_equal(p[2].role, "operator");
    assert_int_equal(p[2].sources[CONFIG_PEER_ID].line, 9);
    assert_source(&p[2].sources[CONFIG_PEER_ROLE], CONFIG_ORIGIN_DEFAULT, 8, 7);

    char text[CONFIG_WHENCE_SIZE];
    const char *key;
    config_peer_whence(&c, 1, CONFIG_PEER_ID, text, &key);
    assert_string_equal(text, "rocd.yaml:7:26: site.peers[1].id");
    assert_string_equal(key, "site.peers[1].id");

    struct buf out = {};
    assert_true(config_print(&c, &out));
    assert_non_null(strstr(out.data, "\nsite.peers[0].id       " ID_A "  rocd.yaml:3\n"));
    assert_non_null(strstr(out.data, "\nsite.peers[1].address  \"\" "));
    assert_non_null(strstr(out.data, "\nsite.peers[2].role     operator "));
    buf_finish(&out);
    config_finish(&c);
}

static void no_peers_are_no_mistake(void **) {
    static const char *const TEXTS[] = {"site:\n", "site: {}\n", "site: {peers: []}\n", "site:\n  peers:\n"};
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        struct config c;
        struct err_info info = {};
        if (load(&c, TEXTS[i], &info) != ERR_OK)
            fail_msg("%zu: %s", i, info.message);
        assert_int_equal(c.site.n_peers, 0);
        config_finish(&c);
    }
}

static void what_is_wrong_with_peers_is_told(void **) {
    static const struct {
        const char *text, *message;
    } CASES[] = {
        {"site: {peers: 5}\n", "rocd.yaml:1:15: site.peers: expected a list, each item after a '-', found a value"},
        {"site: {peers: {id: x}}\n",
         "rocd.yaml:1:15: site.peers: expected a list, each item after a '-', found a mapping"},
        {"site: []\n", "rocd.yaml:1:7: site: expected settings below it, indented, found a list"},
        {"site:\n  peers:\n    - " ID_A "\n",
         "rocd.yaml:3:7: site.peers[0]: expected settings of an item as 'key: value', found a value"},
        {"site:\n  peers:\n    - {id: x}\n    - [x]\n",
         "rocd.yaml:4:7: site.peers[1]: expected settings of an item as 'key: value', found a list"},
        {"site:\n  peers:\n    - id: x\n    - id: [x]\n",
         "rocd.yaml:4:11: site.peers[1].id: expected one value, found a list"},
        {"site:\n  peers:\n    - id: x\n    - id: x\n      rol: viewer\n",
         "rocd.yaml:5:7: unknown key 'site.peers[1].rol': did you mean 'role'?"},
        {"site:\n  peers:\n    - id: x\n      name: y\n",
         "rocd.yaml:4:7: unknown key 'site.peers[0].name': see docs/config.md"},
        {"site:\n  peers:\n    - id: x\n      id: y\n",
         "rocd.yaml:4:7: the key 'site.peers[0].id' is given twice: remove one of them"},
        {"site:\n  peers:\n    - id: x\n  peers: []\n", "rocd.yaml:4:3: the key 'site.peers' is given twice"},
        {"site:\n  peer: []\n", "rocd.yaml:2:3: unknown key 'site.peer': did you mean 'site.peers'?"},
        {"peers: []\n", "rocd.yaml:1:1: unknown key 'peers': did you mean 'site.peers'?"},
        {"site:\n  peers:\n    - id: x\n    - role: admin\n",
         "rocd.yaml:4:7: site.peers[1].id is missing: every peer of the list needs one"},
        {"site:\n  peers:\n    - id: x\n    - {}\n", "site.peers[1].id is missing: every peer of the list needs one"},
        {"site:\n  peers:\n    - id: x\n    - id: role\n      role: root\n",
         "rocd.yaml:5:13: site.peers[1].role: expected one of viewer, operator, admin, found 'root'"},
        {"site:\n  peers:\n    - id: ''\n", "rocd.yaml:3:11: site.peers[0].id: expected a text of 1 to 128 bytes"},
        {"site:\n  peers:\n    - id: x\n      address: \"a\\tb\"\n",
         "rocd.yaml:4:16: site.peers[0].address: expected a text of 0 to 255 bytes without control characters"},
        {"site:\n  peers:\n    - &p {id: x}\n    - *p\n", "aliases (*name) are not allowed"},
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

static void a_site_is_not_endless(void **) {
    for (size_t n = CONFIG_PEERS_MAX; n <= CONFIG_PEERS_MAX + 1; n++) {
        struct buf text = {};
        buf_append_str(&text, "site:\n  peers:\n");
        for (size_t i = 0; i < n; i++)
            buf_printf(&text, "  - id: peer%zu\n    address: host%zu:1\n", i, i);
        struct config c;
        struct err_info info = {};
        enum err e = load(&c, text.data, &info);
        if (n == CONFIG_PEERS_MAX) {
            assert_int_equal(e, ERR_OK);
            assert_string_equal(c.site.peers[63].id, "peer63");
            assert_source(&c.site.peers[63].sources[CONFIG_PEER_ADDRESS], CONFIG_ORIGIN_FILE, 130, 14);
        } else {
            assert_int_equal(e, ERR_INVALID);
            assert_string_equal(info.pointer, "site.peers");
            assert_string_equal(info.message, "rocd.yaml:131:5: site.peers: has more items than the 64 there may be");
        }
        config_finish(&c);
        buf_finish(&text);
    }
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
        cmocka_unit_test(peers_are_read),
        cmocka_unit_test(no_peers_are_no_mistake),
        cmocka_unit_test(what_is_wrong_with_peers_is_told),
        cmocka_unit_test(a_site_is_not_endless),
        cmocka_unit_test(files_that_are_none),
        cmocka_unit_test(reference_page_follows_the_table),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
