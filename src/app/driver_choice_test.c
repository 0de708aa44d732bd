/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "app/driver_choice.h"
#include "audio/driver.h"

static const struct audio_driver PIPEWIRE = {.name = "pipewire"}, ALSA = {.name = "alsa"}, FILES = {.name = "file"},
                                 TONE = {.name = "tone"};
static const struct audio_driver *const ALL[] = {&PIPEWIRE, &ALSA, &FILES, &TONE, nullptr};
static const struct audio_driver *const SMALL[] = {&ALSA, &FILES, nullptr};

static void expect(const char *wanted, const struct audio_driver *const *all, bool has_pipewire, const char *names) {
    const char *got[DRIVER_CHOICE_MAX + 1];
    char text[256] = "";
    struct err_info info = {};
    if (driver_choice(wanted, all, has_pipewire, got, &info) != ERR_OK)
        fail_msg("%s: %s", wanted, info.message);
    for (size_t i = 0; got[i]; i++) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "%s%s", i > 0 ? " " : "", got[i]);
    }
    assert_string_equal(text, names);
}

static void auto_takes_what_suits_the_system(void **) {
    expect("auto", ALL, true, "pipewire file tone");
    expect("auto", ALL, false, "pipewire alsa file tone"); /* PipeWire may be started later */
    expect("auto", SMALL, true, "alsa file");
    expect("auto", SMALL, false, "alsa file");
}

static void names_are_taken_at_their_word(void **) {
    expect("none", ALL, true, "");
    expect("file", ALL, true, "file");
    expect("alsa", ALL, true, "alsa");
    expect("file,pipewire", ALL, false, "pipewire file"); /* the order is that of the build */
    expect("tone, alsa , tone", ALL, true, "alsa tone");
    expect("auto,alsa", ALL, true, "pipewire alsa file tone");
}

static void what_there_is_not_is_refused_by_name(void **) {
    static const struct {
        const char *wanted, *said;
    } ROWS[] = {
        {"pipewire", "'pipewire' in this build: use auto, none, or some of alsa, file with commas"},
        {"file,oboe", "'oboe'"},
        {"fil", "'fil'"},
        {"file alsa", "'file alsa'"},
        {"", "''"},
        {"file,,alsa", "''"},
        {"file,", "''"},
        {"none,file", "stands alone"},
        {"file,none", "stands alone"},
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        const char *got[DRIVER_CHOICE_MAX + 1];
        struct err_info info = {};
        assert_int_equal(driver_choice(ROWS[i].wanted, SMALL, true, got, &info), ERR_INVALID);
        assert_string_equal(info.pointer, "audio.driver");
        if (!strstr(info.message, ROWS[i].said))
            fail_msg("%s: %s", ROWS[i].wanted, info.message);
    }
}

static void make_socket(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    close(fd);
}

static void a_socket_of_pipewire_is_found_where_its_clients_look(void **) {
    char dir[] = "/tmp/rocd-choice-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/mine-7", dir);
    unsetenv("PIPEWIRE_RUNTIME_DIR");
    setenv("XDG_RUNTIME_DIR", dir, 1);
    setenv("PIPEWIRE_REMOTE", "mine-7", 1); /* no system has that one */
    assert_false(driver_choice_has_pipewire());
    FILE *f = fopen(path, "w"); /* a file is no socket */
    assert_non_null(f);
    fclose(f);
    assert_false(driver_choice_has_pipewire());
    unlink(path);
    make_socket(path);
    assert_true(driver_choice_has_pipewire());
    setenv("PIPEWIRE_RUNTIME_DIR", "/nowhere", 1);
    assert_false(driver_choice_has_pipewire());
    setenv("PIPEWIRE_REMOTE", path, 1);
    assert_true(driver_choice_has_pipewire());
    setenv("PIPEWIRE_RUNTIME_DIR", dir, 1);
    setenv("PIPEWIRE_REMOTE", "mine-7", 1);
    unsetenv("XDG_RUNTIME_DIR");
    assert_true(driver_choice_has_pipewire());
    unlink(path);
    assert_false(driver_choice_has_pipewire());
    assert_int_equal(rmdir(dir), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(auto_takes_what_suits_the_system),
        cmocka_unit_test(names_are_taken_at_their_word),
        cmocka_unit_test(what_there_is_not_is_refused_by_name),
        cmocka_unit_test(a_socket_of_pipewire_is_found_where_its_clients_look),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
