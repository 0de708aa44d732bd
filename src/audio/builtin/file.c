/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <pthread.h>
#include <sndfile.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audio/builtin/builtin.h"
#include "audio/builtin/file_name.h"
#include "audio/spec.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/ring.h"

/*
 * Sound files by libsndfile. The media thread must not touch the disk: a thread of each open file moves frames between
 * file and a ring of two seconds, filled before playing starts. 16-bit formats are written from our own rounding
 * (× 32768, the inverse of how they are read), so that sound that came over the wire as 16 bits is kept to the bit.
 */

constexpr size_t CHUNK_FRAMES = 1024;
constexpr int RING_SECONDS = 2;
constexpr int64_t PAUSE_NS = 20 * NS_PER_MS;
constexpr int64_t HEADER_NS = NS_PER_S; /* how often a recording's header is brought up to date */
constexpr uint32_t RATE_MAX = 192'000;
constexpr uint32_t CHANNELS_MAX = 16;
constexpr int NUMBER_MAX = 9999;

struct file {
    struct audio_stream stream; /* first member */
    SNDFILE *sound;
    int fd; /* ours; libsndfile does not close it */
    struct ring ring;
    float *chunk; /* CHUNK_FRAMES, I/O side */
    short *shorts;
    bool recording, loop, as_shorts, inline_io;
    sf_count_t length; /* playing: frames in the file */
    int64_t header_due_ns;

    pthread_t thread;
    bool has_thread;
    _Atomic bool stopping;
    _Atomic bool finished; /* playing: the ring holds all that will come */
    _Atomic bool failed;
    struct err_info failure; /* written before `failed` */
    _Atomic int64_t moved;   /* frames, media side */
};

static void fail(struct file *f, enum err code, const char *what, const char *why) {
    (void)err_set(&f->failure, code, "%s: %s", what, why);
    f->failed = true;
}

/* ---- I/O side ---- */

/* false: nothing to do now */
static bool pump_play(struct file *f) {
    size_t room = ring_writable(&f->ring);
    if (f->finished || f->failed || room < CHUNK_FRAMES)
        return false;
    sf_count_t n = sf_readf_float(f->sound, f->chunk, (sf_count_t)CHUNK_FRAMES);
    if (n > 0) {
        ring_write(&f->ring, f->chunk, (size_t)n);
        return true;
    }
    if (sf_error(f->sound) != SF_ERR_NO_ERROR)
        fail(f, ERR_IO, "reading the sound file", sf_strerror(f->sound));
    else if (!f->loop)
        f->finished = true;
    else if (sf_seek(f->sound, 0, SEEK_SET) < 0 || sf_readf_float(f->sound, f->chunk, 1) != 1)
        fail(f, ERR_IO, "the sound file became empty or unreadable while it was played", sf_strerror(f->sound));
    else
        ring_write(&f->ring, f->chunk, 1);
    return !f->finished && !f->failed;
}

static short to_short(float x) {
    float v = x * 32768.0f;
    if (v >= 32767.0f)
        return 32767;
    if (v <= -32768.0f)
        return -32768;
    return (short)__builtin_lrintf(v);
}

static bool pump_record(struct file *f) {
    size_t n = ring_read(&f->ring, f->chunk, CHUNK_FRAMES);
    if (n == 0 || f->failed)
        return n > 0;
    sf_count_t done;
    if (f->as_shorts) {
        for (size_t i = 0; i < n * f->stream.format.n_channels; i++)
            f->shorts[i] = to_short(f->chunk[i]);
        done = sf_writef_short(f->sound, f->shorts, (sf_count_t)n);
    } else {
        done = sf_writef_float(f->sound, f->chunk, (sf_count_t)n);
    }
    if (done != (sf_count_t)n)
        fail(f, ERR_STORAGE, "writing the recording", errno == ENOSPC ? "the disk is full" : sf_strerror(f->sound));
    return true;
}

static bool pump(struct file *f) {
    return f->recording ? pump_record(f) : pump_play(f);
}

