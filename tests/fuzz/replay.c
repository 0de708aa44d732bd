/* SPDX-License-Identifier: MPL-2.0 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz/target.h"

/*
 * A fuzz target as a plain program: fuzz-replay-NAME FILE|DIRECTORY…
 *
 * A file is given to the target as it is: what tools/fuzz has found is looked at again, with any compiler, under a debugger.
 * Of a directory every file is, and then cut short and with single bytes changed, always in the same way; that is the test
 * of `make test`. A directory that is missing or empty fails. What dies says on which file and which change.
 *
 * Threads: one.
 */
constexpr size_t FILE_MAX = 1 << 20;
constexpr unsigned N_CUTS = 8;
constexpr unsigned N_CHANGES = 24;

/* What is going on, for the last words. */
static char current[1024];
static size_t n_runs;

static void last_words(void) {
    static const char prefix[] = "fuzz-replay: it died on ";
    ssize_t rc = write(STDERR_FILENO, prefix, sizeof prefix - 1);
    rc = write(STDERR_FILENO, current, strlen(current));
    rc = write(STDERR_FILENO, "\n", 1);
    (void)rc;
}

static void on_signal(int sig) {
    last_words();
    raise(sig); /* SA_RESETHAND: this time it ends us */
}

/* A sanitizer ends the process without a signal, and tells only those who have asked. */
[[gnu::weak]] void __sanitizer_set_death_callback(void (*callback)(void));

static void listen_for_death(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND | SA_NODEFER};
    static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    size_t n_signals = sizeof signals / sizeof signals[0];
    if (__sanitizer_set_death_callback) {
        __sanitizer_set_death_callback(last_words);
        n_signals = 1; /* the others are its own */
    }
    for (size_t i = 0; i < n_signals; i++)
        sigaction(signals[i], &action, nullptr);
}

/* A copy of exactly that size, so that reading behind it is seen. */
static void run(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size + (size == 0));
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    n_runs++;
}

static bool read_file(const char *path, uint8_t **ret_data, size_t *ret_size) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "fuzz-replay: cannot read %s: %s\n", path, strerror(errno));
        return false;
    }
    *ret_data = malloc(FILE_MAX);
    *ret_size = fread(*ret_data, 1, FILE_MAX, file);
    fclose(file);
    return true;
}

static uint32_t next_random(uint32_t *state) { /* xorshift32, Marsaglia 2003 */
    *state ^= *state << 13;
    *state ^= *state >> 17;
    return *state ^= *state << 5;
}

static bool replay_file(const char *path, bool with_changes) {
    uint8_t *data = nullptr;
    size_t size = 0;
    if (!read_file(path, &data, &size))
        return false;
    snprintf(current, sizeof current, "%s", path);
    run(data, size);
    uint32_t random = 2463534242u + (uint32_t)size;
    for (unsigned i = 0; with_changes && size > 0 && i < N_CUTS; i++) {
        size_t cut = i == 0 ? 0 : i == 1 ? size - 1 : next_random(&random) % size;
        snprintf(current, sizeof current, "%s, cut to %zu bytes", path, cut);
        run(data, cut);
    }
    for (unsigned i = 0; with_changes && size > 0 && i < N_CHANGES; i++) {
        size_t at = next_random(&random) % size;
        uint8_t before = data[at];
        data[at] = (uint8_t)next_random(&random);
        snprintf(current, sizeof current, "%s, byte %zu changed to 0x%02x", path, at, data[at]);
        run(data, size);
        data[at] = before;
    }
    free(data);
    return true;
}

static int is_no_dot_file(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

static size_t replay_directory(const char *path) {
    struct dirent **entries = nullptr;
    int n = scandir(path, &entries, is_no_dot_file, alphasort);
    size_t n_files = 0;
    for (int i = 0; i < n; i++) {
        char name[sizeof current - 64];
        snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        n_files += replay_file(name, true);
        free(entries[i]);
    }
    free(entries);
    if (n_files == 0)
        fprintf(stderr, "fuzz-replay: no inputs in %s\n", path);
    return n_files;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: %s FILE|DIRECTORY…\n", argv[0]);
        return 2;
    }
    listen_for_death();
    size_t n_files = 0;
    bool failed = false;
    for (int i = 1; i < argc; i++) {
        struct stat st;
        bool is_directory = stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode);
        size_t n = is_directory ? replay_directory(argv[i]) : replay_file(argv[i], false);
        n_files += n;
        failed |= n == 0;
    }
    /* In the form of cmocka, which tools/run-tests counts. */
    printf("[%s] %zu files, %zu runs\n", failed ? "  FAILED  " : "       OK ", n_files, n_runs);
    return failed ? 1 : 0;
}
