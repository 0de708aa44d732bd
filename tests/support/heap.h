/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>

/* Bytes that the process has from the heap now, freed ones not included: for tests that something does not grow.
 * Threads: any. */
size_t heap_in_use(void);
