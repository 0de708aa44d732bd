/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/*
 * The configuration file: YAML, one schema table, strict. rocd never writes it. What REST changes lives in the store;
 * precedence: flags > store > file > default.
 *
 * Life cycle: config_load / config_defaults → config_finish. Threads: any.
 * Ownership: strings belong to the config.
 */
struct config {
    char *name; /* of this peer, for people; default: the host name */
    char *
        state_dir; /* default: $STATE_DIRECTORY, else $XDG_STATE_HOME/rocd, ~/.local/state/rocd, /var/lib/rocd as root */
    char *media_dir; /* default: $XDG_DATA_HOME/rocd/media, … ; made on first use */
    struct {
        char *address; /* default 127.0.0.1:4040 */
        char *
            socket; /* default: $RUNTIME_DIRECTORY/rocd.sock, $XDG_RUNTIME_DIR/rocd.sock, /run/rocd.sock as root, else state_dir/rocd.sock; "" = none */
    } http;
    struct {
        char *driver;     /* "auto" */
        uint32_t threads; /* 0 = auto */
        bool realtime;    /* default true */
    } audio;
    struct {
        uint16_t port_min, port_max; /* external Roc ports when a URI gives none; default 10000–10999 */
    } roc;
    struct {
        char *level; /* error warn info debug trace; default info */
    } log;
};

void config_defaults(struct config *ret);
/* Fills what the file says over the defaults. Errors name file, line, column, the key and what was expected. */
enum err config_load(const char *path, struct config *ret, struct err_info *reterr);
/* Meaning, not form: addresses, ranges, directories. Used after flags have been applied. */
enum err config_check(const struct config *config, struct err_info *reterr);
void config_finish(struct config *config);
