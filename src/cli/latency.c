/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "cli/cli.h"
#include "cli/show.h"
#include "cli/site.h"

/* One stream: what its latency shall be, what it is, and where it goes. */

static const struct {
    const char *member, *what;
} STAGES[] = {
    {"capture", "from the air to where it can be encoded"},
    {"encode", "until a packet is full"},
    {"fec_block", "waits so that its FEC block can still repair it"},
    {"network", "one way"},
    {"jitter_buffer", "waits so that uneven packets do no harm"},
    {"resampler", "half the length of its filter"},
    {"playback", "from where it is decoded to the air"},
};

static void print_target(const struct cli *cli, yyjson_val *stream) {
    yyjson_val *settings = yyjson_obj_get(stream, "settings");
    yyjson_val *status = yyjson_obj_get(stream, "status");
    double target = json_num(yyjson_obj_get(status, "latency_ms"), "target", -1);
    bool is_auto = !yyjson_is_num(yyjson_obj_get(settings, "target_latency_ms"));
    fputs("target      ", cli->out);
    if (target < 0)
        fputs("not known yet", cli->out);
    else
        fprintf(cli->out, "%.0f ms", target);
    if (is_auto)
        fputs(", chosen by auto", cli->out);
    yyjson_val *change = yyjson_obj_get(status, "latency_change");
    if (!yyjson_is_obj(change)) {
        fputc('\n', cli->out);
        return;
    }
    struct buf message = {};
    text_append(&message, json_str(change, "message"));
    fprintf(cli->out, "\n            was %.0f ms until %s: %s\n", json_num(change, "from_ms", 0),
            json_str(change, "at"), message.data ? message.data : "");
    buf_finish(&message);
}

static void print_stages(const struct cli *cli, yyjson_val *stages) {
    struct table table = {.n_columns = 4, .right = 1 << 1, .max_width = text_terminal_width(cli->out)};
    static const char *const HEADING[] = {"STAGE", "TIME", "METHOD", "WHAT"};
    for (size_t i = 0; i < table.n_columns; i++)
        table_cell(&table, TEXT_DIM, "%s", HEADING[i]);
    for (size_t i = 0; i < sizeof STAGES / sizeof STAGES[0]; i++) {
        yyjson_val *stage = yyjson_obj_get(stages, STAGES[i].member);
        table_cell(&table, TEXT_PLAIN, "%s", STAGES[i].member);
        table_cell(&table, TEXT_PLAIN, "%.1f ms", json_num(stage, "ms", 0));
        table_cell(&table, TEXT_PLAIN, "%s", json_str(stage, "method"));
        table_cell(&table, TEXT_DIM, "%s", STAGES[i].what);
    }
    table_print(&table, cli->color, cli->out);
    table_finish(&table);
}

static enum cli_exit show(struct cli *cli, yyjson_val *stream) {
    yyjson_val *status = yyjson_obj_get(stream, "status");
    yyjson_val *latency = yyjson_obj_get(status, "latency_ms");
    const char *state = json_str(status, "state");
    if (cli->json) {
        cli_print_json(cli, latency);
        return CLI_OK;
    }
    struct buf name = {};
    text_append(&name, json_str(stream, "display_name"));
    fprintf(cli->out, "%s%s%s  %s%s%s\n", text_color(TEXT_BOLD, cli->color), name.data ? name.data : "",
            text_color_off(cli->color), text_color(show_state_color(state), cli->color), state,
            text_color_off(cli->color));
    buf_finish(&name);
    print_target(cli, stream);
    double end_to_end = json_num(latency, "end_to_end", -1);
    if (end_to_end >= 0)
        fprintf(cli->out, "end to end  %.1f ms, %s\n", end_to_end, json_str(latency, "method"));
    else
        fputs("end to end  not known: no sound comes, or its sender tells neither pings nor times\n", cli->out);
    if (yyjson_is_obj(yyjson_obj_get(latency, "stages")))
        print_stages(cli, yyjson_obj_get(latency, "stages"));
    return CLI_OK;
}

static enum cli_exit run(struct cli *cli, const char **args, int, const struct option_result *) {
    return site_with_stream(cli, args[0], show);
}

const struct command COMMAND_LATENCY = {
    .name = "latency",
    .args = "STREAM",
    .summary = "Show how late the sound of a stream is, and where the time goes",
    .details =
        "STREAM is a name, a uid or the beginning of a uid. The stages add up to the whole; what is measured and what\n"
        "follows from the settings is said for each. `rocctl set STREAM --latency MS` changes the target.",
    .examples = "  rocctl latency Radio\n  rocctl latency Radio --json | jq .stages.network.ms\n",
    .min_args = 1,
    .max_args = 1,
    .names = "streams",
    .run = run,
};
