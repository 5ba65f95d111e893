/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Do the books balance? The invariants of weft/counters.h and core/counters.h, checked on a
 * snapshot. Counters move one by one: only a snapshot taken while nothing happens has to balance.
 */
#pragma once
#include "self/snapshot.h"

#define BOOKS_FAULTS_MAX (5 + SNAPSHOT_EXPORTERS)

struct books_fault {
	char what[128]; /* "kernel: seen = filtered + ..." */
	uint64_t left, right;
};

/* The number of equations that do not hold. */
unsigned books_check(
	const struct snapshot *snapshot, struct books_fault ret_faults[static BOOKS_FAULTS_MAX]);
