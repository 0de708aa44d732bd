/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/err.h"
#include "base/log.h"
#include "config/config.h"

struct rocd_options;

/*
 * What an instance runs with: the options of the embedder over the configuration file over the defaults, checked.
 *
 * Life cycle: settings_load → settings_reload (into another one) → settings_finish, which accepts a zeroed one.
 * Threads: any; plain data.
 */
struct settings {
    struct config config;
    enum log_level log_level;
    char *config_path; /* nullptr: no file */
    struct {           /* what the embedder said, kept for reloads; nullptr: nothing */
        char *state_dir, *media_dir, *http_address, *http_socket, *driver;
        int log_level; /* enum log_level + 1 */
    } flags;
};

enum err settings_load(const struct rocd_options *options, struct settings *ret, struct err_info *reterr);
/* Reads the file of `before` again. */
enum err settings_reload(const struct settings *before, struct settings *ret, struct err_info *reterr);
void settings_finish(struct settings *settings);
/* The name of a setting that differs and cannot change while running, or nullptr. */
const char *settings_first_fixed_difference(const struct settings *a, const struct settings *b);
/* One line a setting: name, value, where it comes from. */
void settings_print(const struct settings *settings, void (*write)(void *arg, const char *text, size_t len), void *arg);
