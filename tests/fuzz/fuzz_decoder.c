/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "base/clock.h"
#include "fuzz/gate_script.h"
#include "fuzz/target.h"
#include "transport/codec.h"
#include "transport/gate.h"

/*
 * The story of a link (gate_script.h) before the gate with libroc's decoder behind it: what the gate lets through must not
 * end the process, which libroc 0.4 does readily. A new session gets a new decoder, as the link does it.
 */
constexpr uint32_t RATE_HZ = 48'000;
constexpr size_t FRAME = RATE_HZ / 100; /* samples per channel in: */
constexpr int64_t FRAME_NS = 10 * NS_PER_MS;
/* libroc takes about a hundredth of the time it plays: a story ends after this much of it. */
constexpr unsigned PLAYED_MAX = 200;

struct ear {
    struct codec *codec; /* borrowed */
    struct codec_settings settings;
    struct codec_decoder *decoder;
    int64_t played_ns; /* until when sound has been taken out */
    unsigned n_played;
};

static void open_decoder(struct ear *ear) {
    struct err_info info = {};
    if (ear->decoder)
        ear->decoder->ops->close(ear->decoder);
    FUZZ_CHECK(ear->codec->ops->open_decoder(ear->codec, &ear->settings, (struct codec_frame_format){RATE_HZ, 2},
                                             &ear->decoder, &info) == ERR_OK);
}

/* A frame each 10 ms, as a media thread does it; of a long silence only the end. */
static void hear(struct ear *ear, int64_t now_ns) {
    float frames[2 * FRAME];
    uint8_t feedback[PACKET_MAX];
    if (now_ns - ear->played_ns > NS_PER_S / 2)
        ear->played_ns = now_ns - NS_PER_S / 2;
    for (; ear->played_ns + FRAME_NS <= now_ns; ear->played_ns += FRAME_NS, ear->n_played++) {
        FUZZ_CHECK(ear->decoder->ops->pop_frames(ear->decoder, frames, FRAME) == ERR_OK);
        while (ear->decoder->ops->pop_feedback(ear->decoder, feedback) > 0) {
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    /* Opened once: it takes as long as a whole story. The only thing that lives from one call to the next. */
    static struct codec *codec;
    struct err_info info = {};
    if (!codec)
        FUZZ_CHECK(roc_codec_create((struct log){}, &codec, &info) == ERR_OK);

    struct gate_script *script = malloc(sizeof *script);
    gate_script_begin(script, data, size);
    struct gate *gate = gate_create(&script->config);
    FUZZ_CHECK(gate);
    struct ear ear = {.codec = codec, .settings = script->config.settings, .played_ns = script->now_ns};
    open_decoder(&ear);
    for (const struct packet *packet; ear.n_played < PLAYED_MAX && gate_script_next(script, &packet);) {
        gate_tick(gate, script->now_ns);
        enum gate_verdict verdict = packet ? gate_check(gate, packet, script->now_ns) : GATE_DROP;
        if (verdict == GATE_NEW_SESSION)
            open_decoder(&ear);
        if (verdict != GATE_DROP)
            FUZZ_CHECK(ear.decoder->ops->push_packet(ear.decoder, packet->iface, packet->data, packet->len) == ERR_OK);
        hear(&ear, script->now_ns);
    }
    hear(&ear, ear.played_ns + NS_PER_S / 4);
    struct codec_query query;
    FUZZ_CHECK(ear.decoder->ops->query(ear.decoder, &query) == ERR_OK);
    ear.decoder->ops->close(ear.decoder);
    gate_destroy(gate);
    free(script);
    return 0;
}
