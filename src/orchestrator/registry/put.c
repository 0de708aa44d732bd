/* SPDX-License-Identifier: MPL-2.0 */
#include "orchestrator/registry/put_priv.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "model/maxima.h"

enum err put_check_serving(const struct registry *registry, struct err_info *reterr) {
    if (registry->is_stopping)
        return err_set(reterr, ERR_UNAVAILABLE,
                       "rocd is stopping and takes no changes any more: try again when it is back");
    if (!registry->is_loaded)
        return err_set(reterr, ERR_UNAVAILABLE, "rocd is starting and takes no changes yet: try again in a moment");
    return ERR_OK;
}

enum err put_check_generation(const char *what, const char *uid, int64_t present, int64_t wanted,
                              struct err_info *reterr) {
    if (wanted == ANY_GENERATION || wanted == present)
        return ERR_OK;
    if (present == 0)
        return err_set(reterr, ERR_GENERATION, "there is no %s %s any more: read again what there is", what, uid);
    return err_set(reterr, ERR_GENERATION,
                   "%s %s is at generation %" PRId64 ", not %" PRId64 ": read it again and repeat the change", what,
                   uid, present, wanted);
}

enum err put_choose_uid(const char *what, const char *uid, char ret[static UID_SIZE], struct err_info *reterr) {
    if (!*uid) {
        uid_random(ret);
        return ERR_OK;
    }
    if (!uid_is_valid(uid))
        return err_set(reterr, ERR_INVALID,
                       "'%.40s' is no uid of a %s: want three groups of six of a–z and 0–9, as in ab12cd-ef34gh-ij56kl",
                       uid, what);
    memcpy(ret, uid, UID_SIZE);
    return ERR_OK;
}

void put_change_finish(struct put_change *change) {
    write_cancel(change->write);
    free(change->json);
}

enum err put_change_begin(struct put_change *change, struct registry *registry, enum store_kind kind,
                          orchestrator_done_fn done, void *arg, struct err_info *reterr) {
    change->write = write_create(&registry->writes, kind, change->uid, done, arg);
    return change->write ? ERR_OK : err_set(reterr, ERR_NO_MEMORY, "no memory for the change of %s", change->uid);
}

enum err put_change_prepare(struct put_change *change, struct registry *registry, enum store_kind kind,
                            const struct schema *schema, const void *spec, orchestrator_done_fn done, void *arg,
                            struct err_info *reterr) {
    if (schema) {
        enum err err = schema_encode_text(schema, spec, &change->json, &change->len, reterr);
        if (err)
            return err;
    }
    return put_change_begin(change, registry, kind, done, arg, reterr);
}

void put_change_store(struct put_change *change) {
    if (change->json)
        write_put(TAKE_PTR(change->write), change->generation, change->json, change->len);
    else
        write_remove(TAKE_PTR(change->write));
}

/* ---- the peer ---- */

enum err registry_rename_peer(struct registry *registry, const char *name, int64_t if_generation,
                              orchestrator_done_fn done, void *arg, struct err_info *reterr) {
    enum err err = put_check_serving(registry, reterr);
    if (err)
        return err;
    size_t len = strnlen(name, LIMIT_NAME + 1);
    if (len == 0 || len > LIMIT_NAME)
        return err_set_at(reterr, ERR_INVALID, "/name", "the name of a peer has 1 to %zu bytes", LIMIT_NAME);
    struct registry_peer *self = &registry->self;
    _cleanup_(put_change_finish) struct put_change change = {.generation = self->generation + 1};
    memcpy(change.uid, self->uid, UID_SIZE);
    struct peer_spec spec = {};
    memcpy(spec.name, name, len);
    err = put_check_generation("peer", self->uid, self->generation, if_generation, reterr);
    if (!err)
        err = put_change_prepare(&change, registry, STORE_PEER, &peer_spec_schema, &spec, done, arg, reterr);
    if (err)
        return err;
    self->info.spec = spec;
    self->generation = self->info.generation = change.generation;
    registry_announce_peer(registry);
    put_change_store(&change);
    return ERR_OK;
}
