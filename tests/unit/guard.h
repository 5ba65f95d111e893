/* SPDX-License-Identifier: Apache-2.0 */
/* Input that ends where the next byte faults. */
#pragma once
#include "core/slice.h"

#include <stdlib.h>
#include <sys/mman.h>

#define GUARD_PAGE 4096u

struct guard {
	char *pages; /* GUARD_SPAN bytes, then one page without access */
};

#define GUARD_SPAN (16 * GUARD_PAGE)

static inline struct guard guard_new(void)
{
	struct guard guard;

	guard.pages = mmap(NULL, GUARD_SPAN + GUARD_PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (guard.pages == MAP_FAILED ||
		mprotect(guard.pages + GUARD_SPAN, GUARD_PAGE, PROT_NONE) != 0)
		abort();
	return guard;
}

/* A copy of s that ends at the guard. */
static inline struct slice guard_put(struct guard *guard, struct slice s)
{
	char *at = guard->pages + GUARD_SPAN - s.len;

	if (s.len)
		memcpy(at, s.ptr, s.len);
	return slice_of(at, s.len);
}

static inline void guard_free(struct guard *guard)
{
	munmap(guard->pages, GUARD_SPAN + GUARD_PAGE);
}
