/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The evidence of a proxy: it passes a request's head on. An outgoing request whose method and
 * target, and each header line but those that proxies add or change, are those of an open request,
 * was made from it.
 */
#pragma once
#include "trace/node.h"

/* Remembers the request's head in the node. */
void forward_note(
	struct trace_node *node, const struct exchange *ex, const struct field *fields, unsigned n);

/* Whether `out` (a call) can be `in` (an open request) passed on; only if `head` is equal in both.
 */
bool forward_matches(const struct trace_node *in, const struct trace_node *out);
