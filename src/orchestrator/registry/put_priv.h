/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "orchestrator/registry/registry.h"

/*
 * What writes have in common: check, change memory, store, tell. All that can fail does so before memory changes.
 *   put.c            these parts, and the peer's own name
 *   put_endpoint.c   endpoints
 *   put_stream.c     streams
 * Threads: core.
 */

/* Begun zeroed; finish() whatever happens: what was stored is no longer in it. */
struct put_change {
    char uid[UID_SIZE];
    int64_t generation; /* of the object after the change */
    struct write *write;
    char *json; /* owned */
    size_t len;
};

/* `schema`: of `spec`; nullptr: the object is removed. */
[[nodiscard]] enum err put_change_prepare(struct put_change *change, struct registry *registry, enum store_kind kind,
                                          const struct schema *schema, const void *spec, orchestrator_done_fn done,
                                          void *arg, struct err_info *reterr);
/* The same where `json` is there already. */
[[nodiscard]] enum err put_change_begin(struct put_change *change, struct registry *registry, enum store_kind kind,
                                        orchestrator_done_fn done, void *arg, struct err_info *reterr);
void put_change_store(struct put_change *change);
void put_change_finish(struct put_change *change);

[[nodiscard]] enum err put_check_serving(const struct registry *registry, struct err_info *reterr);
/* `present`: generation of the object, 0: there is none. */
[[nodiscard]] enum err put_check_generation(const char *what, const char *uid, int64_t present, int64_t wanted,
                                            struct err_info *reterr);
/* A new one where `uid` is empty. */
[[nodiscard]] enum err put_choose_uid(const char *what, const char *uid, char ret[static UID_SIZE],
                                      struct err_info *reterr);
