/* SPDX-License-Identifier: Apache-2.0 */
/* Finished spans whose trace is not settled yet: a fixed number, each packed, with its node. */
#pragma once
#include "trace/node.h"

struct hold;
int hold_new(unsigned capacity, struct hold **ret_hold);
void hold_free(struct hold *hold);

/* Keeps a copy of the span and the reference to the node. -ENOSPC when full. */
int hold_put(struct hold *hold, const struct span *span, struct trace_node *node);

/* Asks ready of each one; where it answers true, calls take with the span, and the place is free
 * again. */
struct hold_ops {
	bool (*ready)(void *ctx, struct trace_node *node);
	void (*take)(void *ctx, struct trace_node *node, struct span *span);
};
void hold_each(struct hold *hold, const struct hold_ops *ops, void *ctx);
unsigned hold_count(const struct hold *hold); /* any thread */
