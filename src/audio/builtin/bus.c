/* SPDX-License-Identifier: MPL-2.0 */
#include <stdlib.h>

#include "audio/builtin/builtin.h"
#include "audio/spec.h"

/* A mix: what streams into it is what streams out of it, in the same tick. The media engine does all of it; here is only
 * what it is like. */

static enum audio_state bus_state(const struct audio_stream *) {
    return AUDIO_RUNNING;
}

static void bus_close(struct audio_stream *stream) {
    free(stream);
}

static enum err bus_check(const struct endpoint_spec *spec, struct err_info *reterr) {
    return audio_spec_check_members(spec, reterr);
}

static enum audio_direction bus_direction(const struct endpoint_spec *) {
    return AUDIO_DUPLEX;
}

static enum err bus_open(struct audio_driver_state *, const struct audio_host *, const struct audio_endpoint *endpoint,
                         struct audio_stream **ret, struct err_info *reterr) {
    static const struct audio_stream_ops OPS = {.state = bus_state, .close = bus_close};
    struct audio_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return err_set(reterr, ERR_NO_MEMORY, "no memory for a bus");
    const struct endpoint_spec *spec = endpoint->spec;
    *stream = (struct audio_stream){.ops = &OPS,
                                    .format = audio_spec_format(spec),
                                    .clock = AUDIO_CLOCK_TICKED,
                                    .mix_minus = spec->has_bus == PRESENCE_VALUE && spec->bus.mix_minus};
    *ret = stream;
    return ERR_OK;
}

const struct audio_driver audio_driver_bus = {
    .name = "bus",
    .summary = "mixes what streams into it; what streams out is the mix",
    .kinds = 1u << ENDPOINT_KIND_BUS,
    .check = bus_check,
    .direction = bus_direction,
    .open = bus_open,
};
