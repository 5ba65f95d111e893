/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose turn it was on a connection, by sequence numbers alone: the order in which records arrive
 * does not matter. A call takes the turn if nothing was said in between: it began where its own
 * direction stood at the other's latest call, which ended where the other stood at this one.
 */
#pragma once
#include "weft/record.h"

#include <stdbool.h>

/* Zeroed has heard nothing. By weft_direction. */
struct turns {
	struct {
		uint32_t end, other; /* of the latest call: where both directions stood behind it */
		uint32_t taken; /* where the latest call that took the turn began */
		bool heard, has_taken;
	} v[2];
};

/* A call moved len bytes from seq on, when the other direction stood at `other`. */
static inline void turns_note(
	struct turns *turns, enum weft_direction dir, uint32_t seq, uint32_t len, uint32_t other)
{
	if (turns->v[!dir].heard && turns->v[!dir].end == other && turns->v[!dir].other == seq) {
		turns->v[dir].taken = seq;
		turns->v[dir].has_taken = true;
	}
	turns->v[dir].heard = true;
	turns->v[dir].end = seq + len;
	turns->v[dir].other = other;
}

/* The call that began at seq took the turn. */
static inline bool turns_taken(const struct turns *turns, enum weft_direction dir, uint32_t seq)
{
	return turns->v[dir].has_taken && turns->v[dir].taken == seq;
}
