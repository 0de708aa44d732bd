/* SPDX-License-Identifier: MPL-2.0 */
#include "config/schema.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- defaults that depend on the system ---- */

static char *join(const char *dir, const char *rest) {
    char *path = nullptr;
    return asprintf(&path, "%s%s", dir, rest) < 0 ? nullptr : path;
}

/* The service manager may give several directories, separated by colons: the first is ours. */
static char *join_first(const char *dirs, const char *rest) {
    char *path = nullptr;
    return asprintf(&path, "%.*s%s", (int)strcspn(dirs, ":"), dirs, rest) < 0 ? nullptr : path;
}

static const char *env(const char *name) {
    const char *value = getenv(name);
    return value && value[0] ? value : nullptr;
}

/* $XDG_…_HOME or its default below the home directory; relative ones are to be ignored by their specification. */
static char *user_dir(const char *variable, const char *below_home, const char *rest) {
    const char *dir = env(variable);
    if (dir && dir[0] == '/')
        return join(dir, rest);
    const char *home = env("HOME");
    char *path = nullptr;
    return asprintf(&path, "%s/%s%s", home ? home : ".", below_home, rest) < 0 ? nullptr : path;
}

char *config_default_state_dir(void) {
    const char *given = env("STATE_DIRECTORY");
    if (given)
        return join_first(given, "");
    return geteuid() == 0 ? strdup("/var/lib/rocd") : user_dir("XDG_STATE_HOME", ".local/state", "/rocd");
}

char *config_default_socket(const char *state_dir) {
    const char *given = env("RUNTIME_DIRECTORY");
    if (given)
        return join_first(given, "/rocd.sock");
    if (geteuid() == 0)
        return strdup("/run/rocd.sock");
    const char *runtime = env("XDG_RUNTIME_DIR");
    return join(runtime ? runtime : state_dir, "/rocd.sock");
}

static char *default_name(const struct config *) {
    char name[128];
    if (gethostname(name, sizeof name) || !name[0])
        return strdup("rocd");
    name[sizeof name - 1] = 0;
    return strdup(name);
}

static char *default_state_dir(const struct config *) {
    return config_default_state_dir();
}

static char *default_media_dir(const struct config *) {
    const char *given = env("STATE_DIRECTORY");
    if (given)
        return join_first(given, "/media");
    return geteuid() == 0 ? strdup("/var/lib/rocd/media") : user_dir("XDG_DATA_HOME", ".local/share", "/rocd/media");
}

/* A daemon that was told its state directory by a flag is one of several on this machine: its socket lies there too,
 * where it meets no other. */
static char *default_socket(const struct config *c) {
    if (c->sources[CONFIG_STATE_DIR].origin == CONFIG_ORIGIN_FLAG && !env("RUNTIME_DIRECTORY"))
        return join(c->state_dir, "/rocd.sock");
    return config_default_socket(c->state_dir);
}

/* ---- the table ---- */

constexpr uint32_t PATH_LEN_MAX = 1023;

#define MEMBER(m) .offset = offsetof(struct config, m)

