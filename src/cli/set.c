/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/member.h"
#include "cli/resolve.h"
#include "cli/site.h"

/* Changes what the user sets of an endpoint or a stream: a merge patch of the options that are given. */

enum { NAME, ENABLE, DISABLE, MUTE, UNMUTE, VOLUME, DELAY, PERIOD, CHANNELS, RATE, GAIN, LATENCY };

static const struct option_def OPTIONS[] = {
    [NAME] = {'n', "name", OPTION_VALUE, "NAME", "What it is called; '' lets rocd choose."},
    [ENABLE] = {0, "enable", OPTION_FLAG, nullptr, "Switch it on."},
    [DISABLE] = {0, "disable", OPTION_FLAG, nullptr, "Switch it off."},
    [MUTE] = {'m', "mute", OPTION_FLAG, nullptr, "Silence it."},
    [UNMUTE] = {'u', "unmute", OPTION_FLAG, nullptr, "Let it be heard again."},
    [VOLUME] = {'v', "volume", OPTION_VALUE, "VOLUME",
                "endpoint: 0 to 1.5, or 0% to 150%, as mixers show it; 'keep' leaves it to the system."},
    [DELAY] = {'d', "delay", OPTION_VALUE, "MS", "endpoint: hold sound back so long."},
    [PERIOD] = {'p', "period", OPTION_VALUE, "MS", "endpoint: how much sound a device moves at a time, or auto."},
    [CHANNELS] = {'c', "channels", OPTION_VALUE, "N", "endpoint: samples per frame."},
    [RATE] = {'r', "rate", OPTION_VALUE, "HZ", "endpoint: frames per second."},
    [GAIN] = {'g', "gain", OPTION_VALUE, "DB", "stream: gain, from -60 to 12."},
    [LATENCY] = {'l', "latency", OPTION_VALUE, "MS", "stream: target latency, or 'auto'."},
    {},
};

enum subject { ENDPOINT = 1, STREAM = 2 };

static const struct {
    struct member member;
    unsigned of;      /* bits of enum subject */
    bool in_settings; /* of a stream */
} MEMBERS[] = {
    [NAME] = {{"display_name", MEMBER_TEXT}, ENDPOINT | STREAM},
    [ENABLE] = {{"enabled", MEMBER_TRUE}, ENDPOINT | STREAM},
    [DISABLE] = {{"enabled", MEMBER_FALSE}, ENDPOINT | STREAM},
    [MUTE] = {{"muted", MEMBER_TRUE}, ENDPOINT | STREAM, true},
    [UNMUTE] = {{"muted", MEMBER_FALSE}, ENDPOINT | STREAM, true},
    [VOLUME] = {{"volume", MEMBER_PERCENT, "keep"}, ENDPOINT},
    [DELAY] = {{"delay_ms", MEMBER_NUMBER}, ENDPOINT},
    [PERIOD] = {{"period_ms", MEMBER_NUMBER, "auto"}, ENDPOINT},
    [CHANNELS] = {{"channels", MEMBER_INTEGER}, ENDPOINT},
    [RATE] = {{"rate_hz", MEMBER_INTEGER}, ENDPOINT},
    [GAIN] = {{"gain_db", MEMBER_NUMBER}, STREAM, true},
    [LATENCY] = {{"target_latency_ms", MEMBER_INTEGER, "auto"}, STREAM, true},
};
constexpr size_t N_MEMBERS = sizeof MEMBERS / sizeof MEMBERS[0];

static enum err fill(yyjson_mut_doc *doc, enum subject subject, const struct option_result *options,
                     struct err_info *reterr) {
    yyjson_mut_val *root = yyjson_mut_obj(doc), *settings = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    size_t n = 0;
    for (size_t i = 0; i < N_MEMBERS; i++) {
        if (!options[i].count)
            continue;
        if (!(MEMBERS[i].of & subject))
            return err_set(reterr, ERR_INVALID, "--%s is for %s, and this is %s", OPTIONS[i].name,
                           subject == STREAM ? "endpoints" : "streams", subject == STREAM ? "a stream" : "an endpoint");
        bool in_settings = subject == STREAM && MEMBERS[i].in_settings;
        enum err err = member_add(doc, in_settings ? settings : root, &MEMBERS[i].member, OPTIONS[i].name,
                                  options[i].value, reterr);
        if (err)
            return err;
        n++;
    }
    if (n == 0)
        return err_set(reterr, ERR_INVALID,
                       "what shall be changed? Give an option, as --volume 50%% (--help lists them)");
    if (options[ENABLE].count && options[DISABLE].count)
        return err_set(reterr, ERR_INVALID, "--enable and --disable exclude each other");
    if (options[MUTE].count && options[UNMUTE].count)
        return err_set(reterr, ERR_INVALID, "--mute and --unmute exclude each other");
    if (yyjson_mut_obj_size(settings) > 0)
        yyjson_mut_obj_add_val(doc, root, "settings", settings);
    return ERR_OK;
}

static enum cli_exit change(struct cli *cli, yyjson_val *object, enum subject subject,
                            const struct option_result *options) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(nullptr);
    yyjson_doc *answer = nullptr;
    struct err_info info;
    enum cli_exit exit = CLI_OK;
    char *body = nullptr;
    if (!doc)
        return cli_fail(cli, CLI_FAILED, "out of memory");
    if (fill(doc, subject, options, &info) != ERR_OK)
        exit = cli_fail(cli, CLI_USAGE, "%s", info.message);
    else if (!(body = yyjson_mut_write(doc, 0, nullptr)))
        exit = cli_fail(cli, CLI_FAILED, "out of memory");
    else
        exit = cli_request(cli, "PATCH", json_str(object, subject == STREAM ? "stream_uri" : "endpoint_uri"), body,
                           &answer);
    if (exit == CLI_OK && cli->json)
        cli_print_json(cli, yyjson_doc_get_root(answer));
    else if (exit == CLI_OK)
        fprintf(cli->out, "changed %s %s\n", subject == STREAM ? "stream" : "endpoint",
                json_str(object, subject == STREAM ? "stream_uid" : "endpoint_uid"));
    free(body);
    yyjson_doc_free(answer);
    yyjson_mut_doc_free(doc);
    return exit;
}

static enum cli_exit run(struct cli *cli, const char **args, int, const struct option_result *options) {
    struct site site = {};
    struct err_info info, info_stream;
    yyjson_val *object = nullptr;
    enum subject subject = ENDPOINT;
    enum cli_exit exit = site_load(cli, &site);
    if (exit != CLI_OK)
        return exit;
    enum err err = site_find_endpoint(&site, args[0], &object, &info);
    if (err == ERR_NOT_FOUND && resolve_stream(site.streams, args[0], &object, &info_stream) == ERR_OK) {
        subject = STREAM;
        err = ERR_OK;
    }
    exit = err ? cli_fail(cli, CLI_FAILED, "%s", info.message) : change(cli, object, subject, options);
    site_finish(&site);
    return exit;
}

const struct command COMMAND_SET = {
    .name = "set",
    .args = "ENDPOINT|STREAM OPTION…",
    .summary = "Change an endpoint or a stream",
    .details =
        "What is not named stays as it is. A name that an endpoint and a stream share is the endpoint's; the uid tells\n"
        "the stream.",
    .examples = "  rocctl set Speakers --volume 40%\n"
                "  rocctl set kitchen/Speakers --name Kitchen --unmute\n"
                "  rocctl set Radio --gain -6 --latency auto\n",
    .min_args = 1,
    .max_args = 1,
    .options = OPTIONS,
    .names = "endpoints",
    .run = run,
};
