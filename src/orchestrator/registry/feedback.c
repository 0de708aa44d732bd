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

/* Where an endpoint's sound is: a default is the device that it follows at present, be it a loudspeaker that it listens to. */
static const char *place_of(const struct registry *registry, const char *uid) {
    const struct endpoint_entry *entry = registry_endpoint(registry, uid);
    if (!entry || !*entry->follows)
        return uid;
    for (const struct endpoint_entry *e = nullptr; (e = registry_next_endpoint(registry, e));)
        if (e != entry && e->driver == entry->driver && strcmp(e->object.system_name, entry->follows) == 0)
            return e->object.uid;
    return uid;
}

static size_t collect(const struct registry *registry, const char *uid, struct edge *ret) {
    size_t n = 0;
    for (const struct stream_entry *s = nullptr; (s = registry_next_stream(registry, s));) {
        if (!is_internal(&s->sides) || strcmp(s->object.uid, uid) == 0)
            continue;
        if (ret)
            ret[n] = (struct edge){.from = place_of(registry, s->sides.source.endpoint.endpoint_uid),
                                   .to = place_of(registry, s->sides.destination.endpoint.endpoint_uid)};
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

static enum err refuse(const char *way, struct err_info *reterr) {
    return err_set_at(reterr, ERR_CONFLICT, "/destination/endpoint_uri",
                      "the sound would come back to where it begins and grow: %s. Take away one of the streams on this "
                      "way, or lead this one elsewhere",
                      way);
}

/* A loudspeaker's own sound, by way of a default. */
static enum err refuse_itself(const struct registry *registry, const char *source, const char *destination,
                              const char *place, struct err_info *reterr) {
    char way[400] = "";
    bool is_third = strcmp(place, source) != 0 && strcmp(place, destination) != 0;
    if (is_third)
        show_name(registry, place, way, sizeof way);
    show_name(registry, source, way, sizeof way);
    show_name(registry, destination, way, sizeof way);
    show_name(registry, is_third ? place : source, way, sizeof way);
    return refuse(way, reterr);
}

/* What led round only since the system chose another device can still be changed: muted, or switched off. */
static bool is_as_before(const struct registry *registry, const char *uid, const struct stream_sides *sides) {
    const struct stream_entry *s = *uid ? registry_stream(registry, uid) : nullptr;
    return s && is_internal(&s->sides) &&
           strcmp(s->sides.source.endpoint.endpoint_uid, sides->source.endpoint.endpoint_uid) == 0 &&
           strcmp(s->sides.destination.endpoint.endpoint_uid, sides->destination.endpoint.endpoint_uid) == 0;
}

enum err feedback_check(const struct registry *registry, const char *uid, const struct stream_sides *sides,
                        struct err_info *reterr) {
    if (!is_internal(sides) || is_as_before(registry, uid, sides))
        return ERR_OK;
    const char *source = sides->source.endpoint.endpoint_uid, *destination = sides->destination.endpoint.endpoint_uid;
    const char *from = place_of(registry, source), *to = place_of(registry, destination);
    if (strcmp(from, to) == 0)
        return refuse_itself(registry, source, destination, from, reterr);
    size_t n = collect(registry, uid, nullptr);
    _cleanup_(freep) struct edge *edges = calloc(n + 1, sizeof *edges);
    _cleanup_(freep) const struct edge **queue = calloc(n + 1, sizeof *queue);
    if (!edges || !queue)
        return err_set(reterr, ERR_NO_MEMORY, "no memory to look for feedback");
    collect(registry, uid, edges);
    const struct edge *last = find_way(edges, n, to, from, queue);
    if (!last)
        return ERR_OK;
    char way[400] = "";
    show_name(registry, source, way, sizeof way);
    show_name(registry, destination, way, sizeof way);
    show_way(registry, last, 0, way, sizeof way);
    return refuse(way, reterr);
}
