/* SPDX-License-Identifier: MPL-2.0 */
#include "sim/sim_broken.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/reconcile/plan.h"
#include "sim/sim_run.h"

/* Linked with --wrap=plan. */
struct plan __real_plan(const struct plan_desired *desired, const struct plan_observed *observed);
struct plan __wrap_plan(const struct plan_desired *desired, const struct plan_observed *observed);

static struct plan keep_sender(const struct plan_desired *desired, const struct plan_observed *observed) {
    struct plan plan = __real_plan(desired, observed);
    if (!desired->exists)
        plan.actions &= ~(uint32_t)PLAN_CLOSE_SENDER;
    return plan;
}

static struct plan ignore_generation(const struct plan_desired *desired, const struct plan_observed *observed) {
    struct plan_observed same = *observed;
    if (same.link_generation)
        same.link_generation = desired->generation;
    return __real_plan(desired, &same);
}

static struct plan ignore_switch(const struct plan_desired *desired, const struct plan_observed *observed) {
    struct plan_desired on = *desired;
    on.enabled = true;
    return __real_plan(&on, observed);
}

/* An attachment whose lease is over is believed to be there. */
static struct plan believe_in_attachments(const struct plan_desired *desired, const struct plan_observed *observed) {
    struct plan_observed believed = *observed;
    believed.attachment_lost = false;
    return __real_plan(desired, &believed);
}

/* What has failed is given up. */
static struct plan give_up(const struct plan_desired *desired, const struct plan_observed *observed) {
    struct plan plan = __real_plan(desired, observed);
    if (observed->source_peer == PLAN_REMOTE_UNREACHABLE)
        plan.actions &= ~(uint32_t)(PLAN_ATTACH | PLAN_OPEN_RECEIVER | PLAN_DROP_ATTACHMENT | PLAN_CLOSE_RECEIVER);
    return plan;
}

static const struct {
    const char *name;
    struct plan (*plan)(const struct plan_desired *desired, const struct plan_observed *observed);
} WAYS[] = {{"keep-sender", keep_sender},
            {"ignore-generation", ignore_generation},
            {"ignore-switch", ignore_switch},
            {"believe-in-attachments", believe_in_attachments},
            {"give-up", give_up}};
constexpr size_t N_WAYS = sizeof WAYS / sizeof *WAYS;

static size_t the_way = N_WAYS;

struct plan __wrap_plan(const struct plan_desired *desired, const struct plan_observed *observed) {
    return the_way < N_WAYS ? WAYS[the_way].plan(desired, observed) : __real_plan(desired, observed);
}

void sim_broken_set(const char *name) {
    the_way = N_WAYS;
    for (size_t i = 0; name && i < N_WAYS; i++)
        if (strcmp(name, WAYS[i].name) == 0)
            the_way = i;
    if (name && the_way == N_WAYS) {
        fprintf(stderr, "there is no way '%s' to break the reconciler\n", name);
        exit(2);
    }
}

const char *const *sim_broken_names(void) {
    static const char *names[N_WAYS + 1];
    for (size_t i = 0; i < N_WAYS; i++)
        names[i] = WAYS[i].name;
    return names;
}
