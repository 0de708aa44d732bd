/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

struct lines {
    int n;
    enum log_level level;
    size_t len;
    char text[8192]; /* the last one */
};

static void keep(void *arg, enum log_level level, const char *line, size_t len) {
    struct lines *lines = arg;
    lines->n++;
    lines->level = level;
    lines->len = len;
    assert_true(len < sizeof lines->text);
    memcpy(lines->text, line, len);
    lines->text[len] = 0;
}

/* Behind time and level. */
static const char *message(const struct lines *lines) {
    assert_true(lines->len > 31);
    return lines->text + 31;
}

static void a_line_has_time_level_topic_and_fields(void **) {
    struct lines lines = {};
    struct log_sink sink;
    log_sink_init(&sink, LOG_LEVEL_TRACE, keep, &lines);
    struct log log = {&sink, "streams"};
    log_info(log, "started", LOG_STR("stream", "ab12cd"), LOG_UINT("big", UINT64_MAX), LOG_INT("small", INT64_MIN),
             LOG_DOUBLE("level_db", -23.5), LOG_STR("none", nullptr), LOG_STR("empty", ""));
    assert_string_equal(message(&lines), "streams: started stream=ab12cd big=18446744073709551615 "
                                         "small=-9223372036854775808 level_db=-23.5 none=- empty=\"\"");
    static const char FORM[] = "0000-00-00T00:00:00.000Z info  ";
    for (size_t i = 0; i < sizeof FORM - 1; i++)
        assert_true(FORM[i] == '0' ? lines.text[i] >= '0' && lines.text[i] <= '9' : lines.text[i] == FORM[i]);
    log.topic = nullptr;
    log_error(log, "bare");
    assert_string_equal(message(&lines), "rocd: bare");
    assert_int_equal(lines.level, LOG_LEVEL_ERROR);
    log_sink_finish(&sink);
}

static void only_what_is_wanted_is_written(void **) {
    struct lines lines = {};
    struct log_sink sink;
    for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_TRACE; level++) {
        log_sink_init(&sink, (enum log_level)level, keep, &lines);
        struct log log = {&sink, "x"};
        lines.n = 0;
        log_error(log, "m");
        log_warn(log, "m");
        log_info(log, "m");
        log_debug(log, "m");
        log_trace(log, "m");
        assert_int_equal(lines.n, level - LOG_LEVEL_ERROR + 1);
        assert_int_equal(lines.level, level);
        log_sink_finish(&sink);
        log_error(log, "m"); /* a sink that has ended takes nothing */
        assert_int_equal(lines.n, level - LOG_LEVEL_ERROR + 1);
    }
    struct log none = {};
    log_error(none, "nobody reads this");
    assert_string_equal(log_level_name(LOG_LEVEL_ERROR), "error");
    assert_string_equal(log_level_name(LOG_LEVEL_TRACE), "trace");
}

static void what_strangers_write_stays_in_its_quotes(void **) {
    static const struct {
        const char *text, *want;
    } CASES[] = {
        {"plain-1.2:/+@[],%_", "plain-1.2:/+@[],%_"},
        {"two words", "\"two words\""},
        {"a=b", "\"a=b\""},
        {"\"", "\"\\\"\""},
        {"\\", "\"\\\\\""},
        {"a\nb\r\tc", "\"a\\nb\\x0d\\x09c\""},
        {"\x1B[2J\x7F", "\"\\x1b[2J\\x7f\""},
        {"Küche €", "\"Küche €\""},
        {"\xC2\x9B"
         "2J",
         "\"\\x9b2J\""}, /* CSI as one character: terminals obey it */
        {"\xC2\x80\xC2\x9F\xC2\xA0", "\"\\x80\\x9f\xC2\xA0\""},
        {"\xC2", "\"\xC2\""},
    };
    struct lines lines = {};
    struct log_sink sink;
    log_sink_init(&sink, LOG_LEVEL_INFO, keep, &lines);
    struct log log = {&sink, "t"};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char want[128];
        log_info(log, "m", LOG_STR("k", CASES[i].text));
        snprintf(want, sizeof want, "t: m k=%s", CASES[i].want);
        assert_string_equal(message(&lines), want);
    }
    log_sink_finish(&sink);
}

static void a_long_line_is_cut_and_stays_one_line(void **) {
    char text[9000];
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < sizeof text; i += 50)
        text[i] = '\n';
    text[sizeof text - 1] = 0;
    struct lines lines = {};
    struct log_sink sink;
    log_sink_init(&sink, LOG_LEVEL_INFO, keep, &lines);
    struct log log = {&sink, "t"};
    log_info(log, "m", LOG_STR("k", text), LOG_UINT("n", 1));
    assert_int_equal(lines.n, 1);
    assert_true(lines.len <= 4096 && lines.len > 4000);
    assert_null(strchr(lines.text, '\n'));
    log_sink_finish(&sink);
}

struct writer {
    struct log log;
    int id;
};

static void *write_many(void *arg) {
    struct writer *w = arg;
    for (int i = 0; i < 1000; i++)
        log_info(w->log, "m", LOG_INT("id", w->id));
    return nullptr;
}

static void threads_write_one_after_the_other(void **) {
    struct lines lines = {};
    struct log_sink sink;
    log_sink_init(&sink, LOG_LEVEL_INFO, keep, &lines);
    pthread_t threads[4];
    struct writer writers[4];
    for (int i = 0; i < 4; i++) {
        writers[i] = (struct writer){{&sink, "t"}, i};
        assert_int_equal(pthread_create(&threads[i], nullptr, write_many, &writers[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], nullptr);
    assert_int_equal(lines.n, 4000);
    log_sink_finish(&sink);
}

/* What goes to stderr while `line` is written there. */
static void assert_on_stderr(enum log_level level, const char *line, const char *want) {
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stderr);
    int saved = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    log_write_stderr(nullptr, level, line, strlen(line));
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    char got[256] = "";
    rewind(file);
    size_t n = fread(got, 1, sizeof got - 1, file);
    got[n] = 0;
    fclose(file);
    assert_string_equal(got, want);
}

static void the_journal_gets_priorities_and_no_time(void **) {
    static const char LINE[] = "2026-03-01T12:00:00.123Z warn  t: m";
    unsetenv("JOURNAL_STREAM");
    assert_on_stderr(LOG_LEVEL_WARN, LINE, "2026-03-01T12:00:00.123Z warn  t: m\n");
    setenv("JOURNAL_STREAM", "8:1", 1);
    assert_on_stderr(LOG_LEVEL_ERROR, LINE, "<3>warn  t: m\n");
    assert_on_stderr(LOG_LEVEL_WARN, LINE, "<4>warn  t: m\n");
    assert_on_stderr(LOG_LEVEL_INFO, LINE, "<6>warn  t: m\n");
    assert_on_stderr(LOG_LEVEL_DEBUG, LINE, "<7>warn  t: m\n");
    assert_on_stderr(LOG_LEVEL_TRACE, "oneword", "<7>oneword\n");
    unsetenv("JOURNAL_STREAM");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_time_level_topic_and_fields),
        cmocka_unit_test(only_what_is_wanted_is_written),
        cmocka_unit_test(what_strangers_write_stays_in_its_quotes),
        cmocka_unit_test(a_long_line_is_cut_and_stays_one_line),
        cmocka_unit_test(threads_write_one_after_the_other),
        cmocka_unit_test(the_journal_gets_priorities_and_no_time),
    };
    return cmocka_run_group_tests_name("log", tests, nullptr, nullptr);
}