static void update_header(struct file *f) {
    int64_t now = clock_now_ns(clock_system());
    if (!f->recording || now < f->header_due_ns)
        return;
    f->header_due_ns = now + HEADER_NS;
    sf_command(f->sound, SFC_UPDATE_HEADER_NOW, nullptr, 0); /* so that kill -9 leaves a file that can be read */
}

static void *file_thread(void *arg) {
    struct file *f = arg;
    for (;;) {
        bool stopping = f->stopping; /* before the last pump: what came before it is written */
        while (pump(f)) {
        }
        if (stopping)
            return nullptr;
        update_header(f);
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, nullptr);
    }
}

/* ---- media side ---- */

static size_t file_read(struct audio_stream *stream, float *frames, size_t n) {
    struct file *f = (struct file *)stream;
    size_t n_channels = stream->format.n_channels;
    if (f->inline_io)
        while (ring_readable(&f->ring) < n && pump(f)) {
        }
    size_t got = ring_read(&f->ring, frames, n);
    memset(frames + got * n_channels, 0, (n - got) * n_channels * sizeof *frames);
    f->moved += (int64_t)got;
    return got;
}

static size_t file_write(struct audio_stream *stream, const float *frames, size_t n) {
    struct file *f = (struct file *)stream;
    size_t put = ring_write(&f->ring, frames, n);
    f->moved += (int64_t)put;
    if (f->inline_io)
        while (pump(f)) {
        }
    return put;
}

static enum audio_state file_state(const struct audio_stream *stream) {
    const struct file *f = (const struct file *)stream;
    if (f->failed)
        return AUDIO_FAILED;
    return f->finished && ring_readable(&f->ring) == 0 ? AUDIO_ENDED : AUDIO_RUNNING;
}

static int64_t file_position(const struct audio_stream *stream) {
    const struct file *f = (const struct file *)stream;
    return f->loop && f->length > 0 ? f->moved % f->length : f->moved;
}

static void file_failure(const struct audio_stream *stream, struct err_info *ret) {
    *ret = ((const struct file *)stream)->failure;
}

static void file_close(struct audio_stream *stream) {
    struct file *f = (struct file *)stream;
    if (!f)
        return;
    f->stopping = true;
    if (f->has_thread)
        pthread_join(f->thread, nullptr);
    if (f->sound)
        sf_close(f->sound);
    if (f->fd >= 0) {
        if (f->recording)
            fsync(f->fd);
        close(f->fd);
    }
    ring_finish(&f->ring);
    free(f->chunk);
    free(f->shorts);
    free(f);
}

static const struct audio_stream_ops FILE_OPS = {
    .read = file_read,
    .write = file_write,
    .state = file_state,
    .position_frames = file_position,
    .failure = file_failure,
    .close = file_close,
};

/* ---- opening ---- */

static const struct {
    const char *extension;
    enum file_format format;
    int sf;
    bool as_shorts;
} FORMATS[] = {
    {".wav", FILE_FORMAT_WAV, SF_FORMAT_WAV | SF_FORMAT_PCM_16, true},
    {".flac", FILE_FORMAT_FLAC, SF_FORMAT_FLAC | SF_FORMAT_PCM_16, true},
    {".ogg", FILE_FORMAT_OGG, SF_FORMAT_OGG | SF_FORMAT_VORBIS, false},
    {".opus", FILE_FORMAT_OPUS, SF_FORMAT_OGG | SF_FORMAT_OPUS, false},
    {".mp3", FILE_FORMAT_MP3, SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, false},
};
constexpr size_t N_FORMATS = sizeof FORMATS / sizeof *FORMATS;

/* Index into FORMATS, or N_FORMATS. */
static size_t format_of(const struct endpoint_file *file) {
    size_t len = strlen(file->name);
    for (size_t i = 0; i < N_FORMATS; i++) {
        size_t n = strlen(FORMATS[i].extension);
        if (file->has_format == PRESENCE_VALUE ? FORMATS[i].format == file->format
                                               : len > n && strcasecmp(file->name + len - n, FORMATS[i].extension) == 0)
            return i;
    }
    return N_FORMATS;
}

