/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/json.h"

/* The text lies at the end of a block of its own, so that the sanitizer sees a look behind it. */
static enum err parse(const char *text, size_t length, const struct json_limits *limits, struct err_info *reterr) {
    char *copy = malloc(length ? length : 1);
    assert_non_null(copy);
    memcpy(copy, text, length);
    yyjson_doc *doc = nullptr;
    enum err err = json_parse(copy, length, limits, &doc, reterr);
    free(copy); /* the document has a copy of its own */
    assert_int_equal(err == ERR_OK, doc != nullptr);
    if (doc) {
        size_t n;
        char *again = yyjson_write(doc, YYJSON_WRITE_NOFLAG, &n);
        assert_non_null(again);
        free(again);
    }
    yyjson_doc_free(doc);
    return err;
}

static void strict_json_is_read(void **) {
    static const char *const GOOD[] = {
        "{}",
        "[]",
        " \t\r\n1 ",
        "null",
        "\"\"",
        "\"\\u0000\"",
        "{\"a\":1,\"a\":2}",
        "[1,-0,1e3,0.5,18446744073709551615]",
        "\"\\ud83d\\ude00\"",
        "\"ü€\U0001F600\"",
        "\"{[\\\"]}\"",
    };
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
        struct err_info info = {};
        if (parse(GOOD[i], strlen(GOOD[i]), &JSON_LIMITS, &info) != ERR_OK)
            fail_msg("%s: %s", GOOD[i], info.message);
    }
}

static void anything_else_is_refused_with_its_place(void **) {
    static const struct {
        const char *text, *part;
    } BAD[] = {
        {"", "the text is empty"},
        {"  ", "not JSON at line 1, column "},
        {"{", "line 1, column 2"},
        {"{\n  \"a\": 1,\n  \"b\" 2}", "line 3, column 7"},
        {"[1,]", "line 1, column "},
        {"{\"a\":1,}", "line 1, column "},
        {"[1] x", "line 1, column 5"},
        {"[1]\n[2]", "line 2, column 1"},
        {"/* no */ 1", "line 1, column 1"},
        {"'a'", "line 1, column 1"},
        {"NaN", "line 1, column 1"},
        {"[Infinity]", "line 1, column 2"},
        {"01", "line 1, column "},
        {"[+1]", "line 1, column 2"},
        {"[.5]", "line 1, column 2"},
        {"[1e999]", "line 1, column "},
        {"\"a\nb\"", "line "},
        {"\"\\x\"", "line 1, column "},
        {"\"\\ud83d\"", "line 1, column "},
        {"\"\xFF\"", "line 1, column "},
        {"\"\xC0\xAF\"", "line 1, column "},
        {"\"\xED\xA0\x80\"", "line 1, column "},
        {"\xEF\xBB\xBF{}", "line 1, column 1"}, /* a byte order mark: RFC 8259 lets us refuse it */
        {"\"open", "line 1, column "},
        {"\"open\\", "line 1, column "},
        {"]", "line 1, column 1"},
    };
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        struct err_info info = {};
        if (parse(BAD[i].text, strlen(BAD[i].text), &JSON_LIMITS, &info) != ERR_MALFORMED ||
            !strstr(info.message, BAD[i].part))
            fail_msg("%zu: %s: want '%s', got: %s", i, BAD[i].text, BAD[i].part, info.message);
        assert_int_equal(parse(BAD[i].text, strlen(BAD[i].text), &JSON_LIMITS, nullptr), ERR_MALFORMED);
    }
    /* NUL is not white space, wherever it stands */
    assert_int_equal(parse("1\0", 2, &JSON_LIMITS, nullptr), ERR_MALFORMED);
    assert_int_equal(parse("\0", 1, &JSON_LIMITS, nullptr), ERR_MALFORMED);
    assert_int_equal(parse("\"a\0b\"", 5, &JSON_LIMITS, nullptr), ERR_MALFORMED);
}

static void size_is_capped_to_the_byte(void **) {
    struct err_info info;
    const struct json_limits limits = {.max_bytes = 4, .max_depth = 2};
    assert_int_equal(parse("1234", 4, &limits, &info), ERR_OK);
    assert_int_equal(parse("12345", 5, &limits, &info), ERR_TOO_LARGE);
    assert_string_equal(info.message, "the JSON text has 5 bytes, and at most 4 are taken");
    assert_int_equal(parse("{{{{{", 5, &limits, &info), ERR_TOO_LARGE); /* size is looked at first */
}

static void depth_is_capped_to_the_level(void **) {
    struct err_info info;
    const struct json_limits limits = {.max_bytes = 100, .max_depth = 3};
    assert_int_equal(parse("[[[]]]", 6, &limits, &info), ERR_OK);
    assert_int_equal(parse("[[],[],[[],[],{}],[]]", 21, &limits, &info), ERR_OK); /* wide is not deep */
    assert_int_equal(parse("[{\"a\":{}}]", 10, &limits, &info), ERR_OK);
    assert_int_equal(parse("\n[[[[]]]]", 9, &limits, &info), ERR_MALFORMED);
    assert_string_equal(info.message, "not JSON at line 2, column 4: nested deeper than 3");
    assert_int_equal(parse("[{\"a\":[{}]}]", 12, &limits, &info), ERR_MALFORMED);
    assert_non_null(strstr(info.message, "nested deeper than 3"));
    /* in strings brackets are only letters, also behind a quote that is escaped */
    assert_int_equal(parse("[[\"[[[[{{\\\"[[[[\"]]", 19 - 1, &limits, &info), ERR_OK);
    assert_int_equal(parse("[\"\\\\\",[[]]]", 11, &limits, &info), ERR_OK);
    assert_int_equal(parse("[\"\\\\\",[[[]]]]", 13, &limits, &info), ERR_MALFORMED);
    /* closing more than was opened does not make room for more */
    assert_int_equal(parse("]]]][[[[", 8, &limits, &info), ERR_MALFORMED);
    assert_non_null(strstr(info.message, "nested deeper"));
}

static void a_bomb_costs_nothing(void **) {
    struct err_info info;
    char *text = malloc(JSON_LIMITS.max_bytes);
    assert_non_null(text);
    memset(text, '[', JSON_LIMITS.max_bytes);
    assert_int_equal(parse(text, JSON_LIMITS.max_bytes, &JSON_LIMITS, &info), ERR_MALFORMED);
    assert_string_equal(info.message, "not JSON at line 1, column 17: nested deeper than 16");
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strict_json_is_read),        cmocka_unit_test(anything_else_is_refused_with_its_place),
        cmocka_unit_test(size_is_capped_to_the_byte), cmocka_unit_test(depth_is_capped_to_the_level),
        cmocka_unit_test(a_bomb_costs_nothing),
    };
    return cmocka_run_group_tests_name("json", tests, nullptr, nullptr);
}
