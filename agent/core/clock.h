/* SPDX-License-Identifier: Apache-2.0 */
/* Records carry CLOCK_MONOTONIC; spans carry Unix time. Nanoseconds throughout. */
#pragma once
#include <stdint.h>
#include <time.h>

#define NS_PER_SEC 1000000000ull
#define NS_PER_MS  1000000ull

static inline uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

static inline uint64_t clock_monotonic(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

#define CLOCK_READING_NS 1000 /* a reading may be off by so much */

/* What to add to a monotonic time to get Unix time; known: what it was, or 0. The two clocks are
 * steered alike, so that it changes only when the clock is set: a reading's own error must not move
 * a span against its parent. */
static inline uint64_t clock_unix_offset(uint64_t known)
{
	uint64_t before = clock_monotonic();
	uint64_t unix_ns = clock_ns(CLOCK_REALTIME);
	uint64_t after = clock_monotonic();
	uint64_t least = unix_ns - after, most = unix_ns - before;

	if (known >= least - CLOCK_READING_NS && known <= most + CLOCK_READING_NS)
		return known;
	return least + (most - least) / 2;
}
