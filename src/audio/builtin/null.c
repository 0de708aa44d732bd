/* SPDX-License-Identifier: MPL-2.0 */
#include <stdlib.h>
#include <string.h>

#include "audio/builtin/builtin.h"
#include "audio/spec.h"

/* Swallows what it is given, or gives silence: for tests, and to keep a stream running without a device. */

static size_t null_read(struct audio_stream *stream, float *frames, size_t n) {
    memset(frames, 0, n * stream->format.n_channels * sizeof *frames);
    return n;
}

static size_t null_write(struct audio_stream *, const float *, size_t n) {
    return n;
}

static enum audio_state null_state(const struct audio_stream *) {
    return AUDIO_RUNNING;
}

static void null_close(struct audio_stream *stream) {
    free(stream);
}

static const struct audio_stream_ops null_input_ops = {.read = null_read, .state = null_state, .close = null_close};
static const struct audio_stream_ops null_output_ops = {.write = null_write, .state = null_state, .close = null_close};

static enum err null_check(const struct endpoint_spec *spec, struct err_info *reterr) {
    return audio_spec_check_members(spec, reterr);
}

static enum audio_direction null_direction(const struct endpoint_spec *spec) {
    if (spec->has_null == PRESENCE_VALUE && spec->null.direction == NULL_DIRECTION_INPUT)
        return AUDIO_INPUT;
    return AUDIO_OUTPUT;
}

static enum err null_open(struct audio_driver_state *, const struct audio_host *, const struct audio_endpoint *endpoint,
                          struct audio_stream **ret, struct err_info *reterr) {
    struct audio_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return err_set(reterr, ERR_NO_MEMORY, "no memory for a null endpoint");
    stream->ops = null_direction(endpoint->spec) == AUDIO_INPUT ? &null_input_ops : &null_output_ops;
    stream->format = audio_spec_format(endpoint->spec);
    stream->clock = AUDIO_CLOCK_TICKED;
    *ret = stream;
    return ERR_OK;
}

const struct audio_driver audio_driver_null = {
    .name = "null",
    .summary = "swallows sound, or gives silence",
    .kinds = 1u << ENDPOINT_KIND_NULL,
    .check = null_check,
    .direction = null_direction,
    .open = null_open,
};
