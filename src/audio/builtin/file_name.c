/* SPDX-License-Identifier: MPL-2.0 */
#include "audio/builtin/file_name.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

static enum err open_media_dir(const char *media_dir, int *ret_fd, struct err_info *reterr) {
    if (!media_dir)
        return err_set(reterr, ERR_UNAVAILABLE, "there is no media directory: give one with --media-dir");
    *ret_fd = open(media_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret_fd >= 0 ? ERR_OK : err_set_errno(reterr, errno, "opening the media directory %s", media_dir);
}

static int open_beneath(int dir, const char *name, uint64_t flags) {
    struct open_how how = {
        .flags = flags | O_CLOEXEC | (flags & O_PATH ? 0 : O_NOCTTY), /* the kernel wants no flag without meaning */
        .mode = flags & O_CREAT ? 0644 : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    return (int)syscall(SYS_openat2, dir, name, &how, sizeof how);
}

static enum err explain(int error, const char *media_dir, const char *name, bool creates, struct err_info *reterr) {
    const char *slash = strrchr(name, '/');
    if (error == ENOENT && creates && slash)
        return err_set(reterr, ERR_NOT_FOUND, "there is no directory '%.*s' in the media directory %s: make it",
                       (int)(slash - name), name, media_dir);
    switch (error) {
    case ELOOP:
    case EXDEV:
        return err_set(
            reterr, ERR_INVALID,
            "'%s' is, or leads through, a symbolic link or out of the media directory %s: put the file itself there",
            name, media_dir);
    case EEXIST:
        return err_set(reterr, ERR_CONFLICT,
                       "'%s' is there already: choose another name, or on_existing overwrite or number", name);
    case ENXIO:
        return err_set(reterr, ERR_INVALID, "'%s' is not a regular file", name);
    case ENOENT:
        return err_set(reterr, ERR_NOT_FOUND, "there is no file '%s' in the media directory %s: put it there", name,
                       media_dir);
    default:
        return err_set_errno(reterr, error, "opening '%s' in the media directory %s", name, media_dir);
    }
}

enum err file_name_open(const char *media_dir, const char *name, enum file_name_mode mode, int *ret_fd,
                        struct err_info *reterr) {
    _cleanup_(closep) int dir = -1;
    enum err e = open_media_dir(media_dir, &dir, reterr);
    if (e != ERR_OK)
        return e;
    static const int FLAGS[] = {[FILE_NAME_READ] = O_RDONLY,
                                [FILE_NAME_CREATE] = O_RDWR | O_CREAT,
                                [FILE_NAME_CREATE_NEW] = O_RDWR | O_CREAT | O_EXCL};
    /* O_NONBLOCK: a fifo must not make us wait */
    int fd = open_beneath(dir, name, (uint64_t)FLAGS[mode] | O_NONBLOCK);
    if (fd < 0)
        return explain(errno, media_dir, name, mode != FILE_NAME_READ, reterr);
    struct stat st;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        close(fd);
        return err_set(reterr, ERR_INVALID, "'%s' is not a regular file", name);
    }
    if (mode == FILE_NAME_CREATE && ftruncate(fd, 0)) {
        int error = errno;
        close(fd);
        return explain(error, media_dir, name, true, reterr);
    }
    *ret_fd = fd;
    return ERR_OK;
}

enum err file_name_can_create(const char *media_dir, const char *name, struct err_info *reterr) {
    if (media_dir && access(media_dir, W_OK))
        return err_set_errno(reterr, errno, "the media directory %s cannot be written to: see --media-dir", media_dir);
    _cleanup_(closep) int dir = -1;
    enum err e = open_media_dir(media_dir, &dir, reterr);
    if (e != ERR_OK)
        return e;
    _cleanup_(closep) int fd = open_beneath(dir, name, O_PATH);
    struct stat st;
    if (fd >= 0)
        return fstat(fd, &st) == 0 && S_ISREG(st.st_mode)
                   ? ERR_OK
                   : err_set(reterr, ERR_INVALID, "'%s' is not a regular file", name);
    const char *slash = strrchr(name, '/');
    if (errno != ENOENT || !slash)
        return errno == ENOENT ? ERR_OK : explain(errno, media_dir, name, true, reterr);
    char parent[PATH_MAX];
    snprintf(parent, sizeof parent, "%.*s", (int)(slash - name), name);
    _cleanup_(closep) int there = open_beneath(dir, parent, O_PATH | O_DIRECTORY);
    return there >= 0 ? ERR_OK : explain(errno, media_dir, name, true, reterr);
}

bool file_name_numbered(const char *name, int number, char *ret, size_t size) {
    const char *dot = strrchr(name, '.');
    const char *slash = strrchr(name, '/');
    size_t stem = dot && (!slash || dot > slash + 1) && dot != name ? (size_t)(dot - name) : strlen(name);
    return snprintf(ret, size, "%.*s-%d%s", (int)stem, name, number, name + stem) < (int)size;
}
