/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Structured, one-line logs:
 *
 *   log_info(log, "stream started", LOG_STR("stream", uid), LOG_UINT("port", port));
 *   → 2026-03-01T12:00:00.123Z info  streams: stream started stream=ab12cd-… port=10001
 *
 * Strings are quoted and escaped where they hold anything but plain words, so that no peer, file or client can
 * forge a line. A `struct log` is a cheap value: a topic and a pointer to the sink; objects carry their own.
 *
 * Levels are defined by who reads them:
 *   error  an operator must act          warn   an operator may want to act
 *   info   what happened, once a fact    debug  for the developer of the caller
 *   trace  may flood
 *
 * Life cycle: log_sink_init() before, log_sink_finish() after everything that logs.
 * Threads: any, but never from *_rt.c and never from media threads.
 */

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, LOG_LEVEL_TRACE };

/* Called with one whole line, without the newline, one call at a time. */
typedef void (*log_write_fn)(void *arg, enum log_level level, const char *line, size_t len);

struct log_sink {
    log_write_fn write;
    void *arg;
    _Atomic int level; /* enum log_level: lines above it are dropped */
    void *lock;        // Private state
};

struct log {
    struct log_sink *sink; /* nullptr: everything is dropped */
    const char *topic;     /* static string */
};

enum log_field_kind { LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_UINT, LOG_FIELD_DOUBLE };

struct log_field {
    const char *key;
    enum log_field_kind kind;
    union {
        const char *str;
        int64_t sint;
        uint64_t uint;
        double real;
    };
};

#define LOG_STR(k, v)    ((struct log_field){.key = (k), .kind = LOG_FIELD_STR, .str = (v)})
#define LOG_INT(k, v)    ((struct log_field){.key = (k), .kind = LOG_FIELD_INT, .sint = (v)})
#define LOG_UINT(k, v)   ((struct log_field){.key = (k), .kind = LOG_FIELD_UINT, .uint = (v)})
#define LOG_DOUBLE(k, v) ((struct log_field){.key = (k), .kind = LOG_FIELD_DOUBLE, .real = (v)})

void log_sink_init(struct log_sink *sink, enum log_level level, log_write_fn write, void *arg);
void log_sink_finish(struct log_sink *sink);

/* Writes to stderr; with a priority prefix ("<6>") and no time where the journal reads it. */
void log_write_stderr(void *arg, enum log_level level, const char *line, size_t len);

const char *log_level_name(enum log_level level);

void log_emit(struct log log, enum log_level level, const char *message, const struct log_field *fields,
              size_t n_fields);

#define LOG_AT(log, level, message, ...) \
    log_emit((log), (level), (message), (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){}}, \
             sizeof((const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){}}) / sizeof(struct log_field) - 1)
#define log_error(log, ...) LOG_AT(log, LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(log, ...)  LOG_AT(log, LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(log, ...)  LOG_AT(log, LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(log, ...) LOG_AT(log, LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_trace(log, ...) LOG_AT(log, LOG_LEVEL_TRACE, __VA_ARGS__)
