/* SPDX-License-Identifier: MPL-2.0 */
#include "audio/pipewire/device_rt.h"

#include <pipewire/stream.h>
#include <string.h>

bool device_rt_init(struct device_rt *rt, enum audio_direction direction, struct audio_format format) {
    *rt = (struct device_rt){};
    return device_ring_init(&rt->ring, direction, format);
}

void device_rt_finish(struct device_rt *rt) {
    device_ring_finish(&rt->ring);
}

/* A cycle that PipeWire left out shows as a jump of its clock. Another clock (the graph has got another driver) begins
 * anywhere: a jump of more than a second is not taken for lost sound. */
static void note_time(struct device_rt *rt, uint32_t n_frames) {
    struct pw_time time;
    if (pw_stream_get_time_n(rt->stream, &time, sizeof time) < 0 || time.rate.denom == 0 || time.rate.num == 0)
        return;
    uint32_t rate = time.rate.denom / time.rate.num;
    if (rate == 0)
        return;
    uint64_t cycle = (uint64_t)n_frames * rate / rt->ring.format.rate_hz;
    if (rt->next_tick != 0 && rt->tick_rate == rate && time.ticks > rt->next_tick + cycle / 2 + 1 &&
        time.ticks < rt->next_tick + rate)
        device_ring_count_xrun(&rt->ring);
    rt->next_tick = time.ticks + cycle;
    rt->tick_rate = rate;
    int64_t delay_ns =
        time.delay * 1'000'000'000 / rate + (int64_t)(time.buffered * 1'000'000'000 / rt->ring.format.rate_hz);
    atomic_store_explicit(&rt->device_delay_ns, delay_ns > 0 ? delay_ns : 0, memory_order_relaxed);
    atomic_store_explicit(&rt->cycle_ns, time.now, memory_order_relaxed);
}

/* ---- any thread ---- */

static int64_t latency_of(const struct device_rt *rt, int64_t now_ns) {
    int64_t cycle_ns = atomic_load_explicit(&rt->cycle_ns, memory_order_relaxed);
    int64_t delay_ns = atomic_load_explicit(&rt->device_delay_ns, memory_order_relaxed);
    int64_t quantum_ns = (int64_t)atomic_load_explicit(&rt->ring.portion_frames, memory_order_relaxed) * 1'000'000'000 /
                         rt->ring.format.rate_hz;
    int64_t ring_ns = (int64_t)ring_readable(&rt->ring.ring) * 1'000'000'000 / rt->ring.format.rate_hz;
    int64_t elapsed_ns = cycle_ns > 0 && now_ns > cycle_ns ? now_ns - cycle_ns : 0;
    if (elapsed_ns > quantum_ns) /* the next callback is late, or the device stands still */
        elapsed_ns = quantum_ns;
    if (rt->ring.direction == AUDIO_OUTPUT)
        return ring_ns + quantum_ns - elapsed_ns + delay_ns;
    /* the delay is that of the first frame of the cycle */
    return ring_ns + elapsed_ns + (delay_ns > quantum_ns ? delay_ns - quantum_ns : 0);
}

int64_t device_rt_latency_ns(const struct device_rt *rt, int64_t now_ns) {
    int64_t latency_ns = -1;
    for (int tries = 0; tries < 3; tries++) { /* until no callback comes in between */
        uint64_t n = atomic_load_explicit(&rt->ring.n_callbacks, memory_order_acquire);
        if (n == 0)
            return -1;
        latency_ns = latency_of(rt, now_ns);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&rt->ring.n_callbacks, memory_order_relaxed) == n)
            break;
    }
    return latency_ns;
}

static uint32_t take(struct device_rt *rt, const struct spa_data *data, uint32_t frame_size) {
    uint32_t offset = data->chunk->offset < data->maxsize ? data->chunk->offset : data->maxsize;
    uint32_t room = data->maxsize - offset;
    uint32_t n = (data->chunk->size < room ? data->chunk->size : room) / frame_size;
    if (atomic_load_explicit(&rt->is_open, memory_order_acquire))
        device_ring_take(&rt->ring, (const char *)data->data + offset, n);
    return n;
}

static uint32_t give(struct device_rt *rt, const struct spa_data *data, uint32_t frame_size, uint64_t requested) {
    uint32_t n = data->maxsize / frame_size;
    if (requested > 0 && requested < n)
        n = (uint32_t)requested;
    if (atomic_load_explicit(&rt->is_open, memory_order_acquire)) {
        device_ring_give(&rt->ring, data->data, n);
    } else {
        rt->ring.was_fed = false;
        memset(data->data, 0, n * frame_size);
    }
    data->chunk->offset = 0;
    data->chunk->stride = (int32_t)frame_size;
    data->chunk->size = n * frame_size;
    data->chunk->flags = 0;
    return n;
}

void device_rt_process(void *arg) {
    struct device_rt *rt = arg;
    struct pw_buffer *buffer = pw_stream_dequeue_buffer(rt->stream);
    if (!buffer)
        return;
    const struct spa_data *data = &buffer->buffer->datas[0];
    uint32_t frame_size = rt->ring.format.n_channels * (uint32_t)sizeof(float);
    if (buffer->buffer->n_datas > 0 && data->data) {
        uint32_t n = rt->ring.direction == AUDIO_INPUT ? take(rt, data, frame_size)
                                                       : give(rt, data, frame_size, buffer->requested);
        if (n > 0) {
            note_time(rt, n);
            device_ring_moved(&rt->ring, n);
        }
    }
    pw_stream_queue_buffer(rt->stream, buffer);
}
