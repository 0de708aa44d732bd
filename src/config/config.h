/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct buf;

/*
 * The configuration: what the YAML file and the flags say over the defaults, in one struct. One table (schema.c) drives
 * reading, ranges, defaults, the report of --check-config and docs/config.md. rocd never writes the file. What REST
 * changes lives in the store; precedence: flags > store > file > default.
 *
 * Life cycle: config_defaults → config_load (if there is a file) → config_set (once per flag) → config_check →
 *   … → config_finish, which accepts a zeroed struct.
 * Threads: any, one at a time. Ownership: strings belong to the config.
 */
enum config_key {
    CONFIG_NAME,
    CONFIG_STATE_DIR,
    CONFIG_MEDIA_DIR,
    CONFIG_HTTP_ADDRESS,
    CONFIG_HTTP_SOCKET,
    CONFIG_SIGNALING_ADDRESS,
    CONFIG_MEDIA_ADDRESS,
    CONFIG_AUDIO_DRIVER,
    CONFIG_AUDIO_THREADS,
    CONFIG_AUDIO_REALTIME,
    CONFIG_ROC_PORT_MIN,
    CONFIG_ROC_PORT_MAX,
    CONFIG_LOG_LEVEL,
    CONFIG_N_KEYS,
};

enum config_origin { CONFIG_ORIGIN_DEFAULT, CONFIG_ORIGIN_FILE, CONFIG_ORIGIN_FLAG };

struct config_source {
    enum config_origin origin;
    int line, column; /* in the file, from 1 */
};

/* What is said of a peer of the site, as text: which peer and role it means is not for this module to know. */
enum config_peer_key { CONFIG_PEER_ID, CONFIG_PEER_ADDRESS, CONFIG_PEER_ROLE, CONFIG_PEER_N_KEYS };

struct config_peer {
    char *id;      /* its node id */
    char *address; /* host:port; "": not known */
    char *role;    /* viewer operator admin */
    struct config_source sources[CONFIG_PEER_N_KEYS];
};

constexpr size_t CONFIG_PEERS_MAX = 64;

struct config {
    char *name;      /* of this peer, for people; default: the host name */
    char *state_dir; /* $STATE_DIRECTORY, else /var/lib/rocd as root, $XDG_STATE_HOME/rocd, ~/.local/state/rocd */
    char *media_dir; /* $STATE_DIRECTORY/media, /var/lib/rocd/media as root, $XDG_DATA_HOME/rocd/media, … */
    struct {
        char *address; /* host:port, loopback; port 0: any free one; "": no TCP */
        char *socket;  /* "": none; see config_default_socket() */
    } http;
    struct {
        char *address; /* host:port that other peers dial; port 0: any free one; "": no peers */
    } signaling;
    struct {
        char *address; /* host:port of UDP for sound between peers; port 0: any free one */
    } media;
    struct {
        struct config_peer *peers; /* owned; from the file only */
        size_t n_peers;
    } site;
    struct {
        char *driver;     /* "auto" */
        uint32_t threads; /* 0 = auto */
        bool realtime;
    } audio;
    struct {
        uint32_t port_min, port_max; /* external Roc ports when a URI gives none */
    } roc;
    struct {
        char *level; /* error warn info debug trace */
    } log;

    char *file; /* that was read; nullptr: none */
    struct config_source sources[CONFIG_N_KEYS];
};

constexpr size_t CONFIG_FILE_MAX = 256 * 1024;

enum err config_defaults(struct config *ret, struct err_info *reterr);
/* Puts what the file says over what is there. Errors name file, line, column, the key and what was expected; the config
 * may then hold part of the file and is good for config_finish() only. */
enum err config_load(struct config *config, const char *path, struct err_info *reterr);
/* The same with the text at hand; `name` is for messages. */
enum err config_load_text(struct config *config, const char *name, const char *text, size_t len,
                          struct err_info *reterr);
/* A flag: checked like a value of the file, and wins over it. */
enum err config_set(struct config *config, enum config_key key, const char *value, struct err_info *reterr);
/* Meaning, not form: addresses, ranges that belong together. After flags have been applied. */
enum err config_check(const struct config *config, struct err_info *reterr);
void config_finish(struct config *config);

/* "http.address" */
const char *config_key_name(enum config_key key);
/* "rocd.yaml:7:13: site.peers[2].role", for messages about what it means; *ret_key is the part behind the position. */
constexpr size_t CONFIG_WHENCE_SIZE = 300;
void config_peer_whence(const struct config *config, size_t peer, enum config_peer_key key,
                        char text[static CONFIG_WHENCE_SIZE], const char **ret_key);
/* One line a setting: key, value, where it comes from. false: out of memory. */
bool config_print(const struct config *config, struct buf *out);
/* docs/config.md, from the table. false: out of memory. */
bool config_reference(struct buf *out);

/* Where the unix socket is when nothing else is said, for rocd and rocctl alike: $RUNTIME_DIRECTORY/rocd.sock,
 * /run/rocd.sock as root, $XDG_RUNTIME_DIR/rocd.sock, else in `state_dir`. malloc'd; nullptr: out of memory. */
char *config_default_socket(const char *state_dir);
/* The default of state_dir. malloc'd; nullptr: out of memory. */
char *config_default_state_dir(void);
