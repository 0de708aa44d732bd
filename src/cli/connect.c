/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/connection.h"
#include "cli/number.h"
#include "cli/site.h"

enum { LATENCY, FEC, NAME, PROFILE, GAIN, ALLOW, NO_CONTROL, DISABLED };

static const char *const FECS[] = {"rs8m", "ldpc", "none", nullptr};
static const char *const PROFILES[] = {"intact", "responsive", "gradual", nullptr};

static const struct option_def OPTIONS[] = {
    [LATENCY] = {'l', "latency", OPTION_VALUE, "MS",
                 "Target latency in milliseconds, or auto, as without it: it follows the network."},
    [FEC] = {0, "fec", OPTION_VALUE, "CODE",
             "How lost packets are repaired: rs8m, ldpc or none. URIs tell it by themselves.", FECS},
    [NAME] = {'n', "name", OPTION_VALUE, "NAME", "A name for the stream."},
    [PROFILE] = {0, "profile", OPTION_VALUE, "PROFILE", "How clocks are matched: intact, responsive or gradual.",
                 PROFILES},
    [GAIN] = {0, "gain", OPTION_VALUE, "DB", "Gain, from -60 to 12."},
    [ALLOW] = {0, "allow", OPTION_LIST, "IP",
               "For URIs as source: take packets from this address only. May be repeated."},
    [NO_CONTROL] = {0, "no-control", OPTION_FLAG, nullptr, "Do not add a control URI."},
    [DISABLED] = {0, "disabled", OPTION_FLAG, nullptr, "Make the stream, but do not start it."},
    {},
};

/* Arguments are sides, or URIs that belong to the side before them. */
static enum err read_sides(const char **args, int n_args, struct connection sides[static 2], struct err_info *reterr) {
    int n = 0;
    for (int i = 0; i < n_args; i++) {
        enum err e;
        if (n > 0 && connection_is_companion(args[i]))
            e = connection_add(&sides[n - 1], args[i], reterr);
        else if (n == 2)
            e = err_set(reterr, ERR_INVALID, "'%s' is one side too many: a stream has a source and a destination",
                        args[i]);
        else
            e = connection_parse(&sides[n++], args[i], reterr);
        if (e != ERR_OK)
            return e;
    }
    return n == 2 ? ERR_OK : err_set(reterr, ERR_INVALID, "a stream needs a source and a destination");
}

static void tell_derived(const struct cli *cli, const struct connection *c) {
    if (c->repair_derived)
        fprintf(cli->err, "rocctl: taking %s for repair\n", c->repair);
    if (c->control_derived)
        fprintf(cli->err, "rocctl: taking %s for control\n", c->control);
}

/* Adds the side to the request; the site finds names. */
static enum err add_side(yyjson_mut_doc *doc, const char *key, const struct connection *c, const struct site *site,
                         const struct option_result *allowed, struct err_info *reterr) {
    yyjson_mut_val *side = yyjson_mut_obj_add_obj(doc, yyjson_mut_doc_get_root(doc), key);
    if (c->endpoint) {
        yyjson_val *endpoint = nullptr;
        enum err e = site_find_endpoint(site, c->endpoint, &endpoint, reterr);
        if (e != ERR_OK)
            return e;
        yyjson_mut_obj_add_str(doc, side, "connection_type", "endpoint");
        yyjson_mut_obj_add_strcpy(doc, side, "endpoint_uri", json_str(endpoint, "endpoint_uri"));
        return ERR_OK;
    }
    yyjson_mut_obj_add_str(doc, side, "connection_type", "external");
    yyjson_mut_obj_add_str(doc, side, "media_uri", c->media);
    if (c->repair[0])
        yyjson_mut_obj_add_str(doc, side, "repair_uri", c->repair);
    if (c->control[0])
        yyjson_mut_obj_add_str(doc, side, "control_uri", c->control);
    if (allowed->n_list) {
        yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, side, "allowed_sources");
        for (size_t i = 0; i < allowed->n_list; i++)
            yyjson_mut_arr_add_str(doc, list, allowed->list[i]);
    }
    return ERR_OK;
}

