/* SPDX-License-Identifier: MPL-2.0 */
#include "cli/resolve.h"

#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "cli/cli.h"
#include "cli/text.h"

/* From the surest way to the loosest; the first that finds anything decides. A side is that of a name which rocd has
 * chosen for a stream: "Radio" of "Radio → Kitchen". */
enum match { MATCH_UID, MATCH_NAME, MATCH_OTHER_NAME, MATCH_UID_PREFIX, MATCH_NAME_ANY_CASE, MATCH_SIDE, N_MATCHES };

static bool is_side(const char *name, const char *typed) {
    static const char ARROW[] = " → ";
    const char *arrow = strstr(name, ARROW);
    if (!arrow)
        return false;
    size_t len = strlen(typed);
    return (len == (size_t)(arrow - name) && !strncasecmp(name, typed, len)) ||
           !strcasecmp(arrow + strlen(ARROW), typed);
}

static bool is_within(const struct resolve *r, yyjson_val *object) {
    return !r->peer_uid || !strcmp(json_str(object, "peer_uid"), r->peer_uid);
}

static bool matches(const struct resolve *r, enum match how, yyjson_val *object, const char *typed) {
    const char *uid = json_str(object, r->uid_member), *name = json_str(object, r->name_members[0]);
    if (!is_within(r, object))
        return false;
    switch (how) {
    case MATCH_UID:
        return !strcmp(uid, typed);
    case MATCH_NAME:
        return !strcmp(name, typed);
    case MATCH_OTHER_NAME:
        return r->name_members[1] && !strcmp(json_str(object, r->name_members[1]), typed);
    case MATCH_UID_PREFIX:
        return !strncmp(uid, typed, strlen(typed));
    case MATCH_NAME_ANY_CASE:
        return !strcasecmp(name, typed);
    case MATCH_SIDE:
        return is_side(name, typed);
    case N_MATCHES:
        break;
    }
    return false;
}

static void show(const struct resolve *r, struct buf *out, yyjson_val *object) {
    if (r->show)
        r->show(r->arg, out, object);
    else
        text_append(out, json_str(object, r->name_members[0]));
}

static enum err ambiguous(const struct resolve *r, enum match how, const char *typed, struct err_info *reterr) {
    struct buf all = {.max = 300};
    size_t i, n;
    yyjson_val *object;
    yyjson_arr_foreach(r->list, i, n, object) {
        if (!matches(r, how, object, typed))
            continue;
        buf_printf(&all, "\n  %s  ", json_str(object, r->uid_member));
        show(r, &all, object);
    }
    enum err e = err_set(reterr, ERR_CONFLICT, "'%s' may be any of these %ss; give the uid, or more of it:%s", typed,
                         r->what, all.data ? all.data : "");
    buf_finish(&all);
    return e;
}

/* Number i of those that may be meant. */
static yyjson_val *candidate(const struct resolve *r, size_t i) {
    size_t at, n;
    yyjson_val *object;
    yyjson_arr_foreach(r->list, at, n, object) if (is_within(r, object) && i-- == 0) return object;
    return nullptr;
}

/* option_nearest() ends at nullptr. */
static const char *next_name(const void *arg, size_t i) {
    const struct resolve *r = arg;
    yyjson_val *object = candidate(r, i);
    return object ? json_str(object, r->name_members[0]) : nullptr;
}

static enum err not_found(const struct resolve *r, const char *typed, struct err_info *reterr) {
    const char *at = r->peer_name ? " at " : "", *peer = r->peer_name ? r->peer_name : "";
    const char *meant = option_nearest(typed, next_name, r);
    struct buf name = {.max = 300};
    for (size_t i = 0; meant && meant[0] && !name.len && candidate(r, i); i++)
        if (next_name(r, i) == meant)
            show(r, &name, candidate(r, i));
    enum err e = name.len ? err_set(reterr, ERR_NOT_FOUND, "there is no %s '%s'%s%s: did you mean '%s'?", r->what,
                                    typed, at, peer, name.data)
                          : err_set(reterr, ERR_NOT_FOUND, "there is no %s '%s'%s%s: see `rocctl %ss`", r->what, typed,
                                    at, peer, r->what);
    buf_finish(&name);
    return e;
}

enum err resolve_object(const struct resolve *r, const char *typed, yyjson_val **ret, struct err_info *reterr) {
    for (int how = 0; how < N_MATCHES && typed[0]; how++) {
        size_t i, n, n_found = 0;
        yyjson_val *object, *found = nullptr;
        yyjson_arr_foreach(r->list, i, n, object) {
            if (!matches(r, (enum match)how, object, typed))
                continue;
            found = object;
            n_found++;
        }
        if (n_found > 1)
            return ambiguous(r, (enum match)how, typed, reterr);
        if (n_found == 1) {
            *ret = found;
            return ERR_OK;
        }
    }
    return not_found(r, typed, reterr);
}

enum err resolve_stream(yyjson_val *streams, const char *typed, yyjson_val **ret, struct err_info *reterr) {
    const struct resolve r = {
        .list = streams, .what = "stream", .uid_member = "stream_uid", .name_members = {"display_name"}};
    return resolve_object(&r, typed, ret, reterr);
}
