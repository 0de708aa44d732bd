/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Intrusive, doubly linked, circular list. An element embeds a `struct list_link`; the list is a head of the same
 * type. Every head says in a comment what it holds: `struct list streams; // struct stream::link, owned`.
 * Threads: none; one owner.
 */
struct list_link {
    struct list_link *prev, *next; /* nullptr while in no list */
};

struct list {
    struct list_link head;
};

#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

static inline void list_init(struct list *list) {
    list->head.prev = list->head.next = &list->head;
}

static inline bool list_empty(const struct list *list) {
    return list->head.next == &list->head;
}

static inline void list_insert_before(struct list_link *at, struct list_link *link) {
    link->prev = at->prev;
    link->next = at;
    at->prev->next = link;
    at->prev = link;
}

static inline void list_append(struct list *list, struct list_link *link) {
    list_insert_before(&list->head, link);
}

/* Harmless on a link that is in no list. */
static inline void list_remove(struct list_link *link) {
    if (!link->next)
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->prev = link->next = nullptr;
}

static inline size_t list_count(const struct list *list) {
    size_t n = 0;
    for (const struct list_link *l = list->head.next; l != &list->head; l = l->next)
        n++;
    return n;
}

#define list_first(list, type, member) \
    (list_empty(list) ? (type *)nullptr : container_of((list)->head.next, type, member))

/* The body must not remove any element. */
#define list_for_each(var, list, member) \
    for (struct list_link *var##_l = (list)->head.next; \
         var##_l != &(list)->head && ((var) = container_of(var##_l, typeof(*var), member), true); \
         var##_l = var##_l->next)

/* The body may remove (and free) the current element, no other. */
#define list_for_each_safe(var, list, member) \
    for (struct list_link *var##_l = (list)->head.next, *var##_n = var##_l->next; \
         var##_l != &(list)->head && ((var) = container_of(var##_l, typeof(*var), member), true); \
         var##_l = var##_n, var##_n = var##_l->next)
