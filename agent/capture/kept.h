/* SPDX-License-Identifier: Apache-2.0 */
/* The ends (SHUT, CLOSE, EXIT) that the programs kept beside a full ring buffer: taken out of the
 * kernel's queue a few at a time, and handed over behind every record that is older than they. */
#pragma once
#include "weft/control.h"
#include "weft/record.h"

#include <stdbool.h>
#include <stddef.h>

#define KEPT_BATCH     256
#define KEPT_MARGIN_NS (1000u * 1000) /* what is older has been read out of the ring buffer */

struct kept {
	int map_fd;
	volatile struct weft_control *control;
	uint64_t fetched; /* since the start */
	unsigned n;
	struct weft_shut v[KEPT_BATCH];
};

void kept_init(struct kept *kept, int map_fd, volatile struct weft_control *control);

/* Before a read of the ring buffer: everything that precedes what is fetched here is in it. */
void kept_fetch(struct kept *kept);

/* After that read, which began at `begun`: hands over what is old enough, or all. The number of
 * those handed over and of those still waiting. */
typedef void (*kept_handler)(void *ctx, const void *record, size_t size);
int kept_deliver(struct kept *kept, uint64_t begun_ns, bool all, kept_handler handler, void *ctx);
