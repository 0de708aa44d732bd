/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <yyjson.h>

#include "base/err.h"

/*
 * Finds the object a person means: by its uid, by its name, by the beginning of its uid. Pure.
 * Threads: any.
 */

/* `list`: an array of objects; `uid_member`: "stream_uid"; `what`: "stream", for messages. ERR_NOT_FOUND, or ERR_CONFLICT
 * when several may be meant: the message lists them. */
enum err resolve_object(yyjson_val *list, const char *uid_member, const char *what, const char *typed, yyjson_val **ret,
                        struct err_info *reterr);
