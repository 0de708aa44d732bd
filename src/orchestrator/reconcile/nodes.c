/* SPDX-License-Identifier: MPL-2.0 */
#include "orchestrator/reconcile/nodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/link_settings.h"
#include "orchestrator/reconcile/reconcile.h"
#include "orchestrator/registry/devices.h"
#include "orchestrator/registry/endpoints.h"

static bool is_joinable(const struct node *node) {
    return !node->is_stale && !node->has_ended && node->state != NODE_CLOSING;
}

static struct node *find_joinable(struct reconcile *reconcile, const char *endpoint_uid) {
    struct node *node;
    list_for_each(node, &reconcile->nodes, link) {
        if (strcmp(node->endpoint_uid, endpoint_uid) == 0 && is_joinable(node))
            return node;
    }
    return nullptr;
}

/* The oldest of its endpoint comes first in the list. */
static bool has_elder(const struct node *node) {
    const struct node *other;
    list_for_each(other, &node->reconcile->nodes, link) {
        if (other == node)
            return false;
        if (strcmp(other->endpoint_uid, node->endpoint_uid) == 0)
            return true;
    }
    return false;
}

/* nullptr: the endpoint is gone */
static struct endpoint_entry *entry_of(const struct node *node) {
    return registry_endpoint(node->reconcile->registry, node->endpoint_uid);
}

static void kick_users(struct node *node) {
    struct node_use *use;
    list_for_each(use, &node->users, link) {
        run_kick(use->run);
    }
}

static void begin_open(struct node *node);

/* Frees the node, and lets the one that waited for it begin. */
static void node_gone(struct node *node) {
    struct reconcile *reconcile = node->reconcile;
    struct endpoint_entry *entry = entry_of(node);
    if (entry && node->was_up) {
        endpoints_released(entry);
        devices_sweep(reconcile->registry);
    }
    struct node *next = nullptr, *other;
    list_for_each(other, &reconcile->nodes, link) {
        if (!next && other != node && other->state == NODE_WAITING &&
            strcmp(other->endpoint_uid, node->endpoint_uid) == 0)
            next = other;
    }
    list_remove(&node->link);
    free(node);
    if (next)
        begin_open(next);
}

/* All users are told and let go of. */
static void node_lost(struct node *node, const struct err_info *reason) {
    struct endpoint_entry *entry = entry_of(node);
    if (entry && !node->is_stale)
        endpoints_failed(node->reconcile->registry, entry, reason);
    const char *word = entry && *entry->object.status.reason ? entry->object.status.reason : "DeviceFailed";
    char type_word[49];
    snprintf(type_word, sizeof type_word, "%s", word);
    while (!list_empty(&node->users)) {
        struct node_use *use = list_first(&node->users, struct node_use, link);
        list_remove(&use->link);
        use->node = nullptr;
        use->is_stale = false;
        run_failed(use->run, use->as_source ? "Source" : "Destination", type_word, reason);
    }
}

/* ---- how often a device moves sound ---- */

/* What a device adds to the latency is small beside what the network is given, and programs are woken no more often than
 * that needs. 128 and 1024 frames at 48 kHz. */
constexpr int64_t PERIODS_IN_LATENCY = 8;
constexpr int64_t PERIOD_MIN_NS = 2'666'667;
constexpr int64_t PERIOD_MAX_NS = 21'333'334;

static int64_t period_of(const struct node *node) {
    if (node->spec.has_period_ms == PRESENCE_VALUE)
        return (int64_t)(node->spec.period_ms * (double)NS_PER_MS);
    int64_t period_ns = PERIOD_MAX_NS;
    const struct node_use *use;
    list_for_each(use, &node->users, link) {
        int64_t min_ns, max_ns;
        link_settings_bounds(&use->run->spec, &use->run->sides, &min_ns, &max_ns);
        if (min_ns / PERIODS_IN_LATENCY < period_ns)
            period_ns = min_ns / PERIODS_IN_LATENCY;
    }
    return period_ns > PERIOD_MIN_NS ? period_ns : PERIOD_MIN_NS;
}

static void tell_period(const struct node *node) {
    const struct audio_driver *driver = node->driver->driver;
    if (node->state == NODE_UP && driver->set_period)
        driver->set_period(node->driver->state, node->endpoint_uid, node->period_ns);
}

