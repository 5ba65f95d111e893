/* SPDX-License-Identifier: Apache-2.0 */
/* The stage that decides on processes, with everything around it made up: a /proc of a few
 * processes in place of proc_files.c, and a table of verdicts in place of the kernel's. A program
 * that includes this defines their functions itself, so that the library's are not linked. */
#pragma once
#include "capture/capture.h"
#include "capture/listeners.h"
#include "capture/older.h"
#include "capture/proc_files.h"
#include "capture/procs.h"
#include "capture/rules.h"
#include "core/cleanup.h"
#include "core/clock.h"

#include <criterion/criterion.h>
#include <errno.h>

#define RIG_PIDS  64
#define RIG_SELF  ((uint32_t)getpid())
#define RIG_NETNS 77u

/* A process as /proc shows it. */
struct rig_proc {
	uint32_t pid, parent;
	const char *exe, *cgroup;
	uint16_t listens, client_of; /* ports, 0: none */
	uint64_t started_ns; /* 0: long ago */
};

static struct {
	struct rig_proc v[RIG_PIDS]; /* pid 0: free */
	uint32_t kernel[RIG_PIDS]; /* pids in the kernel's table */
	enum weft_verdict verdicts[RIG_PIDS];
	bool local_clients;
	unsigned described, ended;
	unsigned asked; /* processes whose connections were looked at */
	struct rules rules;
	struct listeners *listeners;
	struct procs *procs;
} rig;

/* proc_files.h */

static struct rig_proc *rig_find(uint32_t pid)
{
	for (unsigned i = 0; i < RIG_PIDS; i++)
		if (pid && rig.v[i].pid == pid)
			return &rig.v[i];
	return NULL;
}

static bool rig_text(const char *text, char *ret_text, size_t cap)
{
	snprintf(ret_text, cap, "%s", text ? text : "");
	return text;
}

bool proc_exe(uint32_t pid, char *ret_path, size_t cap)
{
	const struct rig_proc *it = rig_find(pid);

	return rig_text(it ? it->exe : NULL, ret_path, cap);
}

bool proc_cgroup(uint32_t pid, char *ret_path, size_t cap)
{
	const struct rig_proc *it = rig_find(pid);

	return rig_text(it ? it->cgroup : NULL, ret_path, cap);
}

bool cgroup_path(uint64_t id, char *ret_path, size_t cap)
{
	return rig_text(id == 5 ? "/known" : NULL, ret_path, cap);
}

bool proc_comm(uint32_t pid, char *ret_comm, size_t cap)
{
	return rig_text(rig_find(pid) ? "comm" : NULL, ret_comm, cap);
}

uint32_t proc_netns(uint32_t pid)
{
	return rig_find(pid) ? RIG_NETNS : 0;
}

uint32_t proc_parent(uint32_t pid)
{
	const struct rig_proc *it = rig_find(pid);

	return it ? it->parent : 0;
}

bool proc_lives(uint32_t pid)
{
	return rig_find(pid);
}

uint64_t proc_started(uint32_t pid)
{
	const struct rig_proc *it = rig_find(pid);

	return it ? it->started_ns + 1 : 0;
}

/* A process' listener has the inode pid * 2, its connection pid * 2 + 1. */
void proc_tcp(uint32_t pid, tcp_row_fn fn, void *ctx)
{
	(void)pid; /* there is one namespace */
	for (unsigned i = 0; i < RIG_PIDS; i++) {
		const struct rig_proc *it = &rig.v[i];
		struct tcp_row listener = {it->pid * 2ull, it->listens, 0, true, false};
		struct tcp_row client = {it->pid * 2ull + 1, 40000, it->client_of, false, true};

		if (it->pid && it->listens)
			fn(ctx, &listener);
		if (it->pid && it->client_of)
			fn(ctx, &client);
	}
}

void proc_sockets(uint32_t pid, inode_fn fn, void *ctx)
{
	fn(ctx, pid, pid * 2ull);
	fn(ctx, pid, pid * 2ull + 1);
}

struct proc_walk {
	uint32_t pid; /* the latest */
};

int proc_walk_new(struct proc_walk **ret_walk)
{
	*ret_walk = calloc(1, sizeof(**ret_walk));
	return *ret_walk ? 0 : -ENOMEM;
}

void proc_walk_free(struct proc_walk *walk)
{
	free(walk);
}

uint32_t proc_walk_next(struct proc_walk *walk)
{
	uint32_t next = 0;

	for (unsigned i = 0; i < RIG_PIDS; i++)
		if (rig.v[i].pid > walk->pid && (!next || rig.v[i].pid < next))
			next = rig.v[i].pid;
	if (next)
		walk->pid = next;
	return next;
}

void proc_walk_rewind(struct proc_walk *walk)
{
	walk->pid = 0;
}

/* older.h */

void older_ask(struct older *older, uint32_t pid)
{
	(void)older;
	cr_assert(rig_find(pid));
	rig.asked++;
}

