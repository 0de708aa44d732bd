/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "cli/cli.h"
#include "cli/member.h"
#include "cli/site.h"

enum {
    FILE_NAME,
    RECORD,
    LOOP,
    EXISTING,
    WAVEFORM,
    FREQUENCY,
    LEVEL,
    INTERVAL,
    SOURCE,
    MIX_MINUS,
    CHANNELS,
    RATE,
    PEER
};

static const char *const WAVEFORMS[] = {"sine", "impulse", "noise", "silence", nullptr};
static const char *const ON_EXISTING[] = {"refuse", "overwrite", "number", nullptr};

static const struct option_def OPTIONS[] = {
    [FILE_NAME] = {'f', "file", OPTION_VALUE, "FILE", "file: the sound file, in the media directory of rocd."},
    [RECORD] = {0, "record", OPTION_FLAG, nullptr, "file: record into it instead of playing it."},
    [LOOP] = {0, "loop", OPTION_FLAG, nullptr, "file: begin again at its end."},
    [EXISTING] = {0, "existing", OPTION_VALUE, "WHAT",
                  "file: what to do when the file to record exists: refuse, overwrite or number.", ON_EXISTING},
    [WAVEFORM] = {0, "waveform", OPTION_VALUE, "FORM", "tone: sine, impulse, noise or silence.", WAVEFORMS},
    [FREQUENCY] = {0, "frequency", OPTION_VALUE, "HZ", "tone: pitch of the sine."},
    [LEVEL] = {0, "level", OPTION_VALUE, "DBFS", "tone: peak level, from -120 to 0."},
    [INTERVAL] = {0, "interval", OPTION_VALUE, "MS", "tone: time between two impulses."},
    [SOURCE] = {0, "source", OPTION_FLAG, nullptr, "null: give silence instead of swallowing sound."},
    [MIX_MINUS] = {0, "mix-minus", OPTION_FLAG, nullptr, "bus: every member hears all but itself."},
    [CHANNELS] = {'c', "channels", OPTION_VALUE, "N", "Samples per frame."},
    [RATE] = {'r', "rate", OPTION_VALUE, "HZ", "Frames per second."},
    [PEER] = {0, "peer", OPTION_VALUE, "PEER", "Make it at this peer of the site: its name or uid."},
    {},
};
constexpr size_t N_OPTIONS = PEER; /* that are members of the request */

static const struct {
    const char *kind; /* the only one that knows it; nullptr: all */
    struct member member;
} MEMBERS[N_OPTIONS] = {
    [FILE_NAME] = {"file", {"name", MEMBER_TEXT}},
    [RECORD] = {"file", {"mode", MEMBER_WORD, "record"}},
    [LOOP] = {"file", {"loop", MEMBER_TRUE}},
    [EXISTING] = {"file", {"on_existing", MEMBER_TEXT}},
    [WAVEFORM] = {"tone", {"waveform", MEMBER_TEXT}},
    [FREQUENCY] = {"tone", {"frequency_hz", MEMBER_NUMBER}},
    [LEVEL] = {"tone", {"level_dbfs", MEMBER_NUMBER}},
    [INTERVAL] = {"tone", {"interval_ms", MEMBER_NUMBER}},
    [SOURCE] = {"null", {"direction", MEMBER_WORD, "input"}},
    [MIX_MINUS] = {"bus", {"mix_minus", MEMBER_TRUE}},
    [CHANNELS] = {nullptr, {"channels", MEMBER_INTEGER}},
    [RATE] = {nullptr, {"rate_hz", MEMBER_INTEGER}},
};

/* What people type, and the word of the API with the member that holds what is the kind's own. */
static const char *const WORDS[] = {"file", "tone", "null", "bus", "speaker", "microphone", nullptr};
static const struct {
    const char *kind, *own;
} KINDS[] = {
    {"file", "file"},
    {"tone", "tone"},
    {"null", "null"},
    {"bus", "bus"},
    {"virtual_speaker", nullptr},
    {"virtual_microphone", nullptr},
};

