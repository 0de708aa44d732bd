/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>

/*
 * The contract, embedded as built; ends with a NUL that is not counted. Threads: any; constant.
 */
const char *openapi_json(size_t *ret_len);
