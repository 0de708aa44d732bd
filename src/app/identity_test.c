/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/identity.h"
#include "base/cleanup.h"
#include "store/state_dir.h"

struct fixture {
    char dir[64], key[96], elsewhere[96];
};

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/rocd-identity-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->key, sizeof f->key, "%s/peer.key", f->dir);
    snprintf(f->elsewhere, sizeof f->elsewhere, "%s/other", f->dir);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    char aside[128];
    snprintf(aside, sizeof aside, "%s.new", f->key);
    const char *const files[] = {f->key, f->elsewhere, aside};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (unlink(files[i]) && errno != ENOENT)
            return -1;
    int result = rmdir(f->dir); /* nothing else may be left there */
    free(f);
    return result;
}

static void write_file(const char *path, const void *data, size_t len, mode_t mode) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static size_t read_file(const char *path, uint8_t *data, size_t max) {
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t n = read(fd, data, max);
    close(fd);
    assert_true(n >= 0);
    return (size_t)n;
}

static void test_a_key_is_made_once_and_kept(void **state) {
    struct fixture *f = *state;
    struct identity first = {}, second = {};
    assert_int_equal(identity_load(f->dir, &first, nullptr), ERR_OK);
    assert_true(uid_is_valid(first.peer_uid));
    struct stat st;
    assert_int_equal(stat(f->key, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size, CRYPTO_SECRET_KEY_SIZE);
    assert_int_equal(identity_load(f->dir, &second, nullptr), ERR_OK);
    assert_memory_equal(&first, &second, sizeof first);
    char expected[UID_SIZE];
    uid_reproducible(expected, UID_TAG_PEER, first.key.public_key, CRYPTO_PUBLIC_KEY_SIZE);
    assert_string_equal(first.peer_uid, expected);
    identity_finish(&first);
    static const struct identity NONE;
    assert_memory_equal(&first, &NONE, sizeof first); /* no secret stays in memory */
    identity_finish(&second);
}

static void test_two_peers_are_two(void **state) {
    struct fixture *f = *state;
    struct identity first = {}, second = {};
    assert_int_equal(identity_load(f->dir, &first, nullptr), ERR_OK);
    assert_int_equal(unlink(f->key), 0);
    assert_int_equal(identity_load(f->dir, &second, nullptr), ERR_OK);
    assert_string_not_equal(first.peer_uid, second.peer_uid);
    identity_finish(&first);
    identity_finish(&second);
}

/* What was interrupted before the rename is begun anew. */
static void test_a_half_made_key_is_no_key(void **state) {
    struct fixture *f = *state;
    char aside[128];
    snprintf(aside, sizeof aside, "%s.new", f->key);
    write_file(aside, "half", 4, 0600);
    struct identity identity = {};
    assert_int_equal(identity_load(f->dir, &identity, nullptr), ERR_OK);
    assert_int_equal(access(aside, F_OK), -1);
    identity_finish(&identity);
}

static void refused(struct fixture *f, enum err wanted, const char *word) {
    uint8_t before[256], after[256];
    size_t n = read_file(f->key, before, sizeof before);
    struct identity identity = {};
    struct err_info info = {};
    assert_int_equal(identity_load(f->dir, &identity, &info), wanted);
    assert_non_null(strstr(info.message, f->key)); /* which object */
    if (!strstr(info.message, word))
        fail_msg("'%s' says nothing of '%s'", info.message, word);
    static const struct identity NONE;
    assert_memory_equal(&identity, &NONE, sizeof identity);
    assert_int_equal(read_file(f->key, after, sizeof after), n); /* never replaced: it would be another peer */
    assert_memory_equal(before, after, n);
}

static void test_a_file_of_another_size(void **state) {
    struct fixture *f = *state;
    static const uint8_t bytes[CRYPTO_SECRET_KEY_SIZE + 1] = {1};
    write_file(f->key, bytes, 0, 0600);
    refused(f, ERR_INVALID, "restore");
    write_file(f->key, bytes, CRYPTO_SECRET_KEY_SIZE - 1, 0600);
    refused(f, ERR_INVALID, "restore");
    write_file(f->key, bytes, CRYPTO_SECRET_KEY_SIZE + 1, 0600);
    refused(f, ERR_INVALID, "restore");
}

static void test_a_key_that_others_can_read(void **state) {
    struct fixture *f = *state;
    struct identity identity = {};
    assert_int_equal(identity_load(f->dir, &identity, nullptr), ERR_OK);
    identity_finish(&identity);
    static const mode_t MODES[] = {0640, 0604, 0660, 0601};
    for (size_t i = 0; i < sizeof MODES / sizeof *MODES; i++) {
        assert_int_equal(chmod(f->key, MODES[i]), 0);
        refused(f, ERR_DENIED, "chmod 600");
    }
}

static void test_a_link_is_not_followed(void **state) {
    struct fixture *f = *state;
    static const uint8_t bytes[CRYPTO_SECRET_KEY_SIZE] = {1};
    write_file(f->elsewhere, bytes, sizeof bytes, 0600);
    assert_int_equal(symlink(f->elsewhere, f->key), 0);
    struct identity identity = {};
    struct err_info info = {};
    assert_int_not_equal(identity_load(f->dir, &identity, &info), ERR_OK);
    assert_non_null(strstr(info.message, f->key));
}

static void test_a_directory_that_is_not_there(void **) {
    struct identity identity = {};
    struct err_info info = {};
    assert_int_equal(identity_load("/nonexistent/rocd", &identity, &info), ERR_NOT_FOUND);
    assert_non_null(strstr(info.message, "/nonexistent/rocd"));
    char name[5000];
    memset(name, 'x', sizeof name - 1);
    name[0] = '/';
    name[sizeof name - 1] = 0;
    assert_int_equal(identity_load(name, &identity, &info), ERR_INVALID);
}

static void test_the_node_id_is_told(void **state) {
    struct fixture *f = *state;
    char id[NODE_ID_SIZE] = "", again[NODE_ID_SIZE] = "";
    struct err_info info = {};
    char lock_path[96];
    snprintf(lock_path, sizeof lock_path, "%s/rocd.lock", f->dir);

    _cleanup_(closep) int lock = -1; /* as a running rocd has it, which has not made its key yet */
    assert_int_equal(state_dir_lock(f->dir, &lock, nullptr), ERR_OK);
    assert_int_equal(identity_tell(f->dir, id, &info), ERR_BUSY);
    assert_non_null(strstr(info.message, "another rocd"));
    assert_string_equal(id, "");
    close(lock);
    lock = -1;

    assert_int_equal(identity_tell(f->dir, id, nullptr), ERR_OK); /* makes it */
    struct identity identity;
    assert_int_equal(identity_load(f->dir, &identity, nullptr), ERR_OK);
    assert_string_equal(identity.node_id, id);
    identity_finish(&identity);
    assert_int_equal(state_dir_lock(f->dir, &lock, nullptr), ERR_OK); /* was given free */
    assert_int_equal(identity_tell(f->dir, again, nullptr), ERR_OK);
    assert_string_equal(again, id);

    write_file(f->key, "short", 5, 0600);
    assert_int_equal(identity_tell(f->dir, again, &info), ERR_INVALID);
    assert_int_equal(unlink(lock_path), 0);
    assert_int_not_equal(identity_tell("/proc/nonexistent", again, &info), ERR_OK);
    assert_non_null(strstr(info.message, "/proc/nonexistent"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_key_is_made_once_and_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_two_peers_are_two, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_half_made_key_is_no_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_file_of_another_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_key_that_others_can_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_link_is_not_followed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_node_id_is_told, set_up, tear_down),
        cmocka_unit_test(test_a_directory_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
