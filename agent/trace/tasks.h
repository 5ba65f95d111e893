/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of processes and threads at work: who serves which request, and how.
 *
 * A thread that received its request in a blocking read is its request's until it has answered. One
 * whose sockets do not block may run an event loop. It does not where its process has proven, for
 * sockets that are waited for the same way (by epoll, or not): several threads receive requests;
 * or, without epoll, one thread made its calls in place, one after the other, TASK_IN_PLACE times
 * (a select or poll loop would have received another request meanwhile). For a socket that blocks
 * although epoll watches it still, it is proven as well by several threads that receive requests in
 * blocking reads without epoll: it was just handed to their pool. A thread that had two requests at
 * once proves the opposite.
 *
 * The calls of a process are told apart by a signature: where to, method, and the target's shape;
 * its requests by the latter two. A signature is proven, within a signature of requests, when such
 * a call was made and answered within such a request that had its process to itself and found it
 * quiet, so that nothing else can have caused it; it is broken, within all, when such a call was
 * made while no request was open, or outlived the request that it seemed to belong to: work after
 * the reply, or a timer's. For a
 * process that begins, that is since it listens: what it does by itself begins with the end of its
 * start, just as the answer to a request that waited for it. Where it never listened (a worker that
 * was given its socket), its first request is not taken for quiet.
 */
#pragma once
#include "trace/node.h"

#define TASK_SIGNATURES 48
#define TASK_IN_PLACE   8

enum signature_state { SIGNATURE_NEW, SIGNATURE_PROVEN, SIGNATURE_BROKEN };

/* How requests are served from sockets that are waited for in one way. */
struct task_serving {
	uint32_t tid; /* the first thread that received one */
	bool pool; /* others did, too */
	bool multiplexing; /* one that does not block, or of a socket that epoll watches, had
			      several at once */
	uint8_t in_place; /* calls that were seen to be waited for, up to TASK_IN_PLACE */
};

/* A process. */
struct task {
	uint32_t pid;
	struct task_serving serving[2]; /* of sockets that no epoll watches; that one does */
	uint32_t blocking_tid; /* the first thread that received one in a blocking read, no epoll */
	bool blocking_pool; /* others did, too */
	uint8_t signature_count, signature_hand;
	uint32_t open_count;
	struct trace_node *open; /* newest first */
	uint32_t opaque, tunnels; /* connections that it serves and that may hide requests, or
				     reasons for calls */
	uint64_t unseen_ns; /* when something to it was last missed */
	uint64_t idle_since_ns; /* when its last open request ended; at first, since when it listens
				   or is looked at; 0: it began, and is not known to listen */
	struct {
		uint32_t hash;
		enum signature_state state;
	} signatures[TASK_SIGNATURES];
	struct thread *threads; /* forgotten with it */
};

struct thread {
	uint32_t tid, pid;
	struct thread *prev, *next; /* of its process; next also where it is free */
	bool multiplexing; /* it received a request while an earlier one was unanswered */
	node_ref current; /* the request it received last */
	uint32_t received; /* requests that the record at hand brought */
	bool touched; /* since the search for a victim last came by */
	node_ref adjacent; /* the same, if nothing was recorded of the thread since */
	node_ref adjacent_now; /* what adjacent was when the record at hand came */
	uint64_t last_ns; /* its latest record */
};

struct tasks;
int tasks_new(unsigned max_tasks, unsigned max_threads, uint64_t now_ns, struct tasks **ret_tasks);
void tasks_free(struct tasks *tasks);

/* Made if need be, then one without open requests may be forgotten; NULL if all are busy. born: it
 * began just now. */
struct task *tasks_process(struct tasks *tasks, uint32_t pid, bool born);
struct task *tasks_find(struct tasks *tasks, uint32_t pid);
/* Its threads are forgotten as well. */
void tasks_exit(struct tasks *tasks, uint32_t pid);
/* Made if need be; never NULL: one that has been quiet makes room. Number 0 is no thread (an
 * io_uring's worker): one of which nothing is known, each time. */
struct thread *tasks_thread(struct tasks *tasks, uint32_t pid, uint32_t tid);

/* An open request can be found by its head; by its trace, too, once that is fixed by a header. */
void tasks_open(struct tasks *tasks, struct task *task, struct trace_node *node);
void tasks_fixed(struct tasks *tasks, struct trace_node *node);
/* Candidates, of any process: follow links[index].next. */
struct trace_node *tasks_by_trace(
	const struct tasks *tasks, const uint8_t trace_id[static TRACE_ID_LEN]);
struct trace_node *tasks_by_head(const struct tasks *tasks, uint32_t head);
void task_close(struct task *task, struct trace_node *node, uint64_t now_ns);

/* A broken signature stays broken. */
enum signature_state task_signature(const struct task *task, uint32_t hash);
void task_mark(struct task *task, uint32_t hash, enum signature_state state);
uint32_t signature_of(const struct exchange *ex);
/* Of a call within a request, by the signatures of both. */
uint32_t signature_within(uint32_t call, uint32_t request);