static bool is_recording(const struct endpoint_spec *spec) {
    return spec->file.mode == FILE_MODE_RECORD;
}

static SF_INFO record_info(const struct endpoint_spec *spec, size_t format) {
    return (SF_INFO){.samplerate = spec->rate_hz, .channels = spec->channels, .format = FORMATS[format].sf};
}

static enum err file_check(const struct endpoint_spec *spec, struct err_info *reterr) {
    enum err e = audio_spec_check_members(spec, reterr);
    if (e != ERR_OK)
        return e;
    if (spec->has_file != PRESENCE_VALUE)
        return err_set_at(reterr, ERR_INVALID, "/file",
                          "an endpoint of kind file needs {\"name\": …}: a file of the media directory");
    if (!is_recording(spec))
        return ERR_OK;
    if (spec->file.loop)
        return err_set_at(reterr, ERR_INVALID, "/file/loop", "a recording cannot loop: leave it out, or use mode play");
    size_t format = format_of(&spec->file);
    if (format == N_FORMATS)
        return err_set_at(
            reterr, ERR_INVALID, "/file/name",
            "'%s' does not tell its format: end it in .wav, .flac, .ogg, .opus or .mp3, or give file.format",
            spec->file.name);
    SF_INFO info = record_info(spec, format);
    bool opus_rate = 48000 % info.samplerate == 0 && info.samplerate >= 8000; /* 8, 12, 16, 24, 48 kHz */
    if (!sf_format_check(&info) || (FORMATS[format].format == FILE_FORMAT_OPUS && !opus_rate))
        return err_set_at(reterr, ERR_INVALID, "/rate_hz", "%s files cannot hold %d channels at %d Hz: try 48000 and 2",
                          FORMATS[format].extension + 1, info.channels, info.samplerate);
    return ERR_OK;
}

static enum audio_direction file_direction(const struct endpoint_spec *spec) {
    return is_recording(spec) ? AUDIO_OUTPUT : AUDIO_INPUT;
}

static enum err open_play(struct file *f, const struct audio_host *host, const struct endpoint_spec *spec,
                          struct err_info *reterr) {
    enum err e = file_name_open(host->media_dir, spec->file.name, FILE_NAME_READ, &f->fd, reterr);
    if (e != ERR_OK)
        return e;
    SF_INFO info = {};
    f->sound = sf_open_fd(f->fd, SFM_READ, &info, SF_FALSE);
    if (!f->sound)
        return err_set(reterr, ERR_INVALID,
                       "'%s' is no sound file that can be played (%s): wav, flac, ogg, opus and mp3 can",
                       spec->file.name, sf_strerror(nullptr));
    if (info.channels < 1 || (uint32_t)info.channels > CHANNELS_MAX || info.samplerate < 1000 ||
        (uint32_t)info.samplerate > RATE_MAX)
        return err_set(reterr, ERR_INVALID, "'%s' has %d channels at %d Hz: up to %u channels and %u Hz can be played",
                       spec->file.name, info.channels, info.samplerate, CHANNELS_MAX, RATE_MAX);
    if (info.frames == 0)
        return err_set(reterr, ERR_INVALID, "'%s' holds no sound", spec->file.name);
    f->stream.format = (struct audio_format){(uint32_t)info.samplerate, (uint32_t)info.channels};
    f->length = info.frames;
    f->loop = spec->file.loop;
    return ERR_OK;
}

static enum err open_new(struct file *f, const struct audio_host *host, const struct endpoint_spec *spec,
                         struct err_info *reterr) {
    enum file_name_mode mode =
        spec->file.on_existing == FILE_ON_EXISTING_OVERWRITE ? FILE_NAME_CREATE : FILE_NAME_CREATE_NEW;
    enum err e = file_name_open(host->media_dir, spec->file.name, mode, &f->fd, reterr);
    if (spec->file.on_existing != FILE_ON_EXISTING_NUMBER)
        return e;
    char name[sizeof spec->file.name + 8];
    for (int number = 2; e == ERR_CONFLICT && number <= NUMBER_MAX; number++) {
        if (!file_name_numbered(spec->file.name, number, name, sizeof name))
            return err_set(reterr, ERR_INVALID, "'%s' is too long to be numbered", spec->file.name);
        e = file_name_open(host->media_dir, name, FILE_NAME_CREATE_NEW, &f->fd, reterr);
    }
    return e;
}

