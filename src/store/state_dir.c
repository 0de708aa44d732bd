/* SPDX-License-Identifier: MPL-2.0 */
#include "store/state_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

void state_dir_sync(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

/* The entry of the new directory must survive as well, so its parent is synced. */
static int make_one(char *path, mode_t mode) {
    if (mkdir(path, mode))
        return errno == EEXIST ? 0 : errno;
    char *slash = strrchr(path, '/');
    if (!slash) {
        state_dir_sync(".");
    } else if (slash == path) {
        state_dir_sync("/");
    } else {
        *slash = 0;
        state_dir_sync(path);
        *slash = '/';
    }
    return 0;
}

enum err state_dir_make(const char *dir, struct err_info *reterr) {
    char path[PATH_MAX];
    size_t n = strlen(dir);
    if (n == 0 || n >= sizeof path)
        return err_set(reterr, ERR_INVALID, "the state directory '%s' is no usable path: give another with --state-dir",
                       dir);
    memcpy(path, dir, n + 1);
    while (n > 1 && path[n - 1] == '/')
        path[--n] = 0;
    int error = 0;
    for (char *p = path + 1; *p && !error; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        error = make_one(path, 0755);
        *p = '/';
    }
    if (!error)
        error = make_one(path, 0700);
    if (error)
        return err_set_errno(reterr, error,
                             "the state directory '%s' could not be made: make it writable for this user or give "
                             "another with --state-dir",
                             dir);
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
        return err_set(reterr, ERR_INVALID,
                       "the state directory '%s' is a file: give the path of a directory with --state-dir", dir);
    return ERR_OK;
}

static enum err refuse(const char *dir, int fd, struct err_info *reterr) {
    char pid[24] = {};
    ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
    if (n > 0)
        pid[strspn(pid, "0123456789")] = 0;
    return err_set(reterr, ERR_BUSY,
                   "another rocd (pid %s) uses the state directory '%s': stop it, or give this one its own with "
                   "--state-dir",
                   pid[0] ? pid : "unknown", dir);
}

enum err state_dir_lock(const char *dir, int *ret_fd, struct err_info *reterr) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/rocd.lock", dir) >= (int)sizeof path)
        return err_set(reterr, ERR_INVALID, "the path of the state directory is too long: give a shorter one");
    _cleanup_(closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set_errno(reterr, errno,
                             "the state directory '%s' is not writable: change its owner or mode, or give another "
                             "with --state-dir",
                             dir);
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        if (errno == EWOULDBLOCK)
            return refuse(dir, fd, reterr);
        return err_set_errno(reterr, errno, "'%s' could not be locked: the file system of --state-dir must know locks",
                             path);
    }
    char pid[24];
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    /* for people; a full disk shows soon enough, with a better message */
    if (ftruncate(fd, 0) == 0 && pwrite(fd, pid, (size_t)n, 0) != n) {
    }
    *ret_fd = fd;
    fd = -1;
    return ERR_OK;
}
