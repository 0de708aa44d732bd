/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "model/schema.h"

/*
 * What the files of the interpreter share: access to one member of a struct through its row in the table. Only
 * schema*.c include this.
 *
 * Threads: any.
 */

/* PRESENCE_VALUE for a member that is always there. */
enum presence schema_presence(const struct schema_member *member, const void *object);
void schema_set_presence(const struct schema_member *member, void *object, enum presence presence);

/* Items of an array, never more than it can hold; 1 for what is no array. */
uint32_t schema_count(const struct schema_member *member, const void *object);
const void *schema_item(const struct schema_member *member, const void *object, uint32_t index);

/* Which variant of a oneOf the struct holds; a number out of range counts as the first. */
int schema_tag(const struct schema *schema, const void *object);

void schema_default_member(const struct schema_member *member, void *object);
bool schema_member_equal(const struct schema_member *member, const void *a, const void *b);

/* nullptr when the text has the format, else what is wanted ("want an IPv4 or IPv6 address"). */
const char *schema_format_check(enum schema_format format, const char *text);
