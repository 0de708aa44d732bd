/* SPDX-License-Identifier: MPL-2.0 */
#include "audio/builtin/file_name.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

static enum err explain(int error, const char *media_dir, const char *name, struct err_info *reterr) {
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
    if (!media_dir)
        return err_set(reterr, ERR_UNAVAILABLE, "there is no media directory: give one with --media-dir");
    _cleanup_(closep) int dir = open(media_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return err_set_errno(reterr, errno, "opening the media directory %s", media_dir);
    static const int FLAGS[] = {[FILE_NAME_READ] = O_RDONLY,
                                [FILE_NAME_CREATE] = O_RDWR | O_CREAT,
                                [FILE_NAME_CREATE_NEW] = O_RDWR | O_CREAT | O_EXCL};
    /* O_NONBLOCK: a fifo must not make us wait */
    struct open_how how = {
        .flags = (uint64_t)FLAGS[mode] | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
        .mode = mode == FILE_NAME_READ ? 0 : 0644,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    int fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof how);
    if (fd < 0)
        return explain(errno, media_dir, name, reterr);
    struct stat st;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        close(fd);
        return err_set(reterr, ERR_INVALID, "'%s' is not a regular file", name);
    }
    if (mode == FILE_NAME_CREATE && ftruncate(fd, 0)) {
        int error = errno;
        close(fd);
        return explain(error, media_dir, name, reterr);
    }
    *ret_fd = fd;
    return ERR_OK;
}

bool file_name_numbered(const char *name, int number, char *ret, size_t size) {
    const char *dot = strrchr(name, '.');
    const char *slash = strrchr(name, '/');
    size_t stem = dot && (!slash || dot > slash + 1) && dot != name ? (size_t)(dot - name) : strlen(name);
    return snprintf(ret, size, "%.*s-%d%s", (int)stem, name, number, name + stem) < (int)size;
}
