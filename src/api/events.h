/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "api/call.h"
#include "orchestrator/registry/events.h"

/*
 * Cursors as text, "<epoch in hexadecimal>-<number>". The epoch is that of one log of one instance, so a cursor shown to
 * another, or to the same after a restart, is seen to be foreign.
 *
 * Threads: core.
 */
constexpr size_t CURSOR_SIZE = 16 + 1 + 20 + 1;

void cursor_format(const struct events *events, uint64_t number, char ret[static CURSOR_SIZE]);
void cursor_now(const struct events *events, char ret[static CURSOR_SIZE]);
/* The number after which to read on. false: not a cursor of this log, and *reterr tells why the reader must start over. */
bool cursor_parse(const struct events *events, const char *text, uint64_t *ret_number, enum reset_reason *reterr);
