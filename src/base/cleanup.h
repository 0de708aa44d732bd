/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Scope-bound clean-up: `_cleanup_(freep) char *text = nullptr;`, handed out with TAKE_PTR(text). */
#define _cleanup_(fn) [[gnu::cleanup(fn)]]

static inline void freep(void *p) {
    free(*(void **)p);
}

static inline void closep(const int *fd) {
    if (*fd >= 0)
        close(*fd);
}

#define TAKE_PTR(ptr) \
    ({ \
        typeof(ptr) taken_ = (ptr); \
        (ptr) = nullptr; \
        taken_; \
    })
