/* SPDX-License-Identifier: MPL-2.0 */
#include "support/fake_device.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

constexpr uint32_t RATE_HZ = 48'000;
constexpr uint32_t N_CHANNELS = 2;
constexpr float PEAK = 0.7f;

static struct fake_device *of(struct audio_stream *stream) {
    return (struct fake_device *)stream;
}

static double frames_per_ns(const struct fake_device *device) {
    return RATE_HZ * (1 + device->ppm * 1e-6) / (double)NS_PER_S;
}

static void capture(struct fake_device *device) {
    if (device->level + device->quantum > device->n_capacity) {
        device->n_xruns++;
        device->n_captured += (int64_t)device->quantum;
        return;
    }
    for (size_t i = 0; i < device->quantum; i++, device->n_captured++) {
        size_t at = (device->first + device->level++) % device->n_capacity;
        for (uint32_t c = 0; c < N_CHANNELS; c++)
            device->ring[at * N_CHANNELS + c] = device->signal(device->n_captured, c);
    }
}

static void note_peak(struct fake_device *device, int64_t at_ns) {
    if (device->last_peak_ns && at_ns - device->last_peak_ns < 100 * NS_PER_MS)
        return; /* the same */
    device->last_peak_ns = at_ns;
    if (at_ns < device->peak_after_ns || !device->peak_period_ns)
        return;
    int64_t latency = (at_ns - device->peak_start_ns) % device->peak_period_ns;
    if (device->n_peaks++ == 0)
        device->latency_min_ns = device->latency_max_ns = latency;
    if (latency < device->latency_min_ns)
        device->latency_min_ns = latency;
    if (latency > device->latency_max_ns)
        device->latency_max_ns = latency;
}

static void play(struct fake_device *device, int64_t at_ns) {
    if (device->level < device->quantum && device->has_sounded)
        device->n_xruns++;
    for (size_t i = 0; i < device->quantum; i++) {
        float value = 0;
        if (device->level > 0) {
            value = device->ring[device->first * N_CHANNELS];
            device->first = (device->first + 1) % device->n_capacity;
            device->level--;
        }
        device->has_sounded |= value != 0;
        device->n_zeros += device->has_sounded && value == 0;
        if (fabsf(value - device->last_value) > device->step_max)
            device->step_max = fabsf(value - device->last_value);
        device->last_value = value;
        if (value > PEAK)
            note_peak(device, at_ns + (int64_t)((double)i / frames_per_ns(device)));
        device->n_played++;
    }
}

static void make_up_for_interrupts(struct fake_device *device) {
    if (device->stands_still)
        return;
    double frames = (double)(clock_now_ns(device->clock) - device->start_ns) * frames_per_ns(device);
    while ((double)(device->n_interrupts + 1) * (double)device->quantum <= frames) {
        device->n_interrupts++;
        int64_t at_ns = device->start_ns +
                        (int64_t)((double)device->n_interrupts * (double)device->quantum / frames_per_ns(device));
        if (device->is_input)
            capture(device);
        else
            play(device, at_ns);
    }
}

static ptrdiff_t device_due(struct audio_stream *stream) {
    struct fake_device *device = of(stream);
    device->n_asked++;
    make_up_for_interrupts(device);
    if (device->stands_still)
        return device->mute_clock ? 0 : AUDIO_STANDS_STILL;
    if (device->is_input)
        return (ptrdiff_t)device->level;
    return device->level < device->n_wanted ? (ptrdiff_t)(device->n_wanted - device->level) : 0;
}

static bool device_call_when_moving(struct audio_stream *stream, const struct audio_call *call) {
    struct fake_device *device = of(stream);
    if (device->can_call)
        device->call = *call;
    return device->can_call;
}

static size_t device_read(struct audio_stream *stream, float *frames, size_t n) {
    struct fake_device *device = of(stream);
    size_t n_real = n < device->level ? n : device->level;
    for (size_t i = 0; i < n_real; i++) {
        memcpy(frames + i * N_CHANNELS, device->ring + device->first * N_CHANNELS, N_CHANNELS * sizeof *frames);
        device->first = (device->first + 1) % device->n_capacity;
    }
    memset(frames + n_real * N_CHANNELS, 0, (n - n_real) * N_CHANNELS * sizeof *frames);
    device->level -= n_real;
    return n_real;
}

