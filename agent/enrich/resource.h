/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resources: what a span's process is, as OpenTelemetry resource attributes. Interned, immutable
 * and never freed before the table, so that exporter threads read them without a lock.
 */
#pragma once
#include "span/span.h"

#define RESOURCE_MAX_ATTRS 24

struct resource {
	unsigned n;
	struct attr attrs[RESOURCE_MAX_ATTRS]; /* text owned by the table */
};

struct resource_table;

/* At most `capacity` resources; index 0 exists from the start: service.name=unknown_service, for
 * whatever no longer fits (counted by resource_overflows). */
int resource_table_new(unsigned capacity, struct resource_table **ret_table);
void resource_table_free(struct resource_table *table);

/* The index of an equal resource, made if need be; copies. 0 when the table is full. Pipeline
 * thread. */
uint32_t resource_intern(struct resource_table *table, const struct attr *attrs, unsigned n);

/* Any thread, any index that resource_intern gave. */
const struct resource *resource_get(const struct resource_table *table, uint32_t index);

/* The value of service.name. */
struct slice resource_service(const struct resource *resource);

uint64_t resource_overflows(const struct resource_table *table);
