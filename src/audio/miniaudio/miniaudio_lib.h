/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

/*
 * The library miniaudio as this folder uses it: devices only, and of those one system's way of sound, chosen at build time
 * (backend.c), beside miniaudio's null device, which tests use. It is a single header: miniaudio_lib.c holds its code,
 * everybody else includes this file and sees the same types.
 *
 * Its asserts are off: one of them may fail when a device is lost in the moment in which it is stopped, which the code
 * around it copes with.
 */
#define MA_ENABLE_ONLY_SPECIFIC_BACKENDS
#if defined(__APPLE__)
#define MA_ENABLE_COREAUDIO
#elif defined(_WIN32)
#define MA_ENABLE_WASAPI
#elif defined(__ANDROID__)
#define MA_ENABLE_AAUDIO
#else
#define MA_ENABLE_ALSA
#endif
#define MA_ENABLE_NULL
#define MA_NO_DECODING
#define MA_NO_ENCODING
#define MA_NO_ENGINE
#define MA_NO_GENERATION
#define MA_NO_NODE_GRAPH
#define MA_NO_RESOURCE_MANAGER
#define MA_ASSERT(condition) ((void)0)

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wundef"
#include <miniaudio.h>
#pragma GCC diagnostic pop
