/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "audio/driver.h"

/*
 * The devices that were found, and what has become of them since the last look.
 *
 * Life cycle: zero-initialise, found_add() any number, found_finish().
 * Ownership: all texts are copies. Threads: one owner at a time.
 */
constexpr size_t FOUND_MAX = 256; /* more devices than that are not looked at: such a list is a mistake */
constexpr size_t FOUND_SYSTEM_NAME_SIZE = 256;
constexpr size_t FOUND_DISPLAY_NAME_SIZE = 129; /* what the API allows */

struct found_device {
    char system_name[FOUND_SYSTEM_NAME_SIZE];
    char display_name[FOUND_DISPLAY_NAME_SIZE];
    int kind; /* enum endpoint_kind */
    enum audio_direction direction;
    struct audio_format format; /* 0: not known */
    bool is_default;
    struct err_info failure; /* ERR_OK: usable */
};

struct found {
    struct found_device *devices; /* owned, in the order in which the system lists them */
    size_t n;
};

/* Copied; of two with one system_name the first stays. False: out of memory, or there are too many. */
[[nodiscard]] bool found_add(struct found *found, const struct found_device *device);
const struct found_device *found_by_name(const struct found *found, const char *system_name);
void found_finish(struct found *found);

/* Tells the watcher what is new in `now`, what has changed and what is gone, and makes `now` what is known. */
void found_update(struct found *known, struct found *now, const struct audio_watcher *watcher, void *arg);

/* A name for people from what a system gives: without control characters, and cut between two characters of UTF-8. */
void found_copy_name(char to[static FOUND_DISPLAY_NAME_SIZE], const char *from);