/* Not to a longer one while it plays, but at the user's word: its ring would run dry once. */
static void take_period(struct node *node) {
    int64_t period_ns = period_of(node);
    if (node->is_stale || node->state == NODE_CLOSING || period_ns == node->period_ns ||
        (period_ns > node->period_ns && node->spec.has_period_ms != PRESENCE_VALUE))
        return;
    node->period_ns = period_ns;
    tell_period(node);
}

void nodes_take_period(struct node_use *use) {
    if (use->node)
        take_period(use->node);
}

/* ---- opening and closing ---- */

static void close_work(void *arg) {
    struct node *node = arg;
    if (node->stream)
        node->stream->ops->close(node->stream);
    node->stream = nullptr;
}

static void close_done(void *arg) {
    node_gone(arg);
}

/* Nobody wants it; it never reached the engine. */
static void close_unused(struct node *node) {
    node->state = NODE_CLOSING;
    if (loop_work(node->reconcile->loop, close_work, close_done, node) == ERR_OK)
        return;
    close_work(node);
    node_gone(node);
}

static void open_work(void *arg) {
    struct node *node = arg;
    node->failure.code =
        node->driver->driver->open(node->driver->state, node->reconcile->registry->drivers->host,
                                   &(struct audio_endpoint){node->endpoint_uid, &node->spec, node->opened_period_ns},
                                   &node->stream, &node->failure);
}

/* Out of memory it plays without, which the log tells. */
static void set_delay(struct node *node) {
    struct err_info failure = {};
    int64_t delay_ns = (int64_t)(node->spec.delay_ms * (double)NS_PER_MS);
    if (node->state == NODE_UP && engine_set_delay(node->reconcile->engine, node->id, delay_ns, &failure) != ERR_OK)
        log_warn(node->reconcile->log, "endpoint plays without its delay", LOG_STR("endpoint", node->endpoint_uid),
                 LOG_STR("reason", failure.message));
}

static void open_done(void *arg) {
    struct node *node = arg;
    struct err_info failure = node->failure;
    if (failure.code == ERR_OK && list_empty(&node->users)) {
        close_unused(node);
        return;
    }
    if (failure.code == ERR_OK) {
        struct audio_stream *stream = node->stream;
        node->stream = nullptr;
        node->format = stream->format;
        failure.code = engine_add_node_take(node->reconcile->engine, stream, node->direction, &node->id, &failure);
    }
    if (failure.code != ERR_OK) {
        node_lost(node, &failure);
        node_gone(node);
        return;
    }
    node->state = NODE_UP;
    node->was_up = true;
    set_delay(node);
    if (node->period_ns != node->opened_period_ns)
        tell_period(node);
    struct endpoint_entry *entry = entry_of(node);
    if (entry && !node->is_stale)
        endpoints_opened(node->reconcile->registry, entry, node->format);
    kick_users(node);
}

static void begin_open(struct node *node) {
    if (list_empty(&node->users)) {
        node_gone(node);
        return;
    }
    node->state = NODE_OPENING;
    node->period_ns = node->opened_period_ns = period_of(node);
    if (loop_work(node->reconcile->loop, open_work, open_done, node) == ERR_OK)
        return;
    struct err_info failure = {};
    (void)err_set(&failure, ERR_LIMIT, "endpoint %s could not be opened: too much work is waiting", node->endpoint_uid);
    node_lost(node, &failure);
    node_gone(node);
}

static void on_removed(void *arg) {
    node_gone(arg);
}

/* ---- use ---- */

static struct node *node_create(struct reconcile *reconcile, const struct endpoint_entry *entry) {
    struct node *node = calloc(1, sizeof *node);
    if (!node)
        return nullptr;
    node->reconcile = reconcile;
    snprintf(node->endpoint_uid, sizeof node->endpoint_uid, "%s", entry->object.uid);
    node->spec = entry->object.spec;
    node->driver = entry->driver;
    node->direction = entry->driver->driver->direction(&node->spec);
    list_init(&node->users);
    list_append(&reconcile->nodes, &node->link);
    return node;
}

