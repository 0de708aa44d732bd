/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/list.h"
#include "signaling/links.h"

/*
 * Links that do what a test says, put in the place of the real ones by the linker: what is asked over them is kept until the
 * test answers it, what a peer asks is made up by the test, and links come and go when it says so.
 *
 * Life cycle: fake_links_create → … → fake_links_destroy, which asserts that nothing is under way. Threads: one. malloc is
 * not checked, as in all tests.
 */
constexpr size_t FAKE_LISTENERS_MAX = 4;

struct links_call {
    struct list_link link;
    struct links *links;
    char peer_uid[UID_SIZE];
    struct links_request request; /* its strings are copies, owned */
    const struct links_caller *caller;
    void *arg;
    bool is_streaming;
};

/* A request of a peer, and what became of it. */
struct links_serving {
    struct links *links;
    char peer_uid[UID_SIZE];
    int n_answers;
    int status;
    bool is_streaming;
    char *body; /* owned; nullptr: none */
    size_t body_len;
    char etag[64], location[160], retry_after[16], allow[64];
    void *stream;
    bool is_full; /* pushes are refused */
    char *events; /* owned: "name cursor json\n" of each */
};

struct links {
    const struct links_handler *handlers[FAKE_LISTENERS_MAX];
    void *args[FAKE_LISTENERS_MAX];
    size_t n_handlers;
    const struct roster *roster;
    struct links_peer peers[ROSTER_MAX]; /* as the members of the roster */
    bool watched[ROSTER_MAX];
    struct list calls; // struct links_call, owned
    size_t n_cancelled;
};

struct links *fake_links_create(const struct roster *roster);
void fake_links_destroy(struct links *links);

/* The link changes, and everybody hears. `reason` may be nullptr. */
void fake_links_set(struct links *links, const char *peer_uid, enum links_state state, uint64_t epoch, enum err code,
                    const char *reason);

/* ---- what was asked: the newest that waits and whose path is this, or nullptr ---- */
struct links_call *fake_links_call(struct links *links, const char *peer_uid, const char *path);
size_t fake_links_n_calls(const struct links *links);
void fake_links_reply(struct links_call *call, int status, const char *body);
/* headers as well: name, value, … nullptr */
void fake_links_reply_headers(struct links_call *call, int status, const char *content_type, const char *body,
                              const struct links_header *headers, size_t n_headers);
void fake_links_stream(struct links_call *call);
void fake_links_event(struct links_call *call, const char *name, const char *json);
/* No reply, or no more of it. */
void fake_links_fail(struct links_call *call, enum err code, const char *message);

/* ---- what a peer asks ---- */
void fake_links_request(struct links *links, const char *peer_uid, const struct links_request *request,
                        struct links_serving *ret);
void fake_links_writable(struct links_serving *serving);
void fake_links_close(struct links_serving *serving);
void fake_links_serving_finish(struct links_serving *serving);
