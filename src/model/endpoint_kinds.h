/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "model_gen.h"

/*
 * Sets of kinds of endpoints, a bit (1u << kind) each, as drivers name those they make.
 *
 * Threads: any.
 */
constexpr uint32_t KINDS_FOUND = 1u << ENDPOINT_KIND_DEVICE | 1u << ENDPOINT_KIND_DEFAULT; /* devices of the system */
constexpr uint32_t KINDS_VIRTUAL = 1u << ENDPOINT_KIND_VIRTUAL_SPEAKER | 1u << ENDPOINT_KIND_VIRTUAL_MICROPHONE;
constexpr uint32_t KINDS_TOLD_OF = KINDS_FOUND | KINDS_VIRTUAL; /* their drivers tell whether they are there */

static inline bool kind_is_of(enum endpoint_kind kind, uint32_t kinds) {
    return kinds & 1u << kind;
}
