/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ROCD_ROCD_H
#define ROCD_ROCD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * librocd: a rocd instance inside a program. The daemon itself is built on nothing else.
 *
 *     struct rocd_options options = {.size = sizeof options, .state_dir = "/var/lib/studio"};
 *     struct rocd_error error;
 *     struct rocd *rocd = rocd_start(&options, &error);
 *     if (!rocd)
 *         fprintf(stderr, "%s\n", error.message);
 *     …
 *     rocd_stop(rocd);
 *
 * Life cycle: rocd_start → (rocd_reload)… → rocd_stop, which frees it.
 * Threads: an instance owns its threads; the functions here may be called from any thread but not from its callbacks.
 *   Several instances in one process need different state directories.
 * Ownership: strings passed in are copied; nothing passed out needs freeing.
 * The library never exits, prints, or installs signal handlers.
 * Versioning: new members are added at the ends of structs, and `size` tells which the caller knows.
 */

#if defined(__GNUC__)
#define ROCD_API __attribute__((visibility("default")))
#else
#define ROCD_API
#endif

struct rocd;

enum rocd_log_level { ROCD_LOG_ERROR, ROCD_LOG_WARN, ROCD_LOG_INFO, ROCD_LOG_DEBUG, ROCD_LOG_TRACE };

/* One line, without the newline; from any thread, one call at a time. */
typedef void (*rocd_log_fn)(void *arg, enum rocd_log_level level, const char *line, size_t len);

struct rocd_options {
    size_t size; /* sizeof(struct rocd_options) */

    /* All may be NULL: then the configuration file decides, then the default. */
    const char *config_path;  /* YAML; NULL: none is read */
    const char *state_dir;    /* identity and store */
    const char *media_dir;    /* where file endpoints live */
    const char *http_address; /* "127.0.0.1:4040"; port 0 picks a free one; "" = no TCP */
    const char *http_socket;  /* path of the unix socket; "" = none */
    const char *driver;       /* "auto", or a driver's name */
    int log_level;            /* enum rocd_log_level + 1; 0: the configuration decides */

    rocd_log_fn log; /* NULL: lines go to stderr */
    void *log_arg;

    const char
        *signaling_address;    /* where peers reach this one: "0.0.0.0:4041"; port 0 picks a free one; "" = no peers */
    const char *media_address; /* where sound of peers arrives (UDP): "0.0.0.0:4042"; port 0 picks a free one */
};

struct rocd_error {
    const char *code;  /* stable word: "busy", "invalid_request", … */
    char message[512]; /* what happened, why, and what to do */
};

/* Starts an instance and returns when it serves requests, or NULL and *error (which may be NULL). */
ROCD_API struct rocd *rocd_start(const struct rocd_options *options, struct rocd_error *error);

/* Ends every stream and connection, writes what is to be written, and frees the instance. Accepts NULL. */
ROCD_API void rocd_stop(struct rocd *rocd);

/* Reads the configuration file again; what can change while running does, the rest is named in the log. On error
 * the instance keeps what it had. */
ROCD_API bool rocd_reload(struct rocd *rocd, struct rocd_error *error);

/* Checks options and configuration file without starting anything. The report, one line a setting with its value
 * and where it comes from, is written through `write`. */
ROCD_API bool rocd_check_config(const struct rocd_options *options,
                                void (*write)(void *arg, const char *text, size_t len), void *arg,
                                struct rocd_error *error);

/* The node id of the peer that lives in the state directory, which others list in their configuration to trust it. It
 * follows from the key there, which is made if there is none, so that ids can be exchanged before anything is started. */
#define ROCD_NODE_ID_SIZE 64
ROCD_API bool rocd_node_id(const struct rocd_options *options, char node_id[ROCD_NODE_ID_SIZE],
                           struct rocd_error *error);

/* The uid of this peer, and the TCP port its API is on (0: none). */
ROCD_API const char *rocd_peer_uid(const struct rocd *rocd);
ROCD_API uint16_t rocd_http_port(const struct rocd *rocd);

/* "0.1.0" */
ROCD_API const char *rocd_version(void);
/* "0.4.0" of libroc at run time */
ROCD_API const char *rocd_roc_version(void);

#ifdef __cplusplus
}
#endif

#endif
