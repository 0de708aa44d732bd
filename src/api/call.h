/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "api/api.h"
#include "api/query.h"
#include "api/route.h"
#include "base/id.h"
#include "base/list.h"
#include "model_gen.h"

/*
 * What a handler is given, and how it answers. By the time it runs, dispatch has found the route, checked the right,
 * the uids of the path, the query, the preconditions' form and the body's size and type.
 *
 * Every handler answers exactly once: with call_reply…(), with call_problem(), or, for a write, by handing the call over
 * to a `struct api_write`, which answers when the change is durable.
 *
 * Life cycle: a call lives for one api_dispatch(); nothing of it may be kept. Threads: core.
 */
struct api_call {
    struct api *api;
    struct orchestrator *orchestrator;
    const struct api_request *request;
    const struct api_route *route; /* nullptr: none was found */
    char uid[UID_SIZE];            /* of the {stream_uid} or {endpoint_uid} of the path; "" where there is none */
    char peer_uid[UID_SIZE];       /* of the {peer_uid} of the path, never `self`; "" where there is none */
    struct query query;
    struct if_match if_match;
    bool must_not_exist; /* If-None-Match: * */
    api_reply_fn reply;
    void *arg;
};

/* ---- replies ---- */

/* What all answers of one object have. */
struct call_object {
    int status;
    const struct schema *schema;
    const void *object;
    int64_t generation;   /* ETag; 0: none */
    const char *location; /* nullptr: none */
};

void call_reply_object(struct api_call *call, const struct call_object *object);
/* JSON or other text; takes `body` (malloc'd; nullptr: memory ran out, which is answered). */
void call_reply_take(struct api_call *call, int status, const char *content_type, char *body, size_t body_len);
void call_reply_static(struct api_call *call, const char *content_type, const void *body, size_t body_len);
void call_reply(struct api_call *call, struct api_reply *reply);
/* `errors` may be nullptr. */
void call_problem(struct api_call *call, const struct err_info *info, const struct schema_errors *errors);
[[gnu::format(printf, 3, 4)]] void call_refuse(struct api_call *call, enum err code, const char *format, ...);

/* The text of an object, appended to a list that is being built: "[", items with commas, "]". */
bool call_append_object(struct buf *buf, const struct schema *schema, const void *object);

/* ---- bodies and preconditions; false: the call has been answered ---- */

bool call_decode(struct api_call *call, void *ret_object);
/* Merge patch over *object, which holds the present spec. */
bool call_patch(struct api_call *call, void *object);
/* The uid of the peer that the query's `peer` names, ours for `self`, "" where it is not given. */
bool call_query_peer(struct api_call *call, char ret_uid[static UID_SIZE]);
/* If-Match against the object's generation; 412 otherwise. */
bool call_check_generation(struct api_call *call, int64_t generation);

/* ---- writes ---- */

/* A change that has been made in memory and waits for the store. */
struct api_write {
    struct api *api; /* nullptr: the api is gone, nobody waits */
    const struct api_route *route;
    struct list_link link; /* api::writes */
    api_reply_fn reply;
    void *arg;
    struct api_reply done; /* what is said when it is durable; owned */
    char path[256];
    char principal[64];
};

/* nullptr: memory ran out, which has been answered. */
struct api_write *call_write(struct api_call *call);
/* The orchestrator has refused: answers with the reason. */
void call_write_refused(struct api_call *call, struct api_write *write, const struct err_info *info);
/* What to say when it is durable. */
void call_write_object(struct api_write *write, const struct call_object *object);
void call_write_no_content(struct api_write *write);
/* orchestrator_done_fn; arg is the struct api_write. */
void call_write_done(void *arg, enum err result, const struct err_info *info);

/* ---- shared with problem.c and api.c ---- */

void problem_reply(struct api_reply *ret, const struct err_info *info, const struct schema_errors *errors,
                   const char *path);
void reply_add_header(struct api_reply *reply, const char *name, const char *value);
bool reply_set_object(struct api_reply *reply, const struct call_object *object);
