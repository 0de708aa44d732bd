/* SPDX-License-Identifier: MPL-2.0 */
#include "transport/path_batch.h"

#include <errno.h>

static void count_sent(struct path_counters *counters, const struct os_datagram *sent, size_t n) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += sent[i].size;
    atomic_fetch_add_explicit(&counters->packets_sent, n, memory_order_relaxed);
    atomic_fetch_add_explicit(&counters->bytes_sent, bytes, memory_order_relaxed);
}

void path_send_batch(struct path *path, int fd, const struct os_datagram *datagrams, size_t n) {
    while (n > 0) {
        size_t sent = os_udp_send(fd, datagrams, n);
        count_sent(&path->counters, datagrams, sent);
        size_t dropped = 0;
        /* A full socket takes no more now; any other reason (no route, a firewall) concerns one datagram. After a partly
         * successful call only the next one tells the reason. */
        if (sent == 0)
            dropped = errno == EAGAIN || errno == ENOBUFS ? n : 1;
        atomic_fetch_add_explicit(&path->counters.send_dropped, dropped, memory_order_relaxed);
        datagrams += sent + dropped;
        n -= sent + dropped;
    }
}
