/* SPDX-License-Identifier: MPL-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/api_priv.h"
#include "api/call.h"
#include "api/lists.h"
#include "base/cleanup.h"
#include "orchestrator/orchestrator.h"
#include "os/process.h"

/*
 * Prometheus text format 0.0.4. Families are rows of tables: name, kind, help, and where the figure lies in the status
 * that the API shows too; so both say the same.
 */
enum figure_kind { FIGURE_INT64, FIGURE_INT32, FIGURE_DOUBLE };

struct family {
    const char *name;
    const char *type; /* "counter", "gauge" */
    const char *help;
    enum figure_kind kind;
    size_t offset;
    size_t presence_offset; /* of its enum presence, or NO_PRESENCE */
    double scale;           /* what it is multiplied with: Prometheus wants seconds */
    const char *label;      /* one more label, `key="value"`, or nullptr */
};

constexpr size_t NO_PRESENCE = SIZE_MAX;

#define STREAM(member) offsetof(struct stream_status, member)
#define COUNTER(n, m, h) \
    {.name = n, \
     .type = "counter", \
     .help = h, \
     .kind = FIGURE_INT64, \
     .offset = STREAM(m), \
     .presence_offset = NO_PRESENCE, \
     .scale = 1}
#define LATENCY(m, stage) \
    {.name = "rocd_stream_latency_seconds", \
     .type = "gauge", \
     .help = "Latency by stage; absent while unknown.", \
     .kind = FIGURE_DOUBLE, \
     .offset = STREAM(latency_ms.m), \
     .presence_offset = STREAM(latency_ms.has_##m), \
     .scale = 1e-3, \
     .label = "stage=\"" stage "\""}
#define STAGE(m) \
    {.name = "rocd_stream_latency_stage_seconds", \
     .type = "gauge", \
     .help = "Where the latency goes; the sum is that from end to end. Absent unless measured.", \
     .kind = FIGURE_DOUBLE, \
     .offset = STREAM(latency_ms.stages.m.ms), \
     .presence_offset = STREAM(latency_ms.has_stages), \
     .scale = 1e-3, \
     .label = "stage=\"" #m "\""}
#define LOST_SAMPLES(m, cause) \
    {.name = "rocd_stream_lost_frames_total", \
     .type = "counter", \
     .help = "Frames of sound the destination had to do without, by who is to blame.", \
     .kind = FIGURE_INT64, \
     .offset = STREAM(samples.m), \
     .presence_offset = NO_PRESENCE, \
     .scale = 1, \
     .label = "cause=\"" cause "\""}

#define GLITCHES(m) \
    {.name = "rocd_stream_glitches_total", \
     .type = "counter", \
     .help = "Pieces of sound that were lost, by cause.", \
     .kind = FIGURE_INT64, \
     .offset = STREAM(glitches.m), \
     .presence_offset = STREAM(has_glitches), \
     .scale = 1, \
     .label = "cause=\"" #m "\""}

/* Rows of the same name stand together. */
static const struct family STREAM_FAMILIES[] = {
    COUNTER("rocd_stream_packets_sent_total", packets.sent, "Packets sent since the sound path was built."),
    COUNTER("rocd_stream_packets_received_total", packets.received, "Packets received and accepted."),
    COUNTER("rocd_stream_bytes_total", packets.bytes, "Bytes of the packets sent or accepted."),
    COUNTER("rocd_stream_packets_lost_total", packets.lost, "Sound packets that did not come."),
    COUNTER("rocd_stream_packets_repaired_total", packets.repaired, "Lost packets that FEC brought back."),
    COUNTER("rocd_stream_packets_late_total", packets.late, "Packets that came after their moment."),
    COUNTER("rocd_stream_packets_reordered_total", packets.reordered, "Packets that came out of order."),
    COUNTER("rocd_stream_packets_rejected_total", packets.rejected, "Stray, malformed or forged packets."),
    LOST_SAMPLES(lost_network, "network"),
    LOST_SAMPLES(lost_machine, "machine"),
    LOST_SAMPLES(lost_sender, "sender"),
    GLITCHES(network_loss),
    GLITCHES(late),
    GLITCHES(stall),
    GLITCHES(device_xrun),
    GLITCHES(sender_stopped),
    GLITCHES(clock_jump),
    GLITCHES(resync),
    LATENCY(end_to_end, "end_to_end"),
    LATENCY(target, "target"),
    LATENCY(network, "network"),
    LATENCY(queue, "queue"),
    STAGE(capture),
    STAGE(encode),
    STAGE(fec_block),
    STAGE(network),
    STAGE(jitter_buffer),
    STAGE(resampler),
    STAGE(playback),
    {.name = "rocd_stream_jitter_seconds",
     .type = "gauge",
     .help = "How unevenly packets come.",
     .kind = FIGURE_DOUBLE,
     .offset = STREAM(packets.jitter_ms),
     .presence_offset = NO_PRESENCE,
     .scale = 1e-3},
    {.name = "rocd_stream_bitrate_bits_per_second",
     .type = "gauge",
     .help = "Over the last seconds.",
     .kind = FIGURE_DOUBLE,
     .offset = STREAM(packets.bitrate_kbps),
     .presence_offset = NO_PRESENCE,
     .scale = 1e3},
    {.name = "rocd_stream_uptime_seconds",
     .type = "gauge",
     .help = "Since the sound path was built.",
     .kind = FIGURE_DOUBLE,
     .offset = STREAM(uptime_s),
     .presence_offset = NO_PRESENCE,
     .scale = 1},
    COUNTER("rocd_stream_restarts_total", restarts, "How often the sound path was built again after a failure."),
    COUNTER("rocd_stream_late_ticks_total", ledger.late_ticks, "Ticks of the machine that came too late."),
    COUNTER("rocd_stream_stalls_total", ledger.stalls, "Stalls of the machine that cost sound."),
};

#define ENDPOINT(member) offsetof(struct endpoint_status, member)
static const struct family ENDPOINT_FAMILIES[] = {
    {.name = "rocd_endpoint_frames_total",
     .type = "counter",
     .help = "Frames moved in the present run.",
     .kind = FIGURE_INT64,
     .offset = ENDPOINT(frames),
     .presence_offset = NO_PRESENCE,
     .scale = 1},
    {.name = "rocd_endpoint_active_streams",
     .type = "gauge",
     .help = "Streams that use it now.",
     .kind = FIGURE_INT32,
     .offset = ENDPOINT(active_streams),
     .presence_offset = NO_PRESENCE,
     .scale = 1},
    {.name = "rocd_endpoint_late_ticks_total",
     .type = "counter",
     .help = "Ticks of the machine that came too late.",
     .kind = FIGURE_INT64,
     .offset = ENDPOINT(ledger.late_ticks),
     .presence_offset = NO_PRESENCE,
     .scale = 1},
    {.name = "rocd_endpoint_xruns_total",
     .type = "counter",
     .help = "Times the device found too little sound, or no room for its own; absent where there is no device.",
     .kind = FIGURE_INT64,
     .offset = ENDPOINT(xruns),
     .presence_offset = ENDPOINT(has_xruns),
     .scale = 1},
};

/* An object with its labels, made once. */
struct subject {
    const void *status;
    int state;
    const double *levels;
    uint32_t n_levels;
    char labels[512]; /* `stream="…",name="…"` */
};

struct subjects {
    size_t n;
    struct subject *all; /* owned */
    const char *prefix;  /* "rocd_stream" */
    const struct schema_enum *states;
};

/* ---- writing ---- */

static void head(struct buf *to, const char *name, const char *type, const char *help) {
    buf_printf(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Label values escape backslash, quote and newline; names hold no other control characters. */
static void escape(char *to, size_t size, const char *from) {
    size_t used = 0;
    for (; *from && used + 3 < size; from++) {
        if (*from == '\\' || *from == '"' || *from == '\n')
            to[used++] = '\\';
        to[used++] = *from == '\n' ? 'n' : *from;
    }
    to[used] = 0;
}

static bool figure(const struct family *family, const void *status, double *ret) {
    const char *base = status;
    if (family->presence_offset != NO_PRESENCE &&
        *(const enum presence *)(base + family->presence_offset) != PRESENCE_VALUE)
        return false;
    const char *at = base + family->offset;
    switch (family->kind) {
    case FIGURE_INT64:
        *ret = (double)*(const int64_t *)(const void *)at * family->scale;
        break;
    case FIGURE_INT32:
        *ret = (double)*(const int32_t *)(const void *)at * family->scale;
        break;
    case FIGURE_DOUBLE:
        *ret = *(const double *)(const void *)at * family->scale;
        break;
    }
    return true;
}

static void write_families(struct buf *to, const struct family *families, size_t n, const struct subjects *subjects) {
    for (size_t i = 0; i < n; i++) {
        const struct family *family = &families[i];
        if (i == 0 || family->name != families[i - 1].name)
            head(to, family->name, family->type, family->help);
        for (size_t j = 0; j < subjects->n; j++) {
            double value = 0;
            if (figure(family, subjects->all[j].status, &value))
                buf_printf(to, "%s{%s%s%s} %.15g\n", family->name, subjects->all[j].labels, family->label ? "," : "",
                           family->label ? family->label : "", value);
        }
    }
}

/* One sample for each state, 1 for the present one, as Prometheus has no words. */
static void write_states(struct buf *to, const struct subjects *subjects) {
    char name[64];
    snprintf(name, sizeof name, "%s_state", subjects->prefix);
    head(to, name, "gauge", "1 for the state it is in, 0 for the others.");
    for (size_t i = 0; i < subjects->n; i++)
        for (size_t s = 0; s < subjects->states->n_names; s++)
            buf_printf(to, "%s{%s,state=\"%s\"} %d\n", name, subjects->all[i].labels, subjects->states->names[s],
                       subjects->all[i].state == (int)s);
}

static void write_levels(struct buf *to, const struct subjects *subjects) {
    char name[64];
    snprintf(name, sizeof name, "%s_level_dbfs", subjects->prefix);
    head(to, name, "gauge", "Peak level of each channel in the last moments; -120 is silence.");
    for (size_t i = 0; i < subjects->n; i++)
        for (uint32_t c = 0; c < subjects->all[i].n_levels; c++)
            buf_printf(to, "%s{%s,channel=\"%" PRIu32 "\"} %.6g\n", name, subjects->all[i].labels, c,
                       subjects->all[i].levels[c]);
}

/* ---- what is written ---- */

static void set_labels(struct subject *subject, const char *kind, const char *uid, const char *display_name) {
    char name[2 * 128 + 8];
    escape(name, sizeof name, display_name);
    snprintf(subject->labels, sizeof subject->labels, "%s=\"%s\",name=\"%s\"", kind, uid, name);
}

static void write_streams(struct buf *to, const struct orchestrator *orchestrator) {
    size_t n;
    _cleanup_(freep) const struct registry_stream **streams = lists_streams(orchestrator, &n, &to->failed);
    _cleanup_(freep) struct subject *all = calloc(n ? n : 1, sizeof *all);
    if (!all) {
        to->failed = true;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const struct stream_status *status = &streams[i]->status;
        all[i] = (struct subject){.status = status,
                                  .state = (int)status->state,
                                  .levels = status->level_dbfs,
                                  .n_levels = status->n_level_dbfs};
        set_labels(&all[i], "stream", streams[i]->uid, streams[i]->spec.display_name);
    }
    struct subjects subjects = {n, all, "rocd_stream", &stream_state_enum};
    write_states(to, &subjects);
    write_families(to, STREAM_FAMILIES, sizeof STREAM_FAMILIES / sizeof STREAM_FAMILIES[0], &subjects);
    write_levels(to, &subjects);
}

static void write_endpoints(struct buf *to, const struct orchestrator *orchestrator) {
    size_t n;
    _cleanup_(freep) const struct registry_endpoint **endpoints = lists_endpoints(orchestrator, &n, &to->failed);
    _cleanup_(freep) struct subject *all = calloc(n ? n : 1, sizeof *all);
    if (!all) {
        to->failed = true;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const struct endpoint_status *status = &endpoints[i]->status;
        all[i] = (struct subject){.status = status,
                                  .state = (int)status->state,
                                  .levels = status->level_dbfs,
                                  .n_levels = status->n_level_dbfs};
        set_labels(&all[i], "endpoint", endpoints[i]->uid, endpoints[i]->spec.display_name);
    }
    struct subjects subjects = {n, all, "rocd_endpoint", &endpoint_state_enum};
    write_states(to, &subjects);
    write_families(to, ENDPOINT_FAMILIES, sizeof ENDPOINT_FAMILIES / sizeof ENDPOINT_FAMILIES[0], &subjects);
    write_levels(to, &subjects);
}

static void write_api(struct buf *to, const struct api *api) {
    static const int STATUSES[API_COUNTED_STATUSES_N] = API_COUNTED_STATUSES;
    head(to, "rocd_api_replies_total", "counter", "Replies by operation and status.");
    for (size_t row = 0; row <= API_ROUTES_N; row++)
        for (size_t column = 0; column < API_COUNTED_STATUSES_N; column++)
            if (api->replies[row][column])
                buf_printf(to, "rocd_api_replies_total{operation=\"%s\",code=\"%d\"} %" PRIu64 "\n",
                           row < API_ROUTES_N ? api_routes[row].operation_id : "none", STATUSES[column],
                           api->replies[row][column]);
    head(to, "rocd_event_subscribers", "gauge", "Event streams that are open.");
    buf_printf(to, "rocd_event_subscribers %zu\n", api->n_subscribers);
}

static void one(struct buf *to, const char *name, const char *type, const char *help, double value) {
    head(to, name, type, help);
    buf_printf(to, "%s %.15g\n", name, value);
}

static void write_process(struct buf *to, const struct api *api) {
    struct peer peer = {};
    orchestrator_show_peer(api->orchestrator, &peer);
    char version[64];
    escape(version, sizeof version, peer.version);
    head(to, "rocd_build_info", "gauge", "Always 1; the labels tell what runs here.");
    buf_printf(to, "rocd_build_info{version=\"%s\",libroc=\"%s\",peer=\"%s\"} 1\n", version, api->libroc_version,
               peer.peer_uid);
    one(to, "rocd_uptime_seconds", "gauge", "Since rocd started.", peer.uptime_s);
    struct os_process process;
    if (!os_process_read(&process))
        return;
    one(to, "process_cpu_seconds_total", "counter", "Processor time of this process, user and system.", process.cpu_s);
    one(to, "process_resident_memory_bytes", "gauge", "Memory in use.", (double)process.resident_bytes);
    one(to, "process_virtual_memory_bytes", "gauge", "Address space in use.", (double)process.virtual_bytes);
    one(to, "process_threads", "gauge", "Threads of this process.", (double)process.n_threads);
    one(to, "process_open_fds", "gauge", "Open file descriptors.", (double)process.n_fds);
    one(to, "process_max_fds", "gauge", "How many may be open.", (double)process.max_fds);
}

void api_get_metrics(struct api_call *call) {
    struct buf buf = {};
    orchestrator_refresh(call->orchestrator);
    write_process(&buf, call->api);
    write_api(&buf, call->api);
    write_streams(&buf, call->orchestrator);
    write_endpoints(&buf, call->orchestrator);
    size_t len = 0;
    char *body = buf_take(&buf, &len);
    call_reply_take(call, 200, "text/plain; version=0.0.4; charset=utf-8", body, len);
}
