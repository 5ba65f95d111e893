/* SPDX-License-Identifier: Apache-2.0 */
/* The rules for parents inside a process; see trace.h for their order and tasks.h for what proves
 * them. */
#pragma once
#include "core/counters.h"
#include "trace/node.h"

struct claims;
struct tasks;

struct parents {
	struct node_pool *pool;
	struct tasks *tasks;
	struct claims *claims;
	struct counters *counters;
	uint64_t unseen_ns; /* when something was last missed, whoever it was for */
	uint64_t partial_ns; /* when whole connections were last left out */
};

/* What was not seen may have been a request: a lost record, a hole, a table that was full. pid 0:
 * to any process. From then on a request that was open is no parent, for its reply may have been
 * missed, and the only one, or the only one like it, is none for UNSEEN_NS, the time in which the
 * missed one is taken to be answered. */
void parents_unseen(struct parents *parents, uint32_t pid, uint64_t time_ns);

/* A request was received: its process and thread now work for it. */
void parents_server(struct parents *parents, const struct exchange *ex, struct trace_node *node);
/* It was answered: no parent any more. */
void parents_server_done(struct parents *parents, struct trace_node *node);

/* A request was sent: finds what it was sent for; may leave it to be judged later (WAIT_PROOF). */
void parents_client(struct parents *parents, const struct exchange *ex, struct trace_node *node,
	uint64_t now_ns);
void parents_client_done(
	struct parents *parents, const struct exchange *ex, struct trace_node *node);

/* Settles a node that waits for proof, if the proof is there, has failed, or is overdue. */
void parents_judge(struct parents *parents, struct trace_node *node, uint64_t now_ns);
