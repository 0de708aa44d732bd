/* SPDX-License-Identifier: MPL-2.0 */
#include "cli/sse.h"

#include <stdio.h>
#include <string.h>

static bool dispatch(struct sse *s) {
    bool go_on = true;
    if (s->data.len) {
        size_t len = s->data.len - 1; /* the newline after the last line of data */
        s->data.data[len] = 0;
        go_on = s->on_event(s->arg, s->id, s->type[0] ? s->type : "message", s->data.data, len);
    }
    buf_clear(&s->data);
    s->type[0] = 0;
    return go_on;
}

static bool end_of_line(struct sse *s) {
    if (!s->line.len)
        return dispatch(s);
    const char *line = s->line.data;
    const char *colon = strchr(line, ':');
    size_t n = colon ? (size_t)(colon - line) : s->line.len;
    const char *value = colon ? colon + 1 : "";
    if (*value == ' ')
        value++;
    if (n == 4 && !memcmp(line, "data", 4)) {
        buf_append_str(&s->data, value);
        buf_append_str(&s->data, "\n");
    } else if (n == 5 && !memcmp(line, "event", 5)) {
        snprintf(s->type, sizeof s->type, "%.63s", value);
    } else if (n == 2 && !memcmp(line, "id", 2) && strlen(value) <= SSE_ID_MAX) {
        snprintf(s->id, sizeof s->id, "%s", value);
    }
    buf_clear(&s->line);
    return !buf_failed(&s->data);
}

bool sse_feed(struct sse *s, const char *bytes, size_t len) {
    s->line.max = s->data.max = SSE_LINE_MAX;
    for (size_t i = 0; i < len; i++) {
        bool lf_of_crlf = s->after_cr && bytes[i] == '\n';
        s->after_cr = bytes[i] == '\r';
        if (lf_of_crlf)
            continue;
        if (bytes[i] == '\n' || bytes[i] == '\r') {
            if (!end_of_line(s))
                return false;
        } else if (!buf_append(&s->line, &bytes[i], 1)) {
            return false;
        }
    }
    return true;
}

void sse_restart(struct sse *s) {
    buf_clear(&s->line);
    buf_clear(&s->data);
    s->type[0] = 0;
    s->after_cr = false;
}

void sse_finish(struct sse *s) {
    buf_finish(&s->line);
    buf_finish(&s->data);
}