const struct config_field CONFIG_SCHEMA[CONFIG_N_KEYS] = {
    [CONFIG_NAME] = {.key = "name",
                     .type = CONFIG_TYPE_STRING,
                     MEMBER(name),
                     .min = 1,
                     .max = 128,
                     .computed = default_name,
                     .default_text = "the host name",
                     .summary = "The name of this peer for people, until REST gives it another.",
                     .example = "Living room"},
    [CONFIG_STATE_DIR] = {.key = "state_dir",
                          .flag = "--state-dir",
                          .type = CONFIG_TYPE_STRING,
                          MEMBER(state_dir),
                          .min = 1,
                          .max = PATH_LEN_MAX,
                          .computed = default_state_dir,
                          .default_text = "`$STATE_DIRECTORY`, as root `/var/lib/rocd`, else `$XDG_STATE_HOME/rocd` or "
                                          "`~/.local/state/rocd`",
                          .summary = "Identity and store. One running rocd a directory.",
                          .example = "/var/lib/rocd"},
    [CONFIG_MEDIA_DIR] = {.key = "media_dir",
                          .flag = "--media-dir",
                          .type = CONFIG_TYPE_STRING,
                          MEMBER(media_dir),
                          .min = 1,
                          .max = PATH_LEN_MAX,
                          .computed = default_media_dir,
                          .default_text = "`$STATE_DIRECTORY/media`, as root `/var/lib/rocd/media`, else "
                                          "`$XDG_DATA_HOME/rocd/media` or `~/.local/share/rocd/media`",
                          .summary = "Where file endpoints find and put their sound files. Nothing outside is touched.",
                          .example = "/srv/sound"},
    [CONFIG_HTTP_ADDRESS] = {.key = "http.address",
                             .flag = "--addr",
                             .type = CONFIG_TYPE_STRING,
                             MEMBER(http.address),
                             .max = 255,
                             .fixed = "127.0.0.1:4040",
                             .summary =
                                 "Where the REST API listens: `host:port` of the loopback interface. Port 0 takes "
                                 "a free one, an empty text means no TCP.",
                             .example = "127.0.0.1:4040"},
    [CONFIG_HTTP_SOCKET] = {.key = "http.socket",
                            .flag = "--socket",
                            .type = CONFIG_TYPE_STRING,
                            MEMBER(http.socket),
                            .max = 107, /* sun_path */
                            .computed = default_socket,
                            .default_text =
                                "`$RUNTIME_DIRECTORY/rocd.sock`; with `--state-dir` in that directory; as root "
                                "`/run/rocd.sock`; else `$XDG_RUNTIME_DIR/rocd.sock` or in the state directory",
                            .summary = "The unix socket of the REST API; an empty text means none.",
                            .example = "/run/rocd.sock"},
    [CONFIG_SIGNALING_ADDRESS] = {.key = "signaling.address",
                                  .flag = "--signaling",
                                  .type = CONFIG_TYPE_STRING,
                                  MEMBER(signaling.address),
                                  .max = 255,
                                  .fixed = "0.0.0.0:4041",
                                  .summary =
                                      "Where the peers of `site.peers` reach this one: `host:port` of TCP. Port 0 "
                                      "takes a free one. An empty text means no peers: none is listened to, none "
                                      "is dialed.",
                                  .example = "0.0.0.0:4041"},
    [CONFIG_MEDIA_ADDRESS] = {.key = "media.address",
                              .flag = "--media",
                              .type = CONFIG_TYPE_STRING,
                              MEMBER(media.address),
                              .min = 1,
                              .max = 255,
                              .fixed = "0.0.0.0:4042",
                              .summary = "Where sound of other peers arrives, and where sound to them comes from: "
                                         "`host:port` of UDP. Port 0 takes a free one.",
                              .example = "0.0.0.0:4042"},
    [CONFIG_AUDIO_DRIVER] = {.key = "audio.driver",
                             .flag = "--driver",
                             .type = CONFIG_TYPE_STRING,
                             MEMBER(audio.driver),
                             .min = 1,
                             .max = 127,
                             .fixed = "auto",
                             .summary =
                                 "The drivers that make endpoints, with commas between them: `pipewire`, `alsa`, "
                                 "`file`, `tone`, `null`. `auto` stands for all of them, but takes `alsa` only where "
                                 "no PipeWire has a socket when rocd starts, or this build has no driver for it. "
                                 "`none` means none at all.",
                             .example = "auto"},
    [CONFIG_AUDIO_THREADS] = {.key = "audio.threads",
                              .type = CONFIG_TYPE_UINT,
                              MEMBER(audio.threads),
                              .max = 64,
                              .fixed = "0",
                              .summary = "Media threads; 0 takes as many as the processor is good for.",
                              .example = "2"},
    [CONFIG_AUDIO_REALTIME] = {.key = "audio.realtime",
                               .type = CONFIG_TYPE_BOOL,
                               MEMBER(audio.realtime),
                               .fixed = "true",
                               .summary = "Ask the system for real-time scheduling of media threads. Where it refuses, "
                                          "rocd goes on without.",
                               .example = "true"},
    [CONFIG_ROC_PORT_MIN] = {.key = "roc.port_min",
                             .type = CONFIG_TYPE_UINT,
                             MEMBER(roc.port_min),
                             .min = 1,
                             .max = 65535,
                             .fixed = "10000",
                             .summary =
                                 "First UDP port for external Roc streams that leave the choice to rocd (port 0).",
                             .example = "10000"},
    [CONFIG_ROC_PORT_MAX] = {.key = "roc.port_max",
                             .type = CONFIG_TYPE_UINT,
                             MEMBER(roc.port_max),
                             .min = 1,
                             .max = 65535,
                             .fixed = "10999",
                             .summary = "Last of these ports. A stream takes up to three.",
                             .example = "10999"},
    [CONFIG_LOG_LEVEL] = {.key = "log.level",
                          .flag = "-v",
                          .type = CONFIG_TYPE_WORD,
                          MEMBER(log.level),
                          .words = {"error", "warn", "info", "debug", "trace"},
                          .fixed = "info",
                          .summary = "How much is logged.",
                          .example = "info"},
};

