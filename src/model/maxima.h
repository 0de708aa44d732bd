/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Every maximum of the model, by name. What goes past one is refused with ERR_LIMIT (counts) or ERR_INVALID (sizes) and
 * the name of the limit, so that nobody has to guess. Sizes of members stand in the contract, whose generated structs are
 * exactly so large; those here that repeat one are checked against it where the structs are known.
 *
 * Threads: constants.
 */
constexpr size_t LIMIT_ENDPOINTS = 256;
constexpr size_t LIMIT_STREAMS = 256;
constexpr size_t LIMIT_ATTACHMENTS = 512;      /* of other peers' streams: one peer may have LIMIT_STREAMS of them */
constexpr size_t LIMIT_ATTACHMENTS_KEPT = 256; /* of those, kept in equal shares: one for each other peer */
constexpr size_t LIMIT_TOMBSTONES = 4096;      /* streams removed lately; the oldest is forgotten for the next */
constexpr size_t LIMIT_NAME = 128;             /* bytes of UTF-8 */
constexpr size_t LIMIT_URI = 320;              /* bytes */
constexpr size_t LIMIT_HOST = 253;             /* bytes: the longest DNS name */
constexpr size_t LIMIT_ALLOWED_SOURCES = 8;    /* per stream */
constexpr size_t LIMIT_CHANNELS = 16;          /* per endpoint */
