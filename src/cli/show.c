/* SPDX-License-Identifier: MPL-2.0 */
#include "cli/show.h"

#include <string.h>

#include "cli/cli.h"

enum text_color show_state_color(const char *state) {
    static const struct {
        const char *state;
        enum text_color color;
    } COLORS[] = {
        {"running", TEXT_GREEN},  {"available", TEXT_GREEN},    {"connecting", TEXT_YELLOW}, {"degraded", TEXT_YELLOW},
        {"pending", TEXT_YELLOW}, {"unavailable", TEXT_YELLOW}, {"failed", TEXT_RED},        {"error", TEXT_RED},
        {"stopped", TEXT_DIM},    {"disabled", TEXT_DIM},       {"online", TEXT_GREEN},      {"offline", TEXT_YELLOW},
    };
    for (size_t i = 0; i < sizeof COLORS / sizeof COLORS[0]; i++)
        if (!strcmp(COLORS[i].state, state))
            return COLORS[i].color;
    return TEXT_PLAIN;
}

void show_level(struct buf *out, yyjson_val *level_dbfs) {
    size_t i, n;
    yyjson_val *level;
    yyjson_arr_foreach(level_dbfs, i, n, level) {
        double value = yyjson_get_num(level);
        if (value <= -120)
            buf_printf(out, "%s-∞", i ? " " : "");
        else
            buf_printf(out, "%s%.1f", i ? " " : "", value);
    }
    if (!yyjson_arr_size(level_dbfs))
        buf_append_str(out, "-");
}

const char *show_reason(yyjson_val *status) {
    return json_str(yyjson_arr_get_first(yyjson_obj_get(status, "conditions")), "message");
}

void show_duration(struct buf *out, double seconds) {
    long s = (long)seconds;
    if (s >= 86400)
        buf_printf(out, "%ld d %ld h", s / 86400, s % 86400 / 3600);
    else if (s >= 3600)
        buf_printf(out, "%ld h %02ld min", s / 3600, s % 3600 / 60);
    else if (s >= 60)
        buf_printf(out, "%ld min %02ld s", s / 60, s % 60);
    else
        buf_printf(out, "%ld s", s);
}
