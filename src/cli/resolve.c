/* SPDX-License-Identifier: MPL-2.0 */
#include "cli/resolve.h"

#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "cli/cli.h"
#include "cli/text.h"

/* From the surest way to the loosest; the first that finds anything decides. A side is that of a name which rocd has
 * chosen for a stream: "Radio" of "Radio → Kitchen". */
enum match { MATCH_UID, MATCH_NAME, MATCH_UID_PREFIX, MATCH_NAME_ANY_CASE, MATCH_SIDE, N_MATCHES };

static bool is_side(const char *name, const char *typed) {
    static const char ARROW[] = " → ";
    const char *arrow = strstr(name, ARROW);
    if (!arrow)
        return false;
    size_t len = strlen(typed);
    return (len == (size_t)(arrow - name) && !strncasecmp(name, typed, len)) ||
           !strcasecmp(arrow + strlen(ARROW), typed);
}

static bool matches(enum match how, const char *uid, const char *name, const char *typed) {
    switch (how) {
    case MATCH_UID:
        return !strcmp(uid, typed);
    case MATCH_NAME:
        return !strcmp(name, typed);
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

static enum err ambiguous(yyjson_val *list, enum match how, const char *uid_member, const char *what, const char *typed,
                          struct err_info *reterr) {
    struct buf all = {.max = 300};
    size_t i, n;
    yyjson_val *object;
    yyjson_arr_foreach(list, i, n, object) {
        if (!matches(how, json_str(object, uid_member), json_str(object, "display_name"), typed))
            continue;
        buf_printf(&all, "\n  %s  ", json_str(object, uid_member));
        text_append(&all, json_str(object, "display_name"));
    }
    enum err e = err_set(reterr, ERR_CONFLICT, "'%s' may be any of these %ss; give the uid, or more of it:%s", typed,
                         what, all.data ? all.data : "");
    buf_finish(&all);
    return e;
}

static const char *next_name(const void *arg, size_t i) {
    return json_str(yyjson_arr_get(*(yyjson_val *const *)arg, i), "display_name");
}

/* option_nearest() ends at nullptr, a list ends at its length. */
static const char *next_name_or_end(const void *arg, size_t i) {
    return i < yyjson_arr_size(*(yyjson_val *const *)arg) ? next_name(arg, i) : nullptr;
}

enum err resolve_object(yyjson_val *list, const char *uid_member, const char *what, const char *typed, yyjson_val **ret,
                        struct err_info *reterr) {
    for (int how = 0; how < N_MATCHES && typed[0]; how++) {
        size_t i, n, n_found = 0;
        yyjson_val *object, *found = nullptr;
        yyjson_arr_foreach(list, i, n, object) {
            if (!matches((enum match)how, json_str(object, uid_member), json_str(object, "display_name"), typed))
                continue;
            found = object;
            n_found++;
        }
        if (n_found > 1)
            return ambiguous(list, (enum match)how, uid_member, what, typed, reterr);
        if (n_found == 1) {
            *ret = found;
            return ERR_OK;
        }
    }
    const char *meant = option_nearest(typed, next_name_or_end, &list);
    if (meant && meant[0])
        return err_set(reterr, ERR_NOT_FOUND, "there is no %s '%s': did you mean '%s'?", what, typed, meant);
    return err_set(reterr, ERR_NOT_FOUND, "there is no %s '%s': see `rocctl %ss`", what, typed, what);
}