/* capture.h */

int capture_trace(struct capture *capture, uint32_t pid, enum weft_verdict verdict)
{
	unsigned at = RIG_PIDS;

	(void)capture;
	for (unsigned i = 0; i < RIG_PIDS && at == RIG_PIDS; i++)
		if (rig.kernel[i] == pid)
			at = i;
	for (unsigned i = 0; i < RIG_PIDS && at == RIG_PIDS; i++)
		if (!rig.kernel[i])
			at = i;
	if (at == RIG_PIDS)
		return -E2BIG;
	rig.kernel[at] = pid;
	rig.verdicts[at] = verdict;
	return 0;
}

/* What the kernel has of it; 0: nothing. */
static enum weft_verdict rig_verdict(uint32_t pid)
{
	for (unsigned i = 0; i < RIG_PIDS; i++)
		if (rig.kernel[i] == pid)
			return rig.verdicts[i];
	return 0;
}

bool capture_trace_older(struct capture *capture, uint32_t pid)
{
	bool born = rig_verdict(pid) == WEFT_UNDECIDED;

	capture_trace(capture, pid, born ? WEFT_TRACED : WEFT_LOOKING);
	return !born;
}

void capture_trace_on(struct capture *capture, uint32_t pid)
{
	if (rig_verdict(pid) != WEFT_LOOKING)
		capture_trace(capture, pid, WEFT_TRACED);
}

int capture_untrace(struct capture *capture, uint32_t pid)
{
	(void)capture;
	for (unsigned i = 0; i < RIG_PIDS; i++)
		if (rig.kernel[i] == pid) {
			rig.kernel[i] = 0;
			return 0;
		}
	return -ENOENT;
}

void capture_local_clients(struct capture *capture, bool wanted)
{
	(void)capture;
	rig.local_clients = wanted;
}

/* The rig itself */

static void rig_described(void *ctx, struct proc *proc)
{
	(void)ctx;
	(void)proc;
	rig.described++;
}

static void rig_ended(void *ctx, uint32_t pid)
{
	(void)ctx;
	(void)pid;
	rig.ended++;
}

static const struct procs_ops RIG_OPS = {.described = rig_described, .ended = rig_ended};

static void rig_start_sized(unsigned capacity)
{
	memset(&rig, 0, sizeof(rig));
	cr_assert_eq(listeners_new(64, &rig.listeners), 0);
	cr_assert_eq(procs_new(capacity, &rig.rules, NULL, rig.listeners, NULL, &RIG_OPS, NULL,
			     &rig.procs),
		0);
}

static void rig_start(void)
{
	rig_start_sized(32);
}

static void rig_stop(void)
{
	procs_free(rig.procs);
	listeners_free(rig.listeners);
}

static void rig_rule(const char *text, bool exclude)
{
	char error[RULE_ERROR_BYTES];

	cr_assert_eq(rule_parse(slice_str(text), exclude, &rig.rules.v[rig.rules.n], error), 0,
		"%s", error);
	rig.rules.n++;
}

/* A process appears in /proc; nothing is announced. */
static struct rig_proc *rig_live(struct rig_proc proc)
{
	for (unsigned i = 0; i < RIG_PIDS; i++)
		if (!rig.v[i].pid) {
			if (!proc.cgroup)
				proc.cgroup = "/";
			rig.v[i] = proc;
			return &rig.v[i];
		}
	cr_assert_fail("too many processes");
	return NULL;
}

/* It is gone from /proc; nothing is announced. */
static void rig_die(uint32_t pid)
{
	rig_find(pid)->pid = 0;
}

/* What the kernel does at a fork, an exec (of what it does not know), or a move. */
static void rig_announce(uint32_t pid, uint32_t parent, uint8_t flags)
{
	struct weft_proc rec = {
		.head = {clock_monotonic(), WEFT_RECORD_PROC, flags, sizeof(rec), pid, pid, 0},
		.parent = parent,
		.comm = "comm",
	};

	if (!rig_verdict(pid))
		capture_trace(NULL, pid, WEFT_UNDECIDED);
	procs_on_proc(rig.procs, &rec);
}

static void rig_listen(uint32_t pid, uint16_t port)
{
	struct weft_open rec = {
		.head = {clock_monotonic(), WEFT_RECORD_LISTEN, 0, sizeof(rec), pid, pid, 0},
		.local_port = port,
		.netns = RIG_NETNS,
	};

	rig_find(pid)->listens = port;
	procs_on_listen(rig.procs, &rec);
}

static void rig_exit(uint32_t pid)
{
	rig_die(pid);
	capture_untrace(NULL, pid);
	procs_on_exit(rig.procs, pid, clock_monotonic());
}

static bool rig_traced(uint32_t pid)
{
	bool known = procs_get(rig.procs, pid), kernel = rig_verdict(pid) >= WEFT_TRACED;

	cr_assert_eq(known, kernel, "the agent and the kernel agree on %u", pid);
	return known;
}
