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
    char *flags[CONFIG_N_KEYS]; /* owned: what the embedder said, kept for reloads; nullptr: nothing */
    char *config_path;          /* owned; nullptr: no file */
};

enum err settings_load(const struct rocd_options *options, struct settings *ret, struct err_info *reterr);
/* Reads the file of `before` again. */
enum err settings_reload(const struct settings *before, struct settings *ret, struct err_info *reterr);
void settings_finish(struct settings *settings);
/* Do they differ in what cannot change while running (all but the log level)? */
bool settings_need_restart(const struct settings *a, const struct settings *b);
