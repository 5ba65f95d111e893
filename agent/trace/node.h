/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node is one exchange's place in its trace: its span's id, its parent, the evidence. It lives
 * from the request's head until the span was released and no child refers to it. A fixed number; a
 * reference names node and generation, so that a stale one finds nothing.
 */
#pragma once
#include "proto/exchange.h"
#include "span/span.h"
#include "trace/traceparent.h"

#include <stdbool.h>
#include <stdint.h>

#define NODE_LINES 40 /* header lines that are remembered of a request, for `forward` */

typedef uint64_t node_ref; /* 0: none */

/* How an open request is found. */
enum node_index { INDEX_TRACE, INDEX_HEAD, NODE_INDEXES };

/* Why a node's place is not final yet. */
enum node_wait {
	WAIT_NOTHING,
	WAIT_SOCKET, /* the client's record of this very request must still come */
	WAIT_PROOF, /* the link by thread counts only if its kind of call is proven */
};

struct trace_node {
	uint8_t trace_id[TRACE_ID_LEN]; /* at the root, the trace's; else, if fixed, the same */
	uint8_t span_id[SPAN_ID_LEN];
	uint8_t remote_id[SPAN_ID_LEN]; /* the parent, if it is known from a header only */
	bool has_remote;
	bool has_flags; /* flags come from a header */
	bool fixed; /* trace_id came from a header */
	bool frozen; /* a span went out with it */
	bool claimed; /* was the first to show remote_id; a call: its server's end was */
	uint8_t flags;
	enum link link;
	enum node_wait wait;
	bool left_out; /* nobody asked for this trace, as far as it hangs from here */
	uint64_t wait_until_ns;
	struct trace_node *parent;
	uint32_t refs; /* children, the exchange, the hold */
	uint32_t generation; /* odd while in use */

	/* while its exchange is open */
	struct exchange *ex;
	enum role role;
	uint32_t pid, tid;
	bool open; /* a server's request without its whole reply */
	bool quiet; /* nothing else was open in its process, nor had been for a while */
	bool proves; /* a call: its request was quiet; that it waits for the call remains to be seen
		      */
	bool alone; /* a call: no other request was open */
	bool connect; /* a call: a connect that failed */
	bool own; /* a call: its parent is the thread's own request */
	bool polled, nonblocking; /* see struct exchange */
	uint32_t signature; /* see tasks.h */
	uint64_t start_ns, end_ns; /* CLOCK_MONOTONIC; end 0 while open */
	bool met; /* a call: its server's end is known */
	uint64_t met_by_ns; /* a call that is over: until then its server's end may show; 0: need
			       not be waited for */
	bool whole; /* it ended with a whole reply */
	uint64_t reply_by_ns; /* a call: its server's end had sent the reply by then */
	struct trace_node *prev, *next; /* in its process' list of open requests */

	/* among the open requests of all processes */
	struct node_link {
		struct trace_node *next, **at;
	} links[NODE_INDEXES];

	/* fingerprint of a request */
	uint32_t head; /* hash of what stays of its first line where a proxy passes it on */
	uint16_t line_count;
	uint32_t lines[NODE_LINES];
};

struct node_pool;
int node_pool_new(unsigned capacity, struct node_pool **ret_pool);
void node_pool_free(struct node_pool *pool);

/* Zeroed, with random ids, one reference; NULL when all are in use. */
struct trace_node *node_take(struct node_pool *pool);
void node_unref(struct node_pool *pool, struct trace_node *node); /* takes NULL */
/* Makes parent the parent, by this evidence; NULL undoes. Never closes a circle: false then. */
bool node_set_parent(
	struct node_pool *pool, struct trace_node *node, struct trace_node *parent, enum link link);
struct trace_node *node_root(struct trace_node *node);

node_ref node_ref_of(const struct node_pool *pool, const struct trace_node *node);
struct trace_node *node_deref(struct node_pool *pool, node_ref ref); /* NULL if it is gone */
