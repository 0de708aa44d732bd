/* SPDX-License-Identifier: MPL-2.0 */
#include "api/api_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/query.h"

static struct api_events *subscribe(struct bench *bench, const char *query, const char *last_event_id) {
    CALL("GET", "/events", .query = query, .last_event_id = last_event_id);
    assert_int_equal(bench->reply.status, 200);
    assert_int_equal(bench->reply.kind, API_REPLY_EVENTS);
    assert_string_equal(bench->reply.content_type, "text/event-stream");
    struct api_events *events = bench->reply.events;
    bench->reply.events = nullptr;
    return events;
}

/* What is new, in a buffer that the next call overwrites. */
static const char *news(struct api_events *events, size_t max) {
    static char text[8192];
    struct buf buf = {};
    size_t n = api_events_read(events, &buf, max);
    assert_int_equal(n, buf.len);
    assert_true(n < sizeof text);
    memcpy(text, n ? buf.data : "", n + 1);
    buf_finish(&buf);
    return text;
}

static void on_wake(void *arg) {
    ((struct bench *)arg)->n_wakes++;
}

static void a_subscriber_gets_news_and_cursors(void **state) {
    struct bench *bench = *state;
    api_on_events(bench->api, on_wake, bench);
    fake_event(bench->fake, EVENT_STREAM_ADDED, "s", "{\"old\":1}");
    assert_int_equal(bench->n_wakes, 1);
    struct api_events *events = subscribe(bench, nullptr, nullptr);
    assert_string_equal(news(events, 4096), ": rocd\nretry: 1000\nid: abc-1\n\n");
    assert_string_equal(news(events, 4096), "");
    fake_event(bench->fake, EVENT_STREAM_UPDATED, "s", "{\"n\":2}");
    fake_event(bench->fake, EVENT_METER, "s", "{}");
    fake_event(bench->fake, EVENT_STREAM_REMOVED, "s", "{\"n\":4}");
    assert_string_equal(news(events, 4096), "id: abc-2\nevent: stream_updated\ndata: {\"n\":2}\n\n"
                                            "id: abc-4\nevent: stream_removed\ndata: {\"n\":4}\n\n");
    assert_string_equal(news(events, 4096), "");
    api_events_destroy(events);
    api_events_destroy(nullptr);
}

static void a_returning_subscriber_misses_nothing(void **state) {
    struct bench *bench = *state;
    for (int i = 1; i <= 5; i++)
        fake_event(bench->fake, EVENT_STREAM_UPDATED, "s", "{}");
    struct api_events *events = subscribe(bench, "since=abc-3", nullptr);
    assert_non_null(strstr(news(events, 1), "id: abc-3\n\n")); /* one piece at least, whatever max is */
    assert_non_null(strstr(news(events, 1), "id: abc-4\n"));
    assert_non_null(strstr(news(events, 1), "id: abc-5\n"));
    api_events_destroy(events);
    events = subscribe(bench, "since=abc-3", "abc-5"); /* the header wins */
    assert_null(strstr(news(events, 4096), "event:"));
    api_events_destroy(events);
    events = subscribe(bench, "since=abc-5", "");
    assert_null(strstr(news(events, 4096), "event:"));
    api_events_destroy(events);
}

