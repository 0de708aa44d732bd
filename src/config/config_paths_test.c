/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/config.h"

/* Where things are when nobody says so: it depends on the service manager, on the environment and on who we are. */

struct paths {
    bool as_root;
    const char *environment[4]; /* "NAME=value" */
    const char *state_dir_flag;
    const char *state_dir, *media_dir, *socket;
};

static const struct paths CASES[] = {
    {true, {nullptr}, nullptr, "/var/lib/rocd", "/var/lib/rocd/media", "/run/rocd.sock"},
    {true,
     {"HOME=/h", "XDG_STATE_HOME=/x", "XDG_RUNTIME_DIR=/r"},
     nullptr,
     "/var/lib/rocd",
     "/var/lib/rocd/media",
     "/run/rocd.sock"},
    {true, {nullptr}, "/f", "/f", "/var/lib/rocd/media", "/f/rocd.sock"},
    {false,
     {"HOME=/h"},
     nullptr,
     "/h/.local/state/rocd",
     "/h/.local/share/rocd/media",
     "/h/.local/state/rocd/rocd.sock"},
    {false,
     {"HOME=/h", "XDG_STATE_HOME=/x", "XDG_DATA_HOME=/d", "XDG_RUNTIME_DIR=/r"},
     nullptr,
     "/x/rocd",
     "/d/rocd/media",
     "/r/rocd.sock"},
    /* relative ones are to be ignored, empty ones are none */
    {false,
     {"HOME=/h", "XDG_STATE_HOME=x", "XDG_DATA_HOME=", "XDG_RUNTIME_DIR="},
     nullptr,
     "/h/.local/state/rocd",
     "/h/.local/share/rocd/media",
     "/h/.local/state/rocd/rocd.sock"},
    {false, {nullptr}, nullptr, "./.local/state/rocd", "./.local/share/rocd/media", "./.local/state/rocd/rocd.sock"},
    /* one of several on a machine: its socket meets no other */
    {false, {"HOME=/h", "XDG_RUNTIME_DIR=/r"}, "/f", "/f", "/h/.local/share/rocd/media", "/f/rocd.sock"},
    /* the service manager wins, with the first of its directories */
    {false,
     {"HOME=/h", "STATE_DIRECTORY=/var/lib/private/rocd", "RUNTIME_DIRECTORY=/run/rocd"},
     nullptr,
     "/var/lib/private/rocd",
     "/var/lib/private/rocd/media",
     "/run/rocd/rocd.sock"},
    {true, {"STATE_DIRECTORY=/a:/b", "RUNTIME_DIRECTORY=/c:/d"}, nullptr, "/a", "/a/media", "/c/rocd.sock"},
    {true, {"RUNTIME_DIRECTORY=/c:/d"}, "/f", "/f", "/var/lib/rocd/media", "/c/rocd.sock"},
};

static int differs(const char *what, const char *got, const char *want) {
    if (strcmp(got, want) == 0)
        return 0;
    fprintf(stderr, "%s is %s, not %s\n", what, got, want);
    return 1;
}

/* In a child of its own, which has the environment and the user of the case. */
[[noreturn]] static void look(const struct paths *paths) {
    clearenv();
    for (size_t i = 0; i < 4 && paths->environment[i]; i++)
        putenv(strdup(paths->environment[i]));
    if (!paths->as_root && geteuid() == 0 && (setgid(65534) || setuid(65534)))
        _exit(9);
    struct config c;
    struct err_info info = {};
    if (config_defaults(&c, &info) != ERR_OK)
        _exit(8);
    if (paths->state_dir_flag && config_set(&c, CONFIG_STATE_DIR, paths->state_dir_flag, &info) != ERR_OK)
        _exit(7);
    int bad = differs("state_dir", c.state_dir, paths->state_dir);
    bad += differs("media_dir", c.media_dir, paths->media_dir);
    bad += differs("http.socket", c.http.socket, paths->socket);
    _exit(bad);
}

static void places_follow_system_and_user(void **) {
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        if (CASES[i].as_root && geteuid() != 0)
            continue; /* nobody becomes root for a test */
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            look(&CASES[i]);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fail_msg("case %zu: %d", i, status);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(places_follow_system_and_user)};
    return cmocka_run_group_tests_name("config-paths", tests, nullptr, nullptr);
}