enum err nodes_acquire(struct reconcile *reconcile, const char *endpoint_uid, struct node_use *use,
                       struct err_info *reterr) {
    const struct endpoint_entry *entry = registry_endpoint(reconcile->registry, endpoint_uid);
    if (!entry || !entry->driver)
        return err_set(reterr, ERR_NOT_FOUND, "endpoint %s is not there", endpoint_uid);
    struct node *node = find_joinable(reconcile, endpoint_uid);
    bool is_new = !node;
    if (is_new)
        node = node_create(reconcile, entry);
    if (!node)
        return err_set(reterr, ERR_NO_MEMORY, "no memory for the use of endpoint %s", endpoint_uid);
    use->node = node;
    use->is_stale = false;
    list_append(&node->users, &use->link);
    if (is_new && has_elder(node))
        node->state = NODE_WAITING;
    else if (is_new)
        begin_open(node);
    else if (node->state != NODE_WAITING)
        take_period(node);
    return ERR_OK;
}

void nodes_release(struct node_use *use) {
    struct node *node = use->node;
    if (!node)
        return;
    list_remove(&use->link);
    use->node = nullptr;
    use->is_stale = false;
    if (!list_empty(&node->users))
        return;
    switch (node->state) {
    case NODE_WAITING:
        node_gone(node);
        break;
    case NODE_OPENING: /* open_done sees that nobody waits */
        node->is_stale = true;
        break;
    case NODE_UP:
        node->state = NODE_CLOSING;
        engine_remove_node(node->reconcile->engine, node->id, on_removed, node);
        break;
    case NODE_CLOSING:
        break;
    }
}

enum plan_part nodes_part(const struct node_use *use) {
    if (!use->node)
        return PLAN_PART_NONE;
    return use->node->state == NODE_UP ? PLAN_PART_UP : PLAN_PART_STARTING;
}

bool nodes_is_stale(const struct node_use *use, const char *endpoint_uid) {
    return use->node && (use->is_stale || use->node->is_stale || strcmp(use->node->endpoint_uid, endpoint_uid) != 0);
}

/* ---- news ---- */

static bool is_same_to_hear(const struct endpoint_spec *a, const struct endpoint_spec *b) {
    struct endpoint_spec copy = *a;
    memcpy(copy.display_name, b->display_name, sizeof copy.display_name);
    copy.enabled = b->enabled;
    copy.has_volume = b->has_volume; /* their driver sees to them */
    copy.volume = b->volume;
    copy.has_muted = b->has_muted;
    copy.muted = b->muted;
    copy.delay_ms = b->delay_ms; /* these change while it plays */
    copy.has_period_ms = b->has_period_ms;
    copy.period_ms = b->period_ms;
    return endpoint_spec_equal(&copy, b);
}

static void take_changes(struct node *node, const struct endpoint_spec *spec) {
    if (node->is_stale)
        return;
    if (node->spec.delay_ms != spec->delay_ms) {
        node->spec.delay_ms = spec->delay_ms;
        set_delay(node);
    }
    node->spec.has_period_ms = spec->has_period_ms;
    node->spec.period_ms = spec->period_ms;
    take_period(node);
}

void nodes_endpoint_changed(struct reconcile *reconcile, const char *endpoint_uid) {
    const struct endpoint_entry *entry = registry_endpoint(reconcile->registry, endpoint_uid);
    struct node *node;
    list_for_each(node, &reconcile->nodes, link) {
        if (strcmp(node->endpoint_uid, endpoint_uid) != 0)
            continue;
        if (!entry || entry->driver != node->driver || !is_same_to_hear(&node->spec, &entry->object.spec))
            node->is_stale = true;
        else
            take_changes(node, &entry->object.spec);
    }
}

struct node *nodes_find(struct reconcile *reconcile, uint32_t id) {
    struct node *node;
    list_for_each(node, &reconcile->nodes, link) {
        if (node->state == NODE_UP && node->id == id)
            return node;
    }
    return nullptr;
}

void nodes_ended(struct node *node) {
    node->has_ended = true;
}

void nodes_failed(struct node *node, const struct err_info *reason) {
    struct endpoint_entry *entry = entry_of(node);
    if (entry && !node->is_stale)
        endpoints_failed(node->reconcile->registry, entry, reason);
    node->is_stale = true;
    const char *word = entry && *entry->object.status.reason ? entry->object.status.reason : "DeviceFailed";
    struct node_use *use;
    list_for_each(use, &node->users, link) {
        run_failed(use->run, use->as_source ? "Source" : "Destination", word, reason);
    }
}

void nodes_finish(struct reconcile *reconcile) {
    while (!list_empty(&reconcile->nodes)) {
        struct node *node = list_first(&reconcile->nodes, struct node, link);
        list_remove(&node->link);
        if (node->stream)
            node->stream->ops->close(node->stream);
        free(node);
    }
}
