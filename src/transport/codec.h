/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"

/*
 * The codec vtable: frames ↔ packets. Today's only implementation is libroc's encoder and decoder (transport/roc).
 *
 * Frames are interleaved 32-bit floats at the *frame* rate and channels (those of the endpoint side of the link);
 * packets carry the *wire* encoding; the codec converts between the two and absorbs clock drift.
 * Neither side has a clock or a thread of its own: they are stepped by whoever owns them.
 *
 * Life cycle: open → push/pop … → close. Threads: open and close on a worker (they take up to a millisecond and
 * allocate); push and pop on the one media thread that owns the object; query on the core, at most a few times a
 * second (it takes locks).
 */

/* MEDIA_PING is no interface of the codec: paths between peers carry it besides (transport/ping.h). */
enum media_iface { MEDIA_SOURCE, MEDIA_REPAIR, MEDIA_CONTROL, MEDIA_N_IFACES, MEDIA_PING = MEDIA_N_IFACES };

enum codec_fec { CODEC_FEC_NONE, CODEC_FEC_RS8M, CODEC_FEC_LDPC };
enum codec_latency_profile { CODEC_LATENCY_INTACT, CODEC_LATENCY_RESPONSIVE, CODEC_LATENCY_GRADUAL };
enum codec_resampler { CODEC_RESAMPLER_LOW, CODEC_RESAMPLER_MEDIUM, CODEC_RESAMPLER_HIGH };

/* No packet on any path is larger: one Ethernet frame without fragmentation. */
constexpr size_t PACKET_MAX = 1472;

/* The largest sound payload of a packet: with RTP header and FEC footer it stays below PACKET_MAX by a wide margin. */
constexpr size_t CODEC_PAYLOAD_MAX = 1400;

/* The wire encodings: 16-bit linear PCM, big endian (RFC 3551 L16). libroc 0.4 knows no other. */
struct codec_encoding {
    const char *name; /* "l16/48000/2" */
    uint32_t rate_hz;
    uint32_t n_channels;
    uint32_t payload_type;
};
const struct codec_encoding *codec_encodings(size_t *ret_n);
/* nullptr: not known. */
const struct codec_encoding *codec_encoding_by_name(const char *name);

/* Everything both ends of a link agree on, derived from a stream's settings by media/profile.h. Both ends are derived
 * from the same settings, so that they match. */
struct codec_settings {
    uint32_t wire_rate_hz;
    uint32_t wire_channels;
    uint32_t payload_type; /* RTP; 10, 11 = the static L16 types of RFC 3551, 96… = registered at start */
    enum codec_fec fec;
    uint32_t fec_source_packets; /* 0 without FEC */
    uint32_t fec_repair_packets;
    int64_t packet_length_ns;
    int64_t target_latency_ns; /* decoder */
    enum codec_latency_profile latency_profile;
    enum codec_resampler resampler;
    bool control; /* RTCP is exchanged */
};

/* Samples per channel in one source packet, and its payload in bytes. */
size_t codec_packet_samples(const struct codec_settings *settings);
size_t codec_payload_bytes(const struct codec_settings *settings);
/* How long the resampler of a decoder for frames of that rate holds the sound back: half the length of its filter. */
int64_t codec_resampler_ns(const struct codec_settings *settings, uint32_t frame_rate_hz);

/* The endpoint side. n_channels must equal settings.wire_channels (ERR_INVALID otherwise): libroc would mix mono and
 * stereo by rules of its own and refuses all other pairs, so the link maps channels. The rate may be any. */
struct codec_frame_format {
    uint32_t rate_hz;
    uint32_t n_channels;
    /* Of a decoder: the clock of the sender is known to be so much faster than that of these frames. What it is beyond
     * that is found out as ever. */
    int32_t sender_ppm;
};

struct codec_query {
    bool connected;        /* decoder: a session is playing; encoder: a receiver has answered by RTCP */
    int64_t end_to_end_ns; /* by the wall clocks of both ends, where RTCP comes; 0 = not known */
    /* Decoder: which sound the last frame that was popped has: that of an RTP timestamp and so much later. */
    bool has_position;
    uint32_t rtp;
    int64_t after_rtp_ns;
    int64_t popped_ns; /* codec_decoder.now_ns when it was popped */
};

struct codec_encoder {
    const struct codec_encoder_ops *ops;
};

struct codec_encoder_ops {
    /* frames: n × channels. Any n. */
    enum err (*push_frames)(struct codec_encoder *encoder, const float *frames, size_t n);
    /* Any error of these functions is final: the object refuses everything afterwards but close, so that a broken libroc
     * object is never queried (it would end the process). The same holds for decoders. */
    /* Next packet of that interface; 0 = none. `packet` has room for PACKET_MAX. Pop every interface after each push. */
    size_t (*pop_packet)(struct codec_encoder *encoder, enum media_iface iface, uint8_t *packet);
    /* RTCP that came back from the receiver and has passed the gate. */
    enum err (*push_feedback)(struct codec_encoder *encoder, const uint8_t *packet, size_t len);
    enum err (*query)(struct codec_encoder *encoder, struct codec_query *ret);
    void (*close)(struct codec_encoder *encoder); /* accepts nullptr */
};

struct codec_decoder {
    const struct codec_decoder_ops *ops;
    int64_t now_ns; /* its user's: the time of the frames that are popped next; query() hands it back */
};

struct codec_decoder_ops {
    /* The packet has passed the gate. */
    enum err (*push_packet)(struct codec_decoder *decoder, enum media_iface iface, const uint8_t *packet, size_t len);
    /* Fills exactly n frames; silence where there is nothing. */
    enum err (*pop_frames)(struct codec_decoder *decoder, float *frames, size_t n);
    size_t (*pop_feedback)(struct codec_decoder *decoder, uint8_t *packet); /* as pop_packet */
    enum err (*query)(struct codec_decoder *decoder, struct codec_query *ret);
    void (*close)(struct codec_decoder *decoder); /* accepts nullptr */
};

/* A codec library, open. One per process is enough. */
struct codec {
    const struct codec_ops *ops;
};

struct codec_ops {
    enum err (*open_encoder)(struct codec *codec, const struct codec_settings *settings,
                             struct codec_frame_format frame_format, struct codec_encoder **ret,
                             struct err_info *reterr);
    enum err (*open_decoder)(struct codec *codec, const struct codec_settings *settings,
                             struct codec_frame_format frame_format, struct codec_decoder **ret,
                             struct err_info *reterr);
    void (*close)(struct codec *codec); /* after all encoders and decoders; accepts nullptr */
};

/* transport/roc. libroc's log is process-global: it goes to the codec that was created first and still lives. Its lines
 * are kept in a small buffer and written from open, query and close, never from a media thread. libroc's errors become
 * warnings; its news are shown at our debug level, its debug lines at our trace level. */
enum err roc_codec_create(struct log log, struct codec **ret, struct err_info *reterr);
/* "0.4.0" of the library at run time */
const char *roc_codec_version(void);
