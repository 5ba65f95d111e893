/* SPDX-License-Identifier: Apache-2.0 */
/* What is traced and what is not, and why, as a table for people: a line a container (a program,
 * where there are none). */
#pragma once
#include "self/snapshot.h"

#include <stdio.h>

#define ROSTER_NAME 64

struct roster_row {
	char namespace[ROSTER_NAME], pod[ROSTER_NAME], container[ROSTER_NAME], exe[ROSTER_NAME];
	const char *why; /* static */
	bool traced;
	unsigned processes, hidden; /* hidden: connections that are not understood, now */
	uint64_t requests;
};

struct roster {
	unsigned n, max;
	bool cut; /* there was no room for more */
	struct roster_row *rows;
};

/* Adds to the row that is equal but for its numbers. */
void roster_add(struct roster *roster, const struct roster_row *row);

/* Sorted, the header and the state of everything else above. filter: rows whose pod or program has
 * this in its name, "" for all. */
void roster_print(struct roster *roster, const struct snapshot *s, const char *filter, FILE *out);
void roster_release(struct roster *roster);
