/* SPDX-License-Identifier: MPL-2.0 */
#include "media/crossfade.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "transport/rtp.h"

constexpr int64_t FADE_NS = 40 * NS_PER_MS;
/* How long a good moment is waited for. */
constexpr int64_t PATIENCE_RAISING_NS = 100 * NS_PER_MS;
constexpr int64_t PATIENCE_NS = 2 * NS_PER_S;
/* A decoder that gives nothing for so long, while the other does, is no good. */
constexpr int64_t GIVE_UP_NS = 5 * NS_PER_S;
constexpr double QUIET_POWER = 1e-5; /* -50 dBFS */
constexpr double ALIKE = 0.7;
constexpr double ALIKE_MIN = -0.6; /* what cancels out cannot be made loud */
constexpr double FORGET = 0.8;     /* of the measured powers, with every piece of sound */

bool crossfade_init(struct crossfade *fade, size_t n_max, const struct codec_settings *settings) {
    *fade = (struct crossfade){.n_max = n_max, .fec = settings->fec};
    fade->frames = calloc(n_max * settings->wire_channels, sizeof *fade->frames);
    return fade->frames != nullptr;
}

void crossfade_finish(struct crossfade *fade) {
    if (fade->decoder)
        fade->decoder->ops->close(fade->decoder);
    free(fade->frames);
    *fade = (struct crossfade){};
}

void crossfade_begin(struct crossfade *fade, struct codec_decoder *decoder, int64_t target_ns, bool raises) {
    float *frames = fade->frames;
    *fade = (struct crossfade){
        .decoder = decoder,
        .fec = fade->fec,
        .target_ns = target_ns,
        .raises = raises,
        .frames = frames,
        .n_max = fade->n_max,
    };
}

struct codec_decoder *crossfade_take(struct crossfade *fade) {
    struct codec_decoder *decoder = fade->decoder;
    fade->decoder = nullptr;
    return decoder;
}

/* ---- packets ---- */

static bool begins_a_block(struct crossfade *fade, const struct packet *packet) {
    struct rtp_source source;
    if (packet->iface != MEDIA_SOURCE || !rtp_parse_source(packet->data, packet->len, fade->fec, &source))
        return false;
    fade->first_sbn = source.fec.sbn;
    return fade->fec == CODEC_FEC_NONE || source.fec.esi == 0;
}

/* What belongs to blocks before the first whole one is of no use. */
static bool is_wanted(const struct crossfade *fade, const struct packet *packet) {
    struct rtp_source source;
    struct rtp_repair repair;
    if (fade->fec == CODEC_FEC_NONE || packet->iface == MEDIA_CONTROL)
        return true;
    if (packet->iface == MEDIA_SOURCE)
        return rtp_parse_source(packet->data, packet->len, fade->fec, &source) &&
               rtp_sbn_diff(fade->first_sbn, source.fec.sbn) >= 0;
    return rtp_parse_repair(packet->data, packet->len, fade->fec, &repair) &&
           rtp_sbn_diff(fade->first_sbn, repair.fec.sbn) >= 0;
}

static void break_off(struct crossfade *fade) {
    fade->ready_ns = INT64_MIN; /* given up with the next frames */
}

void crossfade_feed(struct crossfade *fade, const struct packet *packet, int64_t now_ns) {
    if (!fade->fed && !begins_a_block(fade, packet))
        return;
    if (!fade->fed) {
        fade->fed = true;
        fade->fed_ns = now_ns;
    }
    if (is_wanted(fade, packet) &&
        fade->decoder->ops->push_packet(fade->decoder, packet->iface, packet->data, packet->len) != ERR_OK)
        break_off(fade);
}

/* ---- sound ---- */

static void measure(struct crossfade *fade, const float *old, size_t n) {
    double power_old = 0, power_new = 0, power_both = 0;
    for (size_t i = 0; i < n; i++) {
        double first = (double)old[i], second = (double)fade->frames[i];
        power_old += first * first;
        power_new += second * second;
        power_both += first * second;
    }
    fade->power_old = fade->power_old * FORGET + power_old;
    fade->power_new = fade->power_new * FORGET + power_new;
    fade->power_both = fade->power_both * FORGET + power_both;
    fade->n_measured = fade->n_measured * FORGET + (double)n;
}

