/* SPDX-License-Identifier: MPL-2.0 */
#include "orchestrator/registry/feedback.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "orchestrator/registry/show.h"

/* One stream between two endpoints of this peer. */
struct edge {
    const char *from, *to;
    const struct edge *before; /* the way that first led to `to` */
    bool is_reached;
};

static bool is_internal(const struct stream_sides *sides) {
    return stream_side_is_here(&sides->source) && stream_side_is_here(&sides->destination);
}

static size_t collect(const struct registry *registry, const char *uid, struct edge *ret) {
    size_t n = 0;
    for (const struct stream_entry *s = nullptr; (s = registry_next_stream(registry, s));) {
        if (!is_internal(&s->sides) || strcmp(s->object.uid, uid) == 0)
            continue;
        if (ret)
            ret[n] = (struct edge){.from = s->sides.source.endpoint.endpoint_uid,
                                   .to = s->sides.destination.endpoint.endpoint_uid};
        n++;
    }
    return n;
}

/* Breadth first, so that the way shown is the shortest. */
static const struct edge *find_way(struct edge *edges, size_t n, const char *from, const char *to,
                                   const struct edge **queue) {
    size_t first = 0, last = 0;
    const struct edge *before = nullptr;
    for (const char *at = from;;) {
        for (size_t i = 0; i < n; i++) {
            if (edges[i].is_reached || strcmp(edges[i].from, at) != 0)
                continue;
            edges[i].is_reached = true;
            edges[i].before = before;
            if (strcmp(edges[i].to, to) == 0)
                return &edges[i];
            queue[last++] = &edges[i];
        }
        if (first == last)
            return nullptr;
        before = queue[first++];
        at = before->to;
    }
}

static void show_name(const struct registry *registry, const char *uid, char *text, size_t size) {
    size_t used = strlen(text);
    char name[LIMIT_NAME + 1];
    show_name_of(registry, uid, name);
    snprintf(text + used, size - used, "%s%.40s", used ? " → " : "", name);
}

/* From the end to the begin, so a recursion writes it the right way round; long ways are cut in the middle. */
static void show_way(const struct registry *registry, const struct edge *edge, unsigned depth, char *text,
                     size_t size) {
    constexpr unsigned SHOWN = 6;
    if (edge->before && depth < SHOWN)
        show_way(registry, edge->before, depth + 1, text, size);
    else if (edge->before)
        snprintf(text + strlen(text), size - strlen(text), " → …");
    show_name(registry, edge->to, text, size);
}

enum err feedback_check(const struct registry *registry, const char *uid, const struct stream_sides *sides,
                        struct err_info *reterr) {
    if (!is_internal(sides))
        return ERR_OK;
    size_t n = collect(registry, uid, nullptr);
    _cleanup_(freep) struct edge *edges = calloc(n + 1, sizeof *edges);
    _cleanup_(freep) const struct edge **queue = calloc(n + 1, sizeof *queue);
    if (!edges || !queue)
        return err_set(reterr, ERR_NO_MEMORY, "no memory to look for feedback");
    collect(registry, uid, edges);
    const char *source = sides->source.endpoint.endpoint_uid, *destination = sides->destination.endpoint.endpoint_uid;
    const struct edge *last = find_way(edges, n, destination, source, queue);
    if (!last)
        return ERR_OK;
    char way[400] = "";
    show_name(registry, source, way, sizeof way);
    show_name(registry, destination, way, sizeof way);
    show_way(registry, last, 0, way, sizeof way);
    return err_set_at(reterr, ERR_CONFLICT, "/destination/endpoint_uri",
                      "the sound would come back to where it begins and grow: %s. Take away one of the streams on this "
                      "way, or lead this one elsewhere",
                      way);
}
