/* SPDX-License-Identifier: MPL-2.0 */
#include "support/heap.h"

#include <malloc.h>

/* Sanitizers have a heap of their own. */
[[gnu::weak]] size_t __sanitizer_get_current_allocated_bytes(void);

size_t heap_in_use(void) {
    if (__sanitizer_get_current_allocated_bytes)
        return __sanitizer_get_current_allocated_bytes();
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}