#undef MEMBER
#define MEMBER(m) .offset = offsetof(struct config_peer, m)

const char CONFIG_PEERS_SUMMARY[] =
    "The other peers of the site, those that may command this one and be commanded by it. Trust is mutual: each of two "
    "peers lists the other, and a peer that is not listed is refused before it says a word.";

const struct config_field CONFIG_PEER_SCHEMA[CONFIG_PEER_N_KEYS] = {
    [CONFIG_PEER_ID] = {.key = "id",
                        .type = CONFIG_TYPE_STRING,
                        MEMBER(id),
                        .min = 1,
                        .max = 128,
                        .summary = "Its node id, as `rocctl id` or `rocd --print-id` shows it there.",
                        .example = "25njqam-cweflpv-kl73j4s-zahhiho-c4xt3kt-cgjnpai-ngr5yhk-enaan5g"},
    [CONFIG_PEER_ADDRESS] = {.key = "address",
                             .type = CONFIG_TYPE_STRING,
                             MEMBER(address),
                             .max = 255,
                             .fixed = "",
                             .summary = "`host:port` of its `signaling.address`, as it is reached from here. Without "
                                        "one the peer is not dialed: it dials this one. One of two peers needs to know "
                                        "the other's. No two of them have the same.",
                             .example = "kitchen.example:4041"},
    [CONFIG_PEER_ROLE] = {.key = "role",
                          .type = CONFIG_TYPE_WORD,
                          MEMBER(role),
                          .words = {"viewer", "operator", "admin"},
                          .fixed = "operator",
                          .summary = "What it may do here: a `viewer` reads, an `operator` also makes and changes "
                                     "streams and endpoints, an `admin` also changes settings of this peer.",
                          .example = "operator"},
};

const char *config_key_name(enum config_key key) {
    return CONFIG_SCHEMA[key].key;
}

/* ---- setting and showing one member ---- */

static char **string_at(void *object, const struct config_field *f) {
    return (char **)(void *)((char *)object + f->offset);
}

static bool set_string(void *object, const struct config_field *f, const char *text) {
    char *copy = strdup(text);
    if (!copy)
        return false;
    char **at = string_at(object, f);
    free(*at);
    *at = copy;
    return true;
}

static bool parse_uint(const char *text, uint32_t *ret) {
    uint64_t value = 0;
    size_t n = strspn(text, "0123456789");
    if (n == 0 || n > 10 || text[n])
        return false;
    for (size_t i = 0; i < n; i++)
        value = value * 10 + (uint64_t)(text[i] - '0');
    if (value > UINT32_MAX)
        return false;
    *ret = (uint32_t)value;
    return true;
}

static bool has_control_character(const char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    return false;
}

