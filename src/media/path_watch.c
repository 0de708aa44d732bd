/* SPDX-License-Identifier: MPL-2.0 */
#include "media/path_watch.h"

static int fd_of(const struct path *path, enum media_iface iface) {
    return path->ops->poll_fd ? path->ops->poll_fd(path, iface) : -1;
}

void path_watch(struct path *path, struct poller *poller) {
    bool watched = path->ops->poll_fd != nullptr;
    for (enum media_iface i = 0; i < MEDIA_N_IFACES; i++) {
        int fd = fd_of(path, i);
        if (fd >= 0 && poller_add(poller, fd, &path->ready[i]) != 0)
            watched = false;
    }
    path->watched = watched;
    if (!watched)
        path_unwatch(path, poller);
}

void path_unwatch(struct path *path, struct poller *poller) {
    path->watched = false;
    for (enum media_iface i = 0; i < MEDIA_N_IFACES; i++)
        if (fd_of(path, i) >= 0)
            poller_remove(poller, fd_of(path, i));
}
