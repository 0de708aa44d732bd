/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "audio/driver.h"
#include "base/id.h"

/*
 * The way of news from PipeWire's thread to the watcher on the core's: in order, and coalesced where the core is slow, so
 * that a device that comes, changes a hundred times and goes costs the core nothing, and one that stays costs one call.
 *
 * Life cycle: news_create() → news_say_*() → news_destroy(): after it the watcher is not called again, though a delivery may
 * still lie in the loop's queue.
 * Threads: news_say_*() PipeWire's (or whoever holds its lock); the others the core's.
 */
struct news;

constexpr size_t NEWS_SYSTEM_NAME_SIZE = 256;
constexpr size_t NEWS_DISPLAY_NAME_SIZE = 129; /* what the API allows */

/* A struct audio_device that owns its texts. Zeroed before it is filled, so that two can be compared byte by byte. */
struct news_device {
    char uid[UID_SIZE]; /* empty: found */
    char system_name[NEWS_SYSTEM_NAME_SIZE];
    char display_name[NEWS_DISPLAY_NAME_SIZE];
    int kind;
    enum audio_direction direction;
    struct audio_format format;
    bool is_default;
    bool has_volume;
    bool is_muted;
    double volume;
    char follows[NEWS_SYSTEM_NAME_SIZE]; /* empty: none */
    struct err_info failure;
};

struct news *news_create(const struct audio_host *host);
void news_destroy(struct news *news);
void news_watch(struct news *news, const struct audio_watcher *watcher, void *arg);

/* Copied. Devices are told apart by their uid, or their system_name if they have none. */
void news_say_device(struct news *news, const struct news_device *device);
void news_say_gone(struct news *news, const struct news_device *device);
/* The core does not want to hear of this exposed one any more. */
void news_forget(struct news *news, const char *uid);
void news_say_driver(struct news *news, const struct err_info *failure);
/* The core's queue was full when something was said: try again. */
void news_retry(struct news *news);