static enum err add_settings(yyjson_mut_doc *doc, const struct connection sides[static 2],
                             const struct option_result *options, struct err_info *reterr) {
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    yyjson_mut_val *settings = yyjson_mut_obj_add_obj(doc, root, "settings");
    const char *by_uri = connection_fec(&sides[0]) ? connection_fec(&sides[0]) : connection_fec(&sides[1]);
    const char *fec = options[FEC].value ? options[FEC].value : by_uri;
    if (by_uri && strcmp(fec, by_uri))
        return err_set(reterr, ERR_INVALID, "--fec %s does not fit the URI, which says %s: change one of them", fec,
                       by_uri);
    double number;
    if (fec)
        yyjson_mut_obj_add_str(doc, settings, "fec", fec);
    if (options[LATENCY].value && strcmp(options[LATENCY].value, "auto")) {
        if (!number_parse(options[LATENCY].value, &number) || number < 0 || number != (double)(int64_t)number)
            return err_set(reterr, ERR_INVALID, "--latency: expected whole milliseconds or auto, found '%s'",
                           options[LATENCY].value);
        yyjson_mut_obj_add_sint(doc, settings, "target_latency_ms", (int64_t)number);
    }
    if (options[GAIN].value) {
        if (!number_parse(options[GAIN].value, &number))
            return err_set(reterr, ERR_INVALID, "--gain: expected decibels, found '%s'", options[GAIN].value);
        yyjson_mut_obj_add_real(doc, settings, "gain_db", number);
    }
    if (options[PROFILE].value)
        yyjson_mut_obj_add_str(doc, settings, "latency_profile", options[PROFILE].value);
    if (options[NAME].value)
        yyjson_mut_obj_add_str(doc, root, "display_name", options[NAME].value);
    if (options[DISABLED].count)
        yyjson_mut_obj_add_bool(doc, root, "enabled", false);
    return ERR_OK;
}

static enum cli_exit post(struct cli *cli, yyjson_mut_doc *doc, const struct connection sides[static 2],
                          const struct option_result *options) {
    static const struct option_result NONE = {};
    struct err_info info;
    struct site site = {};
    yyjson_mut_doc_set_root(doc, yyjson_mut_obj(doc));
    if (add_settings(doc, sides, options, &info) != ERR_OK)
        return cli_fail(cli, CLI_USAGE, "%s", info.message);
    if (options[ALLOW].n_list && sides[0].endpoint)
        return cli_fail(cli, CLI_USAGE, "--allow is for URIs as source, and '%s' is an endpoint", sides[0].endpoint);
    if (sides[0].endpoint || sides[1].endpoint) {
        enum cli_exit exit = site_load(cli, &site);
        if (exit != CLI_OK)
            return exit;
    }
    enum err e = add_side(doc, "source", &sides[0], &site, &options[ALLOW], &info);
    if (e == ERR_OK)
        e = add_side(doc, "destination", &sides[1], &site, &NONE, &info);
    site_finish(&site);
    if (e != ERR_OK)
        return cli_fail(cli, CLI_FAILED, "%s", info.message);
    return cli_create(cli, "/streams", doc, "made stream", "stream_uid");
}

static enum cli_exit run(struct cli *cli, const char **args, int n_args, const struct option_result *options) {
    struct connection sides[2] = {};
    struct err_info info;
    enum err e = read_sides(args, n_args, sides, &info);
    for (int i = 0; i < 2 && e == ERR_OK; i++)
        e = connection_derive(&sides[i], options[NO_CONTROL].count > 0, &info);
    if (e != ERR_OK)
        return cli_fail(cli, CLI_USAGE, "%s", info.message);
    for (int i = 0; i < 2; i++)
        tell_derived(cli, &sides[i]);
    yyjson_mut_doc *doc = yyjson_mut_doc_new(nullptr);
    enum cli_exit exit = doc ? post(cli, doc, sides, options) : cli_fail(cli, CLI_FAILED, "out of memory");
    yyjson_mut_doc_free(doc);
    return exit;
}

const struct command COMMAND_CONNECT = {
    .name = "connect",
    .args = "SRC DST [OPTION…]",
    .summary = "Make a stream from a source to a destination",
    .details =
        "SRC and DST are endpoints, by name, uid or the beginning of a uid, or Roc URIs: media[,repair[,control]].\n"
        "An endpoint of another peer is PEER/ENDPOINT; PEER is a name, a uid or self, and may be left out where the\n"
        "endpoint's name is the only one of its kind. Both ends may be at other peers than the one that is asked.\n"
        "URIs as source are local addresses to listen at, as destination they tell where to send. With rtp+rs8m://\n"
        "and rtp+ldpc:// the repair and control URIs may be left out: then the next two ports are taken.",
    .examples = "  rocctl connect Radio rtp+rs8m://192.0.2.10:10001 --latency 100\n"
                "  rocctl connect rtp+rs8m://0.0.0.0:10001 Recorder --allow 192.0.2.20\n"
                "  rocctl connect office/Radio kitchen/Speaker\n"
                "  rocctl connect Radio rtp://192.0.2.10:10001,rtcp://192.0.2.10:10003\n",
    .min_args = 2,
    .max_args = 6,
    .options = OPTIONS,
    .names = "endpoints",
    .run = run,
};