static void a_cursor_that_leads_nowhere_resets(void **state) {
    struct bench *bench = *state;
    for (int i = 1; i <= 5; i++)
        fake_event(bench->fake, EVENT_STREAM_UPDATED, "s", "{}");
    bench->fake->events.forgotten = 2;
    static const struct {
        const char *cursor, *reason;
    } CASES[] = {
        {"abc-1", "too_old"},           {"abc-0", "too_old"},         {"abd-3", "unknown_cursor"},
        {"abc-6", "unknown_cursor"},    {"abc-", "unknown_cursor"},   {"abc-03", "unknown_cursor"},
        {"nonsense", "unknown_cursor"}, {"abc-3x", "unknown_cursor"}, {"abc-18446744073709551616", "unknown_cursor"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct api_events *events = subscribe(bench, nullptr, CASES[i].cursor);
        const char *text = news(events, 4096);
        char want[96];
        snprintf(want, sizeof want, "id: abc-5\nevent: reset\ndata: {\"reason\":\"%s\"", CASES[i].reason);
        if (!strstr(text, want))
            fail_msg("%s: want %s in %s", CASES[i].cursor, want, text);
        fake_event(bench->fake, EVENT_STREAM_UPDATED, "s", "{}");
        assert_non_null(strstr(news(events, 4096), "event: stream_updated"));
        bench->fake->events.last = 5;
        api_events_destroy(events);
    }
    struct api_events *events = subscribe(bench, "since=abc-2", nullptr); /* just what is kept */
    assert_null(strstr(news(events, 4096), "reset"));
    api_events_destroy(events);
    CALL("GET", "/events", .query = "since=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    assert_problem(bench, 400, "invalid_request", "since is longer");
}

static void a_slow_reader_is_told(void **state) {
    struct bench *bench = *state;
    struct api_events *events = subscribe(bench, nullptr, nullptr);
    news(events, 4096);
    for (size_t i = 0; i < FAKE_EVENTS_MAX + 3; i++)
        fake_event(bench->fake, EVENT_STREAM_UPDATED, "s", "{}");
    assert_non_null(strstr(news(events, 4096), "\"reason\":\"too_slow\""));
    assert_string_equal(news(events, 4096), "");
    api_events_destroy(events);
}

static void filters_choose(void **state) {
    struct bench *bench = *state;
    struct api_events *events =
        subscribe(bench, "types=meter%2Cstream_updated&peer=self&stream=aaaaaa-aaaaaa-aaaaaa", nullptr);
    news(events, 4096);
    assert_true(bench->fake->watched);
    struct api_events *other = subscribe(bench, "types=meter", nullptr);
    fake_event(bench->fake, EVENT_METER, "aaaaaa-aaaaaa-aaaaaa", "{\"m\":1}");
    fake_event(bench->fake, EVENT_STREAM_ADDED, "aaaaaa-aaaaaa-aaaaaa", "{\"m\":2}");
    fake_event(bench->fake, EVENT_STREAM_UPDATED, "aaaaaa-aaaaaa-aaaaaa", "{\"m\":3}");
    fake_event(bench->fake, EVENT_STREAM_UPDATED, "bbbbbb-aaaaaa-aaaaaa", "{\"m\":4}");
    const char *text = news(events, 4096);
    assert_true(strstr(text, "\"m\":1") && !strstr(text, "\"m\":2"));
    assert_true(strstr(text, "\"m\":3") && !strstr(text, "\"m\":4"));
    api_events_destroy(events);
    assert_true(bench->fake->watched);
    api_events_destroy(other);
    assert_false(bench->fake->watched);
    static const char *const WRONG[] = {"types=",      "types=meter,", "types=meters",    "types=,",        "peer=x",
                                        "stream=self", "stream=x",     "types=a&types=b", "types=%00meter", "types=%0a",
                                        "types=%",     "types=%4",     "types=%zz",       "%ff=1"};
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        CALL("GET", "/events", .query = WRONG[i]);
        if (bench->reply.status != 400)
            fail_msg("%s: want 400, got %d", WRONG[i], bench->reply.status);
    }
}

static void subscribers_are_limited_and_outlive_the_api(void **) {
    struct bench *bench;
    setup((void **)&bench);
    CALL("HEAD", "/events");
    assert_int_equal(bench->reply.kind, API_REPLY_BODY);
    struct api_events *all[256];
    for (size_t i = 0; i < 256; i++)
        all[i] = subscribe(bench, nullptr, nullptr);
    CALL("GET", "/events");
    assert_problem(bench, 429, "limit_reached", "subscribers_max");
    api_reply_finish(&bench->reply);
    api_destroy(bench->api);
    assert_string_equal(news(all[0], 100), "");
    for (size_t i = 0; i < 256; i++)
        api_events_destroy(all[i]);
    fake_destroy(bench->fake);
    free(bench);
}

static void queries_are_decoded(void **) {
    static const char *const KNOWN[] = {"a", "b", nullptr};
    struct query query;
    struct err_info info;
    assert_int_equal(query_parse("a=x%20y+z&b", KNOWN, &query, &info), ERR_OK);
    assert_string_equal(query_get(&query, "a"), "x y z");
    assert_string_equal(query_get(&query, "b"), "");
    assert_null(query_get(&query, "c"));
    assert_int_equal(query_parse("a=1&a=2", KNOWN, &query, &info), ERR_INVALID);
    assert_string_equal(info.message, "query parameter 'a' is given twice: give it once");
    assert_int_equal(query_parse("a==&%62=%3d", KNOWN, &query, &info), ERR_OK);
    assert_string_equal(query_get(&query, "a"), "=");
    assert_string_equal(query_get(&query, "b"), "=");
    char raw[1200];
    memset(raw, '&', sizeof raw);
    raw[1024] = 0;
    assert_int_equal(query_parse(raw, KNOWN, &query, &info), ERR_OK);
    raw[1024] = '&', raw[1025] = 0;
    assert_int_equal(query_parse(raw, KNOWN, &query, &info), ERR_INVALID);
    raw[0] = 0;
    for (int i = 0; i < 341; i++)
        strcat(raw, "a&c"); /* the longest expansion: every byte a name of its own */
    assert_int_equal(query_parse(raw, KNOWN, &query, &info), ERR_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T(a_subscriber_gets_news_and_cursors),
        T(a_returning_subscriber_misses_nothing),
        T(a_cursor_that_leads_nowhere_resets),
        T(a_slow_reader_is_told),
        T(filters_choose),
        cmocka_unit_test(subscribers_are_limited_and_outlive_the_api),
        cmocka_unit_test(queries_are_decoded),
    };
    return cmocka_run_group_tests_name("api-events", tests, nullptr, nullptr);
}
