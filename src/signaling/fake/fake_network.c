/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "signaling/fake/fake_priv.h"

struct fake_network *fake_network_create(uint64_t seed) {
    struct fake_network *n = calloc(1, sizeof *n);
    if (!n)
        return nullptr;
    n->random = seed;
    n->weather = (struct fake_weather){.delay_min_ns = NS_PER_MS, .delay_max_ns = NS_PER_MS};
    list_init(&n->carriers);
    list_init(&n->lines);
    list_init(&n->rules);
    list_init(&n->cuts);
    return n;
}

static void forget(struct list *rules) {
    struct fake_rule *rule;
    list_for_each_safe(rule, rules, link) {
        list_remove(&rule->link);
        free(rule);
    }
}

void fake_network_destroy(struct fake_network *n) {
    if (!n)
        return;
    struct fake_line *line;
    list_for_each_safe(line, &n->lines, link) {
        list_remove(&line->link);
        free(line);
    }
    forget(&n->rules);
    forget(&n->cuts);
    free(n);
}

/* ---- chance ---- */

static uint64_t random_next(struct fake_network *n) { /* SplitMix64 */
    uint64_t z = n->random += 0x9E3779B97F4A7C15ULL;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ z >> 27) * 0x94D049BB133111EBULL;
    return z ^ z >> 31;
}

bool fake_happens(struct fake_network *n, int permille) {
    return permille > 0 && random_next(n) % 1000 < (uint64_t)permille;
}

int64_t fake_delay(struct fake_network *n, const struct fake_weather *w) {
    int64_t range_ns = w->delay_max_ns - w->delay_min_ns;
    return w->delay_min_ns + (range_ns > 0 ? (int64_t)(random_next(n) % (uint64_t)(range_ns + 1)) : 0);
}

/* ---- weather ---- */

static struct fake_rule *find_rule(const struct list *rules, const char *from, const char *to) {
    struct fake_rule *rule;
    list_for_each(rule, rules, link) {
        if (strcmp(rule->from, from) == 0 && strcmp(rule->to, to) == 0)
            return rule;
    }
    return nullptr;
}

static struct fake_rule *add_rule(struct list *rules, const char *from, const char *to) {
    struct fake_rule *rule = find_rule(rules, from, to);
    if (!rule && (rule = calloc(1, sizeof *rule))) {
        snprintf(rule->from, sizeof rule->from, "%s", from);
        snprintf(rule->to, sizeof rule->to, "%s", to);
        list_append(rules, &rule->link);
    }
    return rule;
}

const struct fake_weather *fake_weather_of(const struct fake_network *n, const char *from, const char *to) {
    const struct fake_rule *rule = find_rule(&n->rules, from, to);
    return rule ? &rule->weather : &n->weather;
}

void fake_network_set_weather(struct fake_network *n, const struct fake_weather *weather) {
    n->weather = *weather;
}

void fake_network_set_weather_from(struct fake_network *n, const char *from, const char *to,
                                   const struct fake_weather *weather) {
    struct fake_rule *rule = add_rule(&n->rules, from, to);
    if (rule)
        rule->weather = *weather;
}

bool fake_is_cut(const struct fake_network *n, const char *uid, const char *other_uid) {
    return find_rule(&n->cuts, uid, other_uid) || find_rule(&n->cuts, other_uid, uid);
}

void fake_network_cut(struct fake_network *n, const char *uid, const char *other_uid, bool is_cut) {
    if (is_cut) {
        (void)add_rule(&n->cuts, uid, other_uid);
        return;
    }
    struct fake_rule *rule;
    while ((rule = find_rule(&n->cuts, uid, other_uid)) || (rule = find_rule(&n->cuts, other_uid, uid))) {
        list_remove(&rule->link);
        free(rule);
    }
}

void fake_network_stats(const struct fake_network *n, struct fake_stats *ret) {
    *ret = n->stats;
}

/* ---- lines ---- */

struct fake_carrier *fake_find(const struct fake_network *n, const char *uid) {
    struct fake_carrier *c;
    list_for_each(c, &n->carriers, link) {
        if (c->is_started && !c->is_dead && strcmp(c->uid, uid) == 0)
            return c;
    }
    return nullptr;
}

struct fake_line *fake_line_of(const struct fake_carrier *c, const char *peer_uid, enum carrier_line end) {
    struct fake_line *line;
    list_for_each(line, &c->network->lines, link) {
        /* One that nobody has heard a frame of is not there yet, and never will be if its dialer has died. */
        bool is_known = end == CARRIER_DIALED || line->is_announced;
        if (is_known && line->ends[end] == c && strcmp(line->uids[fake_other(end)], peer_uid) == 0)
            return line;
    }
    return nullptr;
}

struct fake_line *fake_line_create(struct fake_carrier *dialer, struct fake_carrier *acceptor) {
    struct fake_line *line = calloc(1, sizeof *line);
    if (!line)
        return nullptr;
    struct fake_carrier *ends[2] = {[CARRIER_DIALED] = dialer, [CARRIER_ACCEPTED] = acceptor};
    for (int i = 0; i < 2; i++) {
        line->ends[i] = ends[i];
        snprintf(line->uids[i], UID_SIZE, "%s", ends[i]->uid);
    }
    list_append(&dialer->network->lines, &line->link);
    return line;
}

void fake_line_release(struct fake_line *line) {
    if (line->ends[0] || line->ends[1] || line->n_events)
        return;
    list_remove(&line->link);
    free(line);
}

void fake_line_leave(struct fake_line *line, enum carrier_line end) {
    line->ends[end] = nullptr;
    fake_line_release(line);
}

void fake_network_break(struct fake_network *n, const char *uid, const char *other_uid) {
    struct fake_line *line;
    list_for_each_safe(line, &n->lines, link) {
        bool is_theirs = (strcmp(line->uids[0], uid) == 0 && strcmp(line->uids[1], other_uid) == 0) ||
                         (strcmp(line->uids[1], uid) == 0 && strcmp(line->uids[0], other_uid) == 0);
        if (!is_theirs)
            continue;
        line->n_events++; /* stays while both are told */
        fake_tell_fall(line, CARRIER_DIALED, "the line broke", /* now= */ true);
        fake_tell_fall(line, CARRIER_ACCEPTED, "the line broke", /* now= */ true);
        line->n_events--;
        fake_line_release(line);
    }
}