static double how_alike(const struct crossfade *fade) {
    double both = sqrt(fade->power_old) * sqrt(fade->power_new);
    double alike = both > 0 ? fade->power_both / both : 1;
    return alike > 1 ? 1 : alike < ALIKE_MIN ? ALIKE_MIN : alike;
}

static bool is_good_moment(const struct crossfade *fade, int64_t now_ns) {
    double quiet = QUIET_POWER * fade->n_measured;
    if (fade->power_old <= quiet && fade->power_new <= quiet)
        return true;
    return how_alike(fade) >= ALIKE || now_ns - fade->ready_ns >= (fade->raises ? PATIENCE_RAISING_NS : PATIENCE_NS);
}

/* Has it played long enough to be trusted? */
static bool is_ready(struct crossfade *fade, bool any_sound, bool has_losses, int64_t now_ns) {
    fade->has_losses |= has_losses;
    if (!fade->fed)
        return false;
    if (!fade->sounds_ns && (any_sound || now_ns - fade->fed_ns > fade->target_ns + FADE_NS))
        fade->sounds_ns = now_ns;
    if (!fade->sounds_ns)
        return false;
    bool repairs = fade->fec != CODEC_FEC_NONE && fade->has_losses;
    if (!fade->ready_ns && now_ns - fade->sounds_ns >= (repairs ? fade->target_ns : 0))
        fade->ready_ns = now_ns;
    return fade->ready_ns != 0;
}

static void run_fade(struct crossfade *fade, float *frames, size_t n, size_t n_channels) {
    for (size_t i = 0; i < n; i++) {
        double t = fade->position < fade->length ? (double)fade->position / (double)fade->length : 1;
        double in = sin(t * M_PI_2), out = cos(t * M_PI_2), level = 1 / sqrt(1 + 2 * fade->alike * in * out);
        if (t >= 1)
            in = level = 1, out = 0;
        for (size_t c = 0; c < n_channels; c++, frames++)
            *frames = (float)(level * (out * (double)*frames + in * (double)fade->frames[i * n_channels + c]));
        fade->position++;
    }
}

static bool has_sound(const float *samples, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (samples[i] != 0)
            return true;
    return false;
}

enum crossfade_state crossfade_mix(struct crossfade *fade, float *frames, size_t n, size_t n_channels, uint32_t rate_hz,
                                   bool has_losses, int64_t now_ns) {
    if (n == 0 || (!fade->fed && fade->ready_ns == 0))
        return CROSSFADE_UNDER_WAY;
    fade->decoder->now_ns = now_ns;
    if (fade->ready_ns == INT64_MIN || fade->decoder->ops->pop_frames(fade->decoder, fade->frames, n) != ERR_OK)
        return CROSSFADE_GIVEN_UP;
    uint8_t feedback[PACKET_MAX]; /* the sender is answered by the first */
    while (fade->decoder->ops->pop_feedback(fade->decoder, feedback) > 0) {
    }
    bool any_new = has_sound(fade->frames, n * n_channels), any_old = has_sound(frames, n * n_channels);
    measure(fade, frames, n * n_channels);
    if (!is_ready(fade, any_new, has_losses, now_ns))
        return CROSSFADE_UNDER_WAY;
    if (fade->length == 0 && any_old && !any_new) /* a hole, here and not there */
        return now_ns - fade->ready_ns < GIVE_UP_NS ? CROSSFADE_UNDER_WAY : CROSSFADE_GIVEN_UP;
    if (fade->length == 0 && is_good_moment(fade, now_ns)) {
        fade->length = (size_t)(FADE_NS * rate_hz / NS_PER_S);
        fade->alike = how_alike(fade);
    }
    if (fade->length > 0)
        run_fade(fade, frames, n, n_channels);
    return fade->length > 0 && fade->position >= fade->length ? CROSSFADE_DONE : CROSSFADE_UNDER_WAY;
}
