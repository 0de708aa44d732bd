/* SPDX-License-Identifier: MPL-2.0 */
#include "base/log.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"

constexpr size_t LINE_MAX_BYTES = 4096;

static const char *const LEVEL_NAMES[] = {
    [LOG_LEVEL_ERROR] = "error", [LOG_LEVEL_WARN] = "warn",   [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug", [LOG_LEVEL_TRACE] = "trace",
};

const char *log_level_name(enum log_level level) {
    return LEVEL_NAMES[level];
}

void log_sink_init(struct log_sink *sink, enum log_level level, log_write_fn write, void *arg) {
    pthread_mutex_t *lock = malloc(sizeof *lock);
    if (lock)
        pthread_mutex_init(lock, nullptr);
    *sink = (struct log_sink){.write = write, .arg = arg, .level = level, .lock = lock};
}

void log_sink_finish(struct log_sink *sink) {
    if (sink->lock)
        pthread_mutex_destroy(sink->lock);
    free(sink->lock);
    *sink = (struct log_sink){};
}

void log_write_stderr(void *, enum log_level level, const char *line, size_t len) {
    /* systemd sets JOURNAL_STREAM for what it reads itself: it stamps the time and wants the syslog priority */
    static const int PRIORITY[] = {[LOG_LEVEL_ERROR] = 3,
                                   [LOG_LEVEL_WARN] = 4,
                                   [LOG_LEVEL_INFO] = 6,
                                   [LOG_LEVEL_DEBUG] = 7,
                                   [LOG_LEVEL_TRACE] = 7};
    if (getenv("JOURNAL_STREAM")) {
        const char *after_time = memchr(line, ' ', len);
        size_t skip = after_time ? (size_t)(after_time + 1 - line) : 0;
        fprintf(stderr, "<%d>%.*s\n", PRIORITY[level], (int)(len - skip), line + skip);
    } else {
        fprintf(stderr, "%.*s\n", (int)len, line);
    }
}

static bool is_plain(const char *s) {
    if (!*s)
        return false;
    for (; *s; s++) {
        bool word = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') ||
                    strchr("-_.:/+@[],%", *s);
        if (!word)
            return false;
    }
    return true;
}

static void append_quoted(struct buf *line, const char *s) {
    buf_append(line, "\"", 1);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            buf_printf(line, "\\%c", c);
        else if (c == '\n')
            buf_append(line, "\\n", 2);
        else if (c < 0x20 || c == 0x7f)
            buf_printf(line, "\\x%02x", c);
        else if (c == 0xC2 && (unsigned char)s[1] >= 0x80 && (unsigned char)s[1] <= 0x9F)
            buf_printf(line, "\\x%02x", (unsigned char)*++s); /* C1: terminals obey these, too */
        else
            buf_append(line, s, 1);
    }
    buf_append(line, "\"", 1);
}

static void append_text(struct buf *line, const char *s) {
    if (!s)
        buf_append(line, "-", 1);
    else if (is_plain(s))
        buf_append(line, s, strlen(s));
    else
        append_quoted(line, s);
}

static void append_field(struct buf *line, const struct log_field *f) {
    buf_printf(line, " %s=", f->key);
    switch (f->kind) {
    case LOG_FIELD_STR:
        append_text(line, f->str);
        break;
    case LOG_FIELD_INT:
        buf_printf(line, "%lld", (long long)f->sint);
        break;
    case LOG_FIELD_UINT:
        buf_printf(line, "%llu", (unsigned long long)f->uint);
        break;
    case LOG_FIELD_DOUBLE:
        buf_printf(line, "%.6g", f->real);
        break;
    }
}

static void append_time(struct buf *line) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    struct tm tm;
    gmtime_r(&t.tv_sec, &tm);
    char text[32];
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    buf_append(line, text, n);
    buf_printf(line, ".%03ldZ", t.tv_nsec / 1'000'000);
}

void log_emit(struct log log, enum log_level level, const char *message, const struct log_field *fields,
              size_t n_fields) {
    if (!log.sink || !log.sink->write || (int)level > log.sink->level)
        return;
    struct buf line = {.max = LINE_MAX_BYTES};
    append_time(&line);
    buf_printf(&line, " %-5s %s: %s", LEVEL_NAMES[level], log.topic ? log.topic : "rocd", message);
    for (size_t i = 0; i < n_fields; i++)
        append_field(&line, &fields[i]);
    if (line.data) {
        if (log.sink->lock)
            pthread_mutex_lock(log.sink->lock);
        log.sink->write(log.sink->arg, level, line.data, line.len);
        if (log.sink->lock)
            pthread_mutex_unlock(log.sink->lock);
    }
    buf_finish(&line);
}