static enum err open_record(struct file *f, const struct audio_host *host, const struct endpoint_spec *spec,
                            struct err_info *reterr) {
    size_t format = format_of(&spec->file);
    if (format == N_FORMATS)
        return file_check(spec, reterr);
    enum err e = open_new(f, host, spec, reterr);
    if (e != ERR_OK)
        return e;
    SF_INFO info = record_info(spec, format);
    f->sound = sf_open_fd(f->fd, SFM_WRITE, &info, SF_FALSE);
    if (!f->sound)
        return err_set(reterr, ERR_IO, "'%s' cannot be recorded into: %s", spec->file.name, sf_strerror(nullptr));
    f->recording = true;
    f->as_shorts = FORMATS[format].as_shorts;
    f->stream.format = audio_spec_format(spec);
    return ERR_OK;
}

static enum err start(struct file *f, struct err_info *reterr) {
    size_t n_channels = f->stream.format.n_channels;
    f->chunk = calloc(CHUNK_FRAMES * n_channels, sizeof *f->chunk);
    f->shorts = calloc(CHUNK_FRAMES * n_channels, sizeof *f->shorts);
    if (!f->chunk || !f->shorts ||
        !ring_init(&f->ring, n_channels * sizeof(float), f->stream.format.rate_hz * RING_SECONDS))
        return err_set(reterr, ERR_NO_MEMORY, "no memory for a file endpoint");
    if (!f->recording)
        while (pump(f)) {
        }
    if (f->failed) {
        *reterr = f->failure;
        return f->failure.code;
    }
    if (!f->inline_io && pthread_create(&f->thread, nullptr, file_thread, f))
        return err_set(reterr, ERR_NO_MEMORY, "the system gave no thread to a file endpoint");
    f->has_thread = !f->inline_io;
    return ERR_OK;
}

static enum err file_open(struct audio_driver_state *, const struct audio_host *host,
                          const struct audio_endpoint *endpoint, struct audio_stream **ret, struct err_info *reterr) {
    const struct endpoint_spec *spec = endpoint->spec;
    struct err_info info = {};
    struct file *f = alloc_aligned(struct file);
    if (!f)
        return err_set(reterr, ERR_NO_MEMORY, "no memory for a file endpoint");
    f->stream = (struct audio_stream){.ops = &FILE_OPS, .clock = AUDIO_CLOCK_TICKED};
    f->fd = -1;
    f->inline_io = host->inline_io;
    enum err e = is_recording(spec) ? open_record(f, host, spec, &info) : open_play(f, host, spec, &info);
    if (e == ERR_OK)
        e = start(f, &info);
    if (e != ERR_OK) {
        file_close(&f->stream);
        if (reterr)
            *reterr = info;
        return e;
    }
    *ret = &f->stream;
    return ERR_OK;
}

/* Playing: is the file there? Recording: is the directory? */
static enum err file_available(struct audio_driver_state *, const struct audio_host *host,
                               const struct audio_endpoint *endpoint, struct err_info *reterr) {
    const struct endpoint_spec *spec = endpoint->spec;
    if (is_recording(spec))
        return file_name_can_create(host->media_dir, spec->file.name, reterr);
    _cleanup_(closep) int fd = -1;
    return file_name_open(host->media_dir, spec->file.name, FILE_NAME_READ, &fd, reterr);
}

const struct audio_driver audio_driver_file = {
    .name = "file",
    .summary = "plays and records sound files in the media directory",
    .kinds = 1u << ENDPOINT_KIND_FILE,
    .check = file_check,
    .direction = file_direction,
    .open = file_open,
    .available = file_available,
};