static const char *words_text(const struct config_field *f, char scratch[static 160]) {
    size_t n = (size_t)snprintf(scratch, 160, "one of");
    for (size_t i = 0; i < CONFIG_WORDS_MAX && f->words[i]; i++)
        n += (size_t)snprintf(scratch + n, 160 - n, "%s %s", i ? "," : "", f->words[i]);
    return scratch;
}

static bool is_word(const struct config_field *f, const char *text) {
    for (size_t i = 0; i < CONFIG_WORDS_MAX && f->words[i]; i++)
        if (!strcmp(f->words[i], text))
            return true;
    return false;
}

enum err config_field_set(void *object, const struct config_field *f, const char *text, char scratch[static 160],
                          const char **ret_expected) {
    void *at = (char *)object + f->offset;
    uint32_t value;
    switch (f->type) {
    case CONFIG_TYPE_WORD:
        if (!is_word(f, text)) {
            *ret_expected = words_text(f, scratch);
            return ERR_INVALID;
        }
        return set_string(object, f, text) ? ERR_OK : ERR_NO_MEMORY;
    case CONFIG_TYPE_STRING:
        if (strlen(text) < f->min || strlen(text) > f->max || has_control_character(text)) {
            snprintf(scratch, 160, "a text of %" PRIu32 " to %" PRIu32 " bytes without control characters", f->min,
                     f->max);
            *ret_expected = scratch;
            return ERR_INVALID;
        }
        return set_string(object, f, text) ? ERR_OK : ERR_NO_MEMORY;
    case CONFIG_TYPE_UINT:
        if (!parse_uint(text, &value) || value < f->min || value > f->max) {
            snprintf(scratch, 160, "a whole number from %" PRIu32 " to %" PRIu32, f->min, f->max);
            *ret_expected = scratch;
            return ERR_INVALID;
        }
        *(uint32_t *)at = value;
        return ERR_OK;
    case CONFIG_TYPE_BOOL:
        if (strcmp(text, "true") && strcmp(text, "false")) {
            *ret_expected = "true or false";
            return ERR_INVALID;
        }
        *(bool *)at = !strcmp(text, "true");
        return ERR_OK;
    }
    return ERR_INTERNAL;
}

const char *config_field_text(const void *object, const struct config_field *f, char scratch[static 160]) {
    const void *at = (const char *)object + f->offset;
    switch (f->type) {
    case CONFIG_TYPE_STRING:
    case CONFIG_TYPE_WORD:
        return *(char *const *)at;
    case CONFIG_TYPE_UINT:
        snprintf(scratch, 160, "%" PRIu32, *(const uint32_t *)at);
        return scratch;
    case CONFIG_TYPE_BOOL:
        return *(const bool *)at ? "true" : "false";
    }
    return "";
}

enum err config_field_default(struct config *c, enum config_key key, struct err_info *reterr) {
    const struct config_field *f = &CONFIG_SCHEMA[key];
    char *computed = f->computed ? f->computed(c) : nullptr;
    const char *text = f->computed ? computed : f->fixed;
    char scratch[160];
    const char *expected = "";
    enum err e = ERR_NO_MEMORY;
    if (text)
        e = config_field_set(c, f, text, scratch, &expected);
    /* a home directory may be deeper than a socket may be: then there is none, unless it is given */
    if (e == ERR_INVALID && key == CONFIG_HTTP_SOCKET)
        e = config_field_set(c, f, "", scratch, &expected);
    if (e == ERR_INVALID)
        e = err_set_at(reterr, e, f->key, "the default of %s is '%s', which is not %s: set it", f->key, text, expected);
    else if (e != ERR_OK)
        e = err_set(reterr, e, "the configuration could not be made: out of memory");
    free(computed);
    return e;
}

void config_field_free(void *object, const struct config_field *f) {
    if (f->type != CONFIG_TYPE_STRING && f->type != CONFIG_TYPE_WORD)
        return;
    free(*string_at(object, f));
    *string_at(object, f) = nullptr;
}
