/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "orchestrator/reconcile/reconcile.h"

/*
 * Local ports for external sources whose URIs say 0: from the configured range, going round, so that a port is not used
 * again at once by another stream to which late packets of the last would come. Ports that other streams name or have are
 * passed over; whether the system lets us have one shows only when it is tried.
 */
static bool is_taken(const struct run *run, uint16_t port) {
    const struct run *other;
    list_for_each(other, &run->reconcile->runs, link) {
        const struct stream_side *source = &other->sides.source;
        if (source->is_endpoint)
            continue;
        for (int role = 0; role < URI_N_ROLES; role++)
            if (source->has_uri[role] &&
                (source->uri[role].port == port || (other != run && other->ports[role] == port)))
                return true;
    }
    return false;
}

/* 0: none is left */
static uint16_t next_port(struct run *run) {
    struct reconcile *r = run->reconcile;
    for (unsigned i = r->port_min; i <= r->port_max; i++) {
        uint16_t port = r->next_port;
        r->next_port = port >= r->port_max ? r->port_min : (uint16_t)(port + 1);
        if (!is_taken(run, port))
            return port;
    }
    return 0;
}

static bool is_open(const struct run *run, int role) {
    return run->sides.source.has_uri[role] && run->sides.source.uri[role].port == 0;
}

size_t ports_candidates(struct run *run, size_t max, uint16_t (*ret)[URI_N_ROLES]) {
    bool any = false, chosen = true;
    for (int role = 0; role < URI_N_ROLES; role++) {
        any |= is_open(run, role);
        chosen &= !is_open(run, role) || run->ports[role] != 0;
    }
    size_t n = 0;
    if (!any || run->reconcile->port_min == 0) {
        memset(ret[n++], 0, sizeof *ret);
        return n;
    }
    if (chosen)
        memcpy(ret[n++], run->ports, sizeof *ret);
    while (n < max) {
        for (int role = 0; role < URI_N_ROLES; role++) {
            ret[n][role] = is_open(run, role) ? next_port(run) : 0;
            if (is_open(run, role) && ret[n][role] == 0)
                return n;
        }
        n++;
    }
    return n;
}