static size_t device_write(struct audio_stream *stream, const float *frames, size_t n) {
    struct fake_device *device = of(stream);
    size_t room = device->n_capacity - device->level;
    size_t n_kept = n < room ? n : room;
    for (size_t i = 0; i < n_kept; i++)
        memcpy(device->ring + (device->first + device->level + i) % device->n_capacity * N_CHANNELS,
               frames + i * N_CHANNELS, N_CHANNELS * sizeof *frames);
    device->level += n_kept;
    if (device->level > device->level_max)
        device->level_max = device->level;
    return n_kept;
}

static uint32_t device_period_frames(const struct audio_stream *stream) {
    return (uint32_t)((const struct fake_device *)stream)->quantum;
}

static enum audio_state device_state(const struct audio_stream *) {
    return AUDIO_RUNNING;
}

static uint64_t device_xruns(const struct audio_stream *stream) {
    return ((const struct fake_device *)stream)->n_xruns;
}

static int64_t device_latency_ns(const struct audio_stream *stream) {
    const struct fake_device *device = (const struct fake_device *)stream;
    double since_ns = (double)(clock_now_ns(device->clock) - device->start_ns) -
                      (double)(device->n_interrupts * (int64_t)device->quantum) / frames_per_ns(device);
    double quantum_ns = (double)device->quantum / frames_per_ns(device),
           ring_ns = (double)device->level / frames_per_ns(device);
    return (int64_t)(device->is_input ? ring_ns + since_ns : ring_ns + quantum_ns - since_ns);
}

static void device_close(struct audio_stream *stream) {
    if (stream)
        of(stream)->closed = true;
}

void fake_device_init(struct fake_device *device, const struct clock *clock, bool is_input, size_t quantum, double ppm,
                      int64_t tick_ns, fake_signal signal) {
    static const struct audio_stream_ops INPUT = {.read = device_read,
                                                  .due = device_due,
                                                  .call_when_moving = device_call_when_moving,
                                                  .latency_ns = device_latency_ns,
                                                  .xruns = device_xruns,
                                                  .period_frames = device_period_frames,
                                                  .state = device_state,
                                                  .close = device_close};
    static const struct audio_stream_ops OUTPUT = {.write = device_write,
                                                   .due = device_due,
                                                   .latency_ns = device_latency_ns,
                                                   .xruns = device_xruns,
                                                   .period_frames = device_period_frames,
                                                   .state = device_state,
                                                   .close = device_close};
    *device = (struct fake_device){
        .stream = {.ops = is_input ? &INPUT : &OUTPUT, .format = {RATE_HZ, N_CHANNELS}, .clock = AUDIO_CLOCK_DEVICE},
        .clock = clock,
        .is_input = is_input,
        .ppm = ppm,
        .quantum = quantum,
        .signal = signal,
        /* as many quanta as can be taken between two ticks */
        .n_wanted = ((size_t)(tick_ns * RATE_HZ / NS_PER_S) / quantum + 1) * quantum,
        .start_ns = clock_now_ns(clock)};
    device->n_capacity = 4 * device->n_wanted;
    device->ring = calloc(device->n_capacity * N_CHANNELS, sizeof *device->ring);
}

void fake_device_finish(struct fake_device *device) {
    free(device->ring);
    device->ring = nullptr;
}

void fake_device_stop(struct fake_device *device) {
    make_up_for_interrupts(device);
    device->stands_still = true;
}

void fake_device_start(struct fake_device *device) {
    device->stands_still = device->mute_clock = false;
    device->start_ns = clock_now_ns(device->clock);
    device->n_interrupts = 0;
    device->level = 0; /* it begins with an empty ring */
    struct audio_call call = device->call;
    device->call = (struct audio_call){};
    if (call.fn)
        call.fn(call.arg);
}

float fake_peaks(int64_t frame, uint32_t channel) {
    return frame % 48'000 == 0 ? 0.95f : fake_steady(frame, channel);
}
