/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/id.h"

/*
 * What commanders wrote, and what may be the outcome. A write has a moment of asking and, if it was answered, one of the
 * answer; in between it took effect or not. So the last state of a stream is that of a write w to which no acknowledged
 * write follows that was asked for after w was answered. A write without an answer may have taken effect at any time.
 *
 * Threads: one.
 */
constexpr size_t HISTORY_MAX = 256;

struct history_write {
    char uid[UID_SIZE];      /* of the stream; "": not known, the answer was lost */
    int value;               /* of the stream after it, > 0; 0: removed */
    int64_t asked, answered; /* answered: INT64_MAX while it is not */
    bool is_acknowledged, is_refused;
};

struct history {
    struct history_write writes[HISTORY_MAX];
    size_t n;
};

/* nullptr: the history is full */
struct history_write *history_ask(struct history *history, const char *uid, int value, int64_t now);
/* May the stream be so at the end? value 0: there is none. */
bool history_allows(const struct history *history, const char *uid, int value);
