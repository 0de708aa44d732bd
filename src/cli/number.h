/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>
#include <stdlib.h>

/* The whole text as a number, decimal, whatever the locale (only LC_CTYPE is ever set). */
static inline bool number_parse(const char *text, double *ret) {
    char *end = nullptr;
    if ((*text < '0' || *text > '9') && *text != '-' && *text != '.')
        return false;
    double value = strtod(text, &end);
    if (end == text || *end || value != value || value > 1e15 || value < -1e15)
        return false;
    *ret = value;
    return true;
}