static enum err fill(yyjson_mut_doc *doc, size_t which, const char *name, const struct option_result *options,
                     struct err_info *reterr) {
    const char *kind = KINDS[which].kind;
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "kind", kind);
    yyjson_mut_obj_add_str(doc, root, "display_name", name);
    yyjson_mut_val *own = KINDS[which].own ? yyjson_mut_obj_add_obj(doc, root, KINDS[which].own) : nullptr;
    for (size_t i = 0; i < N_OPTIONS; i++) {
        if (!options[i].count)
            continue;
        if (MEMBERS[i].kind && strcmp(MEMBERS[i].kind, kind))
            return err_set(reterr, ERR_INVALID, "--%s is for the kind %s, not for %s", OPTIONS[i].name, MEMBERS[i].kind,
                           WORDS[which]);
        enum err e = member_add(doc, MEMBERS[i].kind ? own : root, &MEMBERS[i].member, OPTIONS[i].name,
                                options[i].value, reterr);
        if (e != ERR_OK)
            return e;
    }
    if (!strcmp(kind, "file") && !options[FILE_NAME].count)
        return err_set(reterr, ERR_INVALID, "which file? Give its name in the media directory with --file");
    return ERR_OK;
}

static enum cli_exit find_peer(struct cli *cli, const char *typed, char path[static 64]) {
    yyjson_doc *peers = nullptr;
    yyjson_val *peer = nullptr;
    struct err_info info;
    enum cli_exit exit = cli_request(cli, "GET", "/peers", nullptr, &peers);
    if (exit == CLI_OK && site_find_peer(yyjson_doc_get_root(peers), typed, &peer, &info) != ERR_OK)
        exit = cli_fail(cli, CLI_FAILED, "%s", info.message);
    if (exit == CLI_OK)
        snprintf(path, 64, "/peers/%s/endpoints", json_str(peer, "peer_uid"));
    yyjson_doc_free(peers);
    return exit;
}

static enum cli_exit run(struct cli *cli, const char **args, int, const struct option_result *options) {
    size_t kind = 0;
    while (WORDS[kind] && strcmp(WORDS[kind], args[0]))
        kind++;
    if (!WORDS[kind])
        return cli_fail(cli, CLI_USAGE, "there is no kind '%s': use file, tone, null, bus, speaker or microphone",
                        args[0]);
    yyjson_mut_doc *doc = yyjson_mut_doc_new(nullptr);
    if (!doc)
        return cli_fail(cli, CLI_FAILED, "out of memory");
    struct err_info info;
    char path[64] = "/peers/self/endpoints";
    enum cli_exit exit = CLI_OK;
    if (options[PEER].value)
        exit = find_peer(cli, options[PEER].value, path);
    if (exit == CLI_OK && fill(doc, kind, args[1], options, &info) != ERR_OK)
        exit = cli_fail(cli, CLI_USAGE, "%s", info.message);
    else if (exit == CLI_OK)
        exit = cli_create(cli, path, doc, "made endpoint", "endpoint_uid");
    yyjson_mut_doc_free(doc);
    return exit;
}

const struct command COMMAND_CREATE = {
    .name = "create",
    .args = "file|tone|null|bus|speaker|microphone NAME [OPTION…]",
    .summary = "Make an endpoint",
    .details =
        "file plays or records a sound file, tone makes a signal, null swallows sound, bus mixes. A speaker or microphone looks\n"
        "like hardware to the programs of that machine: what they play to the speaker can be streamed from it, and\n"
        "what is streamed to the microphone they record.",
    .examples = "  rocctl create file Radio --file music/radio.flac --loop\n"
                "  rocctl create file Recorder --file session.wav --record\n"
                "  rocctl create tone Test --frequency 1000 --level -40\n"
                "  rocctl create tone Test --peer kitchen\n"
                "  rocctl create bus Intercom --mix-minus\n"
                "  rocctl create speaker 'To the office' --peer kitchen\n",
    .min_args = 2,
    .max_args = 2,
    .options = OPTIONS,
    .words = WORDS,
    .run = run,
};
