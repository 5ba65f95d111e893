/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resources: what a span's process is, as OpenTelemetry resource attributes. Interned and
 * immutable, so that exporter threads read them without a lock.
 *
 * Pods come and go, so a resource's place is used again. That takes two steps: resource_retire
 * leaves those that nobody has marked, and resource_reuse frees them once no span that names one
 * can be on its way any more. An id holds the number of times that its place was used: whoever
 * still has an old one gets the unknown resource, never another's.
 */
#pragma once
#include "span/span.h"

#define RESOURCE_MAX_ATTRS 56
#define RESOURCE_TEXT      4096 /* of all of its attributes */

struct resource {
	unsigned n;
	struct attr attrs[RESOURCE_MAX_ATTRS]; /* text owned by the table */
};

struct resource_table;

/* At most `capacity` resources, up to 65536; id 0 exists from the start:
 * service.name=unknown_service, for whatever no longer fits (counted by resource_overflows). */
int resource_table_new(unsigned capacity, struct resource_table **ret_table);
void resource_table_free(struct resource_table *table);
unsigned resource_capacity(const struct resource_table *table);

/* The id of an equal resource, made if need be; copies. 0 when the table is full, or
 * if they have more text than RESOURCE_TEXT. Pipeline thread. */
uint32_t resource_intern(struct resource_table *table, const struct attr *attrs, unsigned n);

/* Any thread, any id that resource_intern gave. */
const struct resource *resource_get(const struct resource_table *table, uint32_t id);

/* The value of service.name. */
struct slice resource_service(const struct resource *resource);

/* Any thread. */
unsigned resource_count(const struct resource_table *table);
uint64_t resource_overflows(const struct resource_table *table);

/* Whether few places are left, so that resource_retire is worth its while; and whether some are
 * retired, for resource_reuse. Pipeline thread, as are the next three. */
bool resource_scarce(const struct resource_table *table);
bool resource_retired(const struct resource_table *table);

/* In use: stays. Of an id whose place is another's already: nothing. */
void resource_mark(struct resource_table *table, uint32_t id);
/* Retires all that were not marked since the latest call. One that is asked for again returns. */
void resource_retire(struct resource_table *table);
/* Frees the places of those that are retired. */
void resource_reuse(struct resource_table *table);
