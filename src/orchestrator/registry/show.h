/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "orchestrator/registry/registry.h"

/*
 * The objects as the API shows them: with their paths, names chosen where the user chose none, and status.
 * Threads: core.
 */
/* The user's name for it, or the system's, or one that tells what it is. */
void show_endpoint_name(const struct endpoint_entry *entry, char name[static LIMIT_NAME + 1]);
/* The same of a uid; the uid itself where there is no such endpoint here. */
void show_name_of(const struct registry *registry, const char *uid, char name[static LIMIT_NAME + 1]);
void show_endpoint(const struct registry *registry, const struct endpoint_entry *entry, struct endpoint *ret);
void show_stream(const struct registry *registry, const struct stream_entry *entry, struct stream *ret);
void show_peer(const struct registry *registry, struct peer *ret);
