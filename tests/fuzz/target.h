/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * What every fuzz target is: one function that takes any bytes and comes back. libFuzzer calls it (make fuzz), or replay.c
 * with the files of the corpus (make test). It keeps nothing from one call to the next and returns 0.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A promise of the code under test. Holds in every build: a broken one ends the process, which is what is looked for. */
#define FUZZ_CHECK(promise) \
    do { \
        if (!(promise)) { \
            fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #promise); \
            abort(); \
        } \
    } while (0)
