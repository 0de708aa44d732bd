/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "config/config.h"

/*
 * The schema table of the configuration: for each key its type, range, default and words for people. Private to
 * src/config.
 *
 * Threads: constant data.
 */
enum config_type { CONFIG_TYPE_STRING, CONFIG_TYPE_UINT, CONFIG_TYPE_BOOL, CONFIG_TYPE_WORD };

constexpr size_t CONFIG_WORDS_MAX = 6;

struct config_field {
    const char *key;                                /* "http.address": section and member */
    const char *flag;                               /* that sets it; nullptr: none */
    enum config_type type;                          /* of the member at `offset`: char *, uint32_t, bool, char * */
    size_t offset;                                  /* in struct config, or in struct config_peer */
    uint32_t min, max;                              /* UINT: the value; STRING: its length in bytes */
    const char *words[CONFIG_WORDS_MAX];            /* WORD: those allowed */
    const char *fixed;                              /* default as text; nullptr: `computed` gives it */
    char *(*computed)(const struct config *config); /* malloc'd */
    const char *default_text;                       /* what the reference says of a computed default */
    const char *summary;
    const char *example;
};

extern const struct config_field CONFIG_SCHEMA[CONFIG_N_KEYS];

/* The list of peers, and its members: strings and words, without a flag; a default that is nullptr: must be given. */
constexpr char CONFIG_PEERS_KEY[] = "site.peers";
extern const char CONFIG_PEERS_SUMMARY[];
extern const struct config_field CONFIG_PEER_SCHEMA[CONFIG_PEER_N_KEYS];

/* Sets a member of `object`, a config or a peer, from its text. On failure *ret_expected (a static or `scratch` text) says
 * what was expected. */
enum err config_field_set(void *object, const struct config_field *field, const char *text, char scratch[static 160],
                          const char **ret_expected);
/* The value as text, in `scratch` if need be. */
const char *config_field_text(const void *object, const struct config_field *field, char scratch[static 160]);
/* Computes the default of one member anew. */
enum err config_field_default(struct config *config, enum config_key key, struct err_info *reterr);
void config_field_free(void *object, const struct config_field *field);
