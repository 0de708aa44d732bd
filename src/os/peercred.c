/* SPDX-License-Identifier: MPL-2.0 */
#include "os/peercred.h"

#include <sys/socket.h>

bool peercred_uid(int fd, uid_t *ret) {
    struct ucred cred;
    socklen_t len = sizeof cred;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) || len != sizeof cred)
        return false;
    *ret = cred.uid;
    return true;
}
