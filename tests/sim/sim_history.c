/* SPDX-License-Identifier: MPL-2.0 */
#include "sim/sim_history.h"

#include <stdio.h>
#include <string.h>

struct history_write *history_ask(struct history *history, const char *uid, int value, int64_t now) {
    if (history->n == HISTORY_MAX)
        return nullptr;
    struct history_write *write = &history->writes[history->n++];
    *write = (struct history_write){.value = value, .asked = now, .answered = INT64_MAX};
    snprintf(write->uid, sizeof write->uid, "%s", uid);
    return write;
}

static bool is_about(const struct history_write *write, const char *uid) {
    return !write->is_refused && strcmp(write->uid, uid) == 0;
}

/* Was anything acknowledged that was asked for after this moment? */
static bool is_overtaken(const struct history *history, const char *uid, int64_t moment) {
    for (size_t i = 0; i < history->n; i++) {
        const struct history_write *write = &history->writes[i];
        if (is_about(write, uid) && write->is_acknowledged && write->asked > moment)
            return true;
    }
    return false;
}

bool history_allows(const struct history *history, const char *uid, int value) {
    if (value == 0 && !is_overtaken(history, uid, -1))
        return true; /* it may never have been made */
    for (size_t i = 0; i < history->n; i++) {
        const struct history_write *write = &history->writes[i];
        if (is_about(write, uid) && write->value == value && !is_overtaken(history, uid, write->answered))
            return true;
    }
    return false;
}
