/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audio/builtin/file_name.h"
#include "audio/driver.h"
#include "model_gen.h"

struct place {
    char dir[64];
    struct audio_host host;
};

static int setup(void **state) {
    struct place *p = calloc(1, sizeof *p);
    strcpy(p->dir, "/tmp/rocd-file-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    p->host = (struct audio_host){.media_dir = p->dir, .inline_io = true};
    *state = p;
    return 0;
}

static int teardown(void **state) {
    struct place *p = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", p->dir);
    assert_int_equal(system(command), 0);
    free(p);
    return 0;
}

static struct endpoint_spec file_spec(const char *name, enum file_mode mode, int rate_hz, int channels) {
    struct endpoint_spec spec;
    schema_defaults(&endpoint_spec_schema, &spec);
    spec.kind = ENDPOINT_KIND_FILE;
    spec.rate_hz = rate_hz;
    spec.channels = channels;
    spec.has_file = PRESENCE_VALUE;
    schema_defaults(&endpoint_file_schema, &spec.file);
    snprintf(spec.file.name, sizeof spec.file.name, "%s", name);
    spec.file.mode = mode;
    return spec;
}

static struct audio_stream *open_ok(const struct place *p, const struct endpoint_spec *spec) {
    struct err_info info = {};
    struct audio_stream *stream = nullptr;
    const struct audio_driver *driver = audio_driver_for_kind((int)spec->kind);
    assert_int_equal(driver->check(spec, &info), ERR_OK);
    if (driver->open(nullptr, &p->host, &(struct audio_endpoint){"", spec}, &stream, &info) != ERR_OK)
        fail_msg("%s: %s", spec->file.name, info.message);
    return stream;
}

static enum err open_error(const struct place *p, const struct endpoint_spec *spec) {
    struct err_info info = {};
    struct audio_stream *stream = nullptr;
    enum err e = audio_driver_for_kind((int)spec->kind)
                     ->open(nullptr, &p->host, &(struct audio_endpoint){"", spec}, &stream, &info);
    assert_null(stream);
    assert_true(e != ERR_OK && info.message[0]);
    return e;
}

static float wave(size_t i, size_t c) {
    return 0.5f * (float)sin((double)i * 0.05 + (double)c);
}

static void record(const struct place *p, const struct endpoint_spec *spec, size_t n) {
    struct audio_stream *s = open_ok(p, spec);
    size_t ch = s->format.n_channels;
    float *frames = calloc(n * ch, sizeof *frames);
    for (size_t i = 0; i < n * ch; i++)
        frames[i] = wave(i / ch, i % ch);
    assert_int_equal(s->ops->write(s, frames, n), n);
    s->ops->close(s);
    free(frames);
}

static void what_is_recorded_can_be_played(void **state) {
    struct place *p = *state;
    static const struct {
        const char *name;
        int rate_hz, channels;
        double tolerance;
    } ROWS[] = {
        {"a.wav", 48000, 2, 0.00002}, {"b.flac", 44100, 1, 0.00002}, {"c.ogg", 48000, 2, 0.1},
        {"d.opus", 48000, 2, 0.2},    {"e.mp3", 44100, 2, 2.0},      {"f.wav", 96000, 6, 0.00002},
        {"g.wav", 8000, 1, 0.00002},
    };
    for (size_t r = 0; r < sizeof ROWS / sizeof *ROWS; r++) {
        struct endpoint_spec spec = file_spec(ROWS[r].name, FILE_MODE_RECORD, ROWS[r].rate_hz, ROWS[r].channels);
        record(p, &spec, 12000);
        spec.file.mode = FILE_MODE_PLAY;
        struct audio_stream *s = open_ok(p, &spec);
        size_t ch = s->format.n_channels;
        assert_int_equal(s->format.rate_hz, ROWS[r].rate_hz);
        assert_int_equal(ch, ROWS[r].channels);
        static float frames[12000 * 6];
        size_t n = s->ops->read(s, frames, 10000);
        assert_int_equal(n, 10000);
        for (size_t i = 500; i < n; i++)
            for (size_t c = 0; c < ch; c++)
                if (fabs((double)(frames[i * ch + c] - wave(i, c))) > ROWS[r].tolerance)
                    fail_msg("%s: frame %zu", ROWS[r].name, i);
        s->ops->close(s);
    }
}

static void playing_ends_or_loops_without_a_seam(void **state) {
    struct place *p = *state;
    struct endpoint_spec spec = file_spec("a.wav", FILE_MODE_RECORD, 48000, 1);
    record(p, &spec, 5000);
    spec.file.mode = FILE_MODE_PLAY;
    static float frames[20000];
    struct audio_stream *s = open_ok(p, &spec);
    assert_int_equal(s->ops->read(s, frames, 6000), 5000);
    assert_true(frames[5500] == 0.0f);
    assert_int_equal(s->ops->state(s), AUDIO_ENDED);
    s->ops->close(s);

    spec.file.loop = true;
    s = open_ok(p, &spec);
    assert_int_equal(s->ops->read(s, frames, 20000), 20000);
    for (size_t i = 0; i < 15000; i++)
        assert_true(frames[i] == frames[i + 5000]);
    assert_int_equal(s->ops->state(s), AUDIO_RUNNING);
    assert_int_equal(s->ops->position_frames(s), 0);
    s->ops->close(s);
}

static void recordings_keep_what_is_there(void **state) {
    struct place *p = *state;
    struct endpoint_spec spec = file_spec("take.wav", FILE_MODE_RECORD, 48000, 1);
    record(p, &spec, 10);
    record(p, &spec, 20);
    char path[128];
    struct stat first, second;
    snprintf(path, sizeof path, "%s/take.wav", p->dir);
    assert_int_equal(stat(path, &first), 0);
    snprintf(path, sizeof path, "%s/take-2.wav", p->dir);
    assert_int_equal(stat(path, &second), 0);
    assert_int_equal(second.st_size - first.st_size, 20);
    spec.file.on_existing = FILE_ON_EXISTING_REFUSE;
    assert_int_equal(open_error(p, &spec), ERR_CONFLICT);
    spec.file.on_existing = FILE_ON_EXISTING_OVERWRITE;
    record(p, &spec, 20);
}

static void what_is_no_sound_file_is_refused(void **state) {
    struct place *p = *state;
    char path[128], other[128];
    snprintf(path, sizeof path, "%s/text.wav", p->dir);
    FILE *f = fopen(path, "w");
    fputs("this is not sound", f);
    fclose(f);
    snprintf(other, sizeof other, "%s/link.wav", p->dir);
    assert_int_equal(symlink("/etc/passwd", other), 0);
    snprintf(other, sizeof other, "%s/fifo.wav", p->dir);
    assert_int_equal(mkfifo(other, 0600), 0);
    snprintf(other, sizeof other, "%s/out", p->dir);
    assert_int_equal(symlink("/tmp", other), 0);
    static const struct {
        const char *name;
        enum err want;
    } ROWS[] = {
        {"text.wav", ERR_INVALID},     {"link.wav", ERR_INVALID},         {"fifo.wav", ERR_INVALID},
        {"absent.wav", ERR_NOT_FOUND}, {"../../etc/passwd", ERR_INVALID}, {"/etc/passwd", ERR_INVALID},
        {"out/x.wav", ERR_INVALID},
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        struct endpoint_spec spec = file_spec(ROWS[i].name, FILE_MODE_PLAY, 48000, 2);
        assert_int_equal(open_error(p, &spec), ROWS[i].want);
    }
}

static void a_file_that_shrinks_ends_or_fails_and_crashes_nothing(void **state) {
    struct place *p = *state;
    struct endpoint_spec spec = file_spec("a.wav", FILE_MODE_RECORD, 8000, 1);
    record(p, &spec, 15000);
    spec.file.mode = FILE_MODE_PLAY;
    spec.file.loop = true;
    struct audio_stream *s = open_ok(p, &spec);
    char path[128];
    snprintf(path, sizeof path, "%s/a.wav", p->dir);
    assert_int_equal(truncate(path, 44), 0);
    static float frames[8000];
    for (int i = 0; i < 20; i++)
        s->ops->read(s, frames, 8000);
    assert_int_equal(s->ops->state(s), AUDIO_FAILED);
    struct err_info info;
    s->ops->failure(s, &info);
    assert_true(info.message[0]);
    s->ops->close(s);
}

static void bad_specs_are_named(void **) {
    struct err_info info;
    struct endpoint_spec spec = file_spec("take", FILE_MODE_RECORD, 48000, 2);
    const struct audio_driver *driver = audio_driver_by_name("file");
    assert_int_equal(driver->check(&spec, &info), ERR_INVALID);
    assert_string_equal(info.pointer, "/file/name");
    spec = file_spec("take.opus", FILE_MODE_RECORD, 44100, 2);
    assert_int_equal(driver->check(&spec, &info), ERR_INVALID);
    assert_string_equal(info.pointer, "/rate_hz");
    spec = file_spec("take.wav", FILE_MODE_RECORD, 48000, 2);
    spec.file.loop = true;
    assert_int_equal(driver->check(&spec, &info), ERR_INVALID);
    spec.kind = ENDPOINT_KIND_TONE;
    assert_int_equal(audio_driver_by_name("tone")->check(&spec, &info), ERR_INVALID);
    assert_string_equal(info.pointer, "/file");
}

static void tones_are_what_they_say(void **) {
    struct endpoint_spec spec;
    schema_defaults(&endpoint_spec_schema, &spec);
    spec.kind = ENDPOINT_KIND_TONE;
    spec.has_tone = PRESENCE_VALUE;
    schema_defaults(&endpoint_tone_schema, &spec.tone);
    spec.tone.frequency_hz = 1000;
    spec.tone.level_dbfs = -6;
    struct audio_stream *s = nullptr;
    assert_int_equal(
        audio_driver_by_name("tone")->open(nullptr, nullptr, &(struct audio_endpoint){"", &spec}, &s, nullptr), ERR_OK);
    static float frames[48000 * 2];
    for (size_t done = 0, n = 1; done < 48000; done += n, n = n % 700 + 13) {
        n = n < 48000 - done ? n : 48000 - done;
        assert_int_equal(s->ops->read(s, frames + done * 2, n), n);
    }
    double worst = 0;
    for (size_t i = 0; i < 48000; i++)
        worst = fmax(worst, fabs((double)frames[2 * i] - pow(10, -0.3) * sin(2 * M_PI * 1000 * (double)i / 48000)));
    assert_true(worst < 1e-4);
    s->ops->close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_recorded_can_be_played, setup, teardown),
        cmocka_unit_test_setup_teardown(playing_ends_or_loops_without_a_seam, setup, teardown),
        cmocka_unit_test_setup_teardown(recordings_keep_what_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_sound_file_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_shrinks_ends_or_fails_and_crashes_nothing, setup, teardown),
        cmocka_unit_test(bad_specs_are_named),
        cmocka_unit_test(tones_are_what_they_say),
    };
    return cmocka_run_group_tests_name("audio", tests, nullptr, nullptr);
}
