/* SPDX-License-Identifier: MPL-2.0 */
#include "orchestrator/registry/grants.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void write_side(char text[static GRANT_URI_SIZE], const struct stream_side *side, const char *self_uid) {
    const struct uri_endpoint *uri = &side->endpoint;
    if (side->is_endpoint)
        snprintf(text, GRANT_URI_SIZE, "/peers/%s/endpoints/%s", uri->is_self ? self_uid : uri->peer_uid,
                 uri->endpoint_uid);
    else
        snprintf(text, GRANT_URI_SIZE, "external");
}

struct grants_case grants_case_of(const char *stream_uid, int64_t generation, const struct stream_sides *sides,
                                  const char *self_uid) {
    struct grants_case wanted = {.generation = generation};
    snprintf(wanted.stream, sizeof wanted.stream, "%s", stream_uid);
    write_side(wanted.source, &sides->source, self_uid);
    write_side(wanted.destination, &sides->destination, self_uid);
    return wanted;
}

void grants_make(struct grant *ret, const struct grants_case *wanted, const char *self_uid, int64_t now_ms,
                 const struct crypto_sign_key *key) {
    *ret = (struct grant){.generation = wanted->generation, .issued_ms = now_ms > 0 ? now_ms : 0};
    memcpy(ret->stream, wanted->stream, sizeof ret->stream);
    memcpy(ret->source, wanted->source, sizeof ret->source);
    memcpy(ret->destination, wanted->destination, sizeof ret->destination);
    snprintf(ret->commander, sizeof ret->commander, "%s", self_uid);
    grant_sign(ret, key);
}

static enum err check_subject(const struct grant *grant, const struct grants_case *wanted, struct err_info *reterr) {
    const struct {
        const char *name, *granted, *wanted;
    } texts[] = {{"stream", grant->stream, wanted->stream},
                 {"source", grant->source, wanted->source},
                 {"destination", grant->destination, wanted->destination}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(texts[i].granted, texts[i].wanted) != 0)
            return err_set(reterr, ERR_FORBIDDEN,
                           "the grant of stream %s is for the %s %s and not for %s: write the stream again",
                           wanted->stream, texts[i].name, texts[i].granted, texts[i].wanted);
    if (grant->generation > wanted->generation)
        return err_set(reterr, ERR_FORBIDDEN,
                       "the grant of stream %s begins at its generation %" PRId64 ", and it is at %" PRId64
                       ": write the stream again",
                       wanted->stream, grant->generation, wanted->generation);
    return ERR_OK;
}

enum err grants_check(const struct grant *grant, const struct grants_case *wanted, const struct roster *roster,
                      const char *self_uid, const struct crypto_sign_key *key, struct err_info *reterr) {
    bool is_self = key && strcmp(grant->commander, self_uid) == 0;
    const struct roster_member *member = roster && !is_self ? roster_find(roster, grant->commander) : nullptr;
    if (!is_self && !member)
        return err_set(reterr, ERR_FORBIDDEN,
                       "peer %s, which commanded stream %s, is none of the site as peer %s knows it", grant->commander,
                       wanted->stream, self_uid);
    if (!is_self && member->role < ROSTER_OPERATOR)
        return err_set(reterr, ERR_FORBIDDEN,
                       "peer %s, which commanded stream %s, has the rights of %s at peer %s, and those of operator are "
                       "needed: change its role there, or write the stream again as somebody who has them",
                       grant->commander, wanted->stream, roster_role_name(member->role), self_uid);
    enum err err = check_subject(grant, wanted, reterr);
    return err ? err : grant_verify(grant, is_self ? key->public_key : member->public_key, reterr);
}
