/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/*
 * Zeroed memory for one object whose type asks for more alignment than malloc() and calloc() promise: whatever holds a
 * ring, whose two positions have a cache line each. Ownership: the caller's, with free(). nullptr: out of memory.
 */
#define alloc_aligned(type) ((type *)alloc_zeroed(alignof(type), sizeof(type)))

static inline void *alloc_zeroed(size_t alignment, size_t size) {
    void *p = aligned_alloc(alignment, size);
    return p ? memset(p, 0, size) : nullptr;
}
