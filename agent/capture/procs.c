/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/procs.h"

#include "capture/capture.h"
#include "capture/listeners.h"
#include "capture/older.h"
#include "capture/proc_files.h"
#include "capture/rules.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/table.h"

#include <errno.h>
#include <string.h>

#define SCAN_SOCKETS 65536u
#define STEP_PIDS    16 /* processes looked at in one step of a scan */
#define STEP_SLOTS   64 /* known ones of which a step asks whether they live */
#define LOOK_MAX     64 /* traced processes that a search for room asks /proc about */

/* Looking at all processes: first which socket is whose, then each process, then whether those that
 * are known still live. */
enum scan_phase { SCAN_NONE, SCAN_SOCKETS_OF_ALL, SCAN_PROCESSES, SCAN_ENDED };

struct scan {
	enum scan_phase phase;
	struct proc_walk *walk;
	struct table sockets; /* inode -> port << 1 | listens */
	unsigned slot;
	uint32_t netns; /* whose sockets are being read */
	bool rules_changed;
};

struct procs {
	struct table by_pid; /* index into v */
	struct proc *v;
	uint32_t *free; /* indexes not in use */
	unsigned free_count;
	unsigned capacity;
	unsigned clock_hand; /* where the search for one to forget goes on */
	const struct rules *rules;
	struct capture *capture;
	struct listeners *listeners;
	struct older *older;
	const struct procs_ops *ops;
	void *ctx;
	struct scan scan;
	_Atomic uint64_t seen, traced, evicted, ended_unseen;
};

int procs_new(unsigned capacity, const struct rules *rules, struct capture *capture,
	struct listeners *listeners, struct older *older, const struct procs_ops *ops, void *ctx,
	struct procs **ret_procs)
{
	struct procs *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->v = calloc(capacity, sizeof(p->v[0]));
	p->free = calloc(capacity, sizeof(p->free[0]));
	if (!p->v || !p->free || table_init(&p->by_pid, capacity)) {
		procs_free(p);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < capacity; i++)
		p->free[i] = capacity - 1 - i;
	p->free_count = p->capacity = capacity;
	p->rules = rules;
	p->capture = capture;
	p->listeners = listeners;
	p->older = older;
	p->ops = ops;
	p->ctx = ctx;
	*ret_procs = p;
	return 0;
}

static void scan_end(struct scan *scan)
{
	proc_walk_free(scan->walk);
	table_release(&scan->sockets);
	*scan = (struct scan){0};
}

void procs_free(struct procs *p)
{
	if (!p)
		return;
	scan_end(&p->scan);
	table_release(&p->by_pid);
	free(p->v);
	free(p->free);
	free(p);
}

static struct proc *find(const struct procs *p, uint32_t pid)
{
	uint32_t i = table_find(&p->by_pid, pid);

	return i == TABLE_NONE ? NULL : &p->v[i];
}

static void forget(struct procs *p, struct proc *proc)
{
	if (proc->traced)
		p->traced--;
	table_remove(&p->by_pid, proc->pid);
	p->free[p->free_count++] = (uint32_t)(proc - p->v);
	proc->pid = 0;
}

/* What is known is of a process that is gone. */
static void ended(struct procs *p, struct proc *proc)
{
	uint32_t pid = proc->pid;

	if (proc->traced)
		p->ended_unseen++;
	forget(p, proc);
	p->ops->ended(p->ctx, pid);
}

/* Makes room by forgetting one that is not traced, or whose end was lost; one that is traced stays,
 * its records need it. */
static void evict(struct procs *p)
{
	unsigned looked = 0;

	for (unsigned i = 0; i < p->capacity; i++) {
		struct proc *proc = &p->v[p->clock_hand];

		p->clock_hand = (p->clock_hand + 1) % p->capacity;
		if (!proc->pid)
			continue;
		if (proc->traced && (looked++ >= LOOK_MAX || proc_lives(proc->pid)))
			continue;
		capture_untrace(p->capture, proc->pid);
		ended(p, proc);
		return;
	}
}

static struct proc *find_or_add(struct procs *p, uint32_t pid)
{
	struct proc *proc = find(p, pid);
	uint32_t i;

	if (proc)
		return proc;
	if (!p->free_count)
		evict(p);
	if (!p->free_count) {
		p->evicted++;
		return NULL;
	}
	i = p->free[--p->free_count];
	if (table_put(&p->by_pid, pid, i)) {
		p->free[p->free_count++] = i;
		return NULL;
	}
	proc = &p->v[i];
	memset(proc, 0, sizeof(*proc));
	proc->pid = pid;
	proc->seen_ns = clock_monotonic();
	p->seen++;
	return proc;
}

enum choice procs_choose(const struct procs *p, struct proc *proc)
{
	struct proc_place at = {.place = PLACE_HOST};
	struct choose_subject subject = {
		.rules = {.pid = proc->pid,
			.exe = proc->exe[0] ? proc->exe : NULL,
			.cgroup = proc->cgroup[0] ? proc->cgroup : NULL},
		.ports = proc->ports,
		.port_count = proc->port_count,
		.local_client = proc->local_client,
		.inherited = proc->inherited,
		.kubernetes = p->ops->placed,
	};

	if (p->ops->placed)
		p->ops->placed(p->ctx, proc, &at);
	if (at.place == PLACE_POD)
		subject.rules.pod = &at.pod;
	subject.place = at.place;
	subject.wish = at.wish;
	subject.left_out = at.left_out;
	return choose(p->rules, &subject);
}

/* Whether it is traced. */
static bool wanted(const struct procs *p, struct proc *proc)
{
	proc->choice = procs_choose(p, proc);
	return choice_traced(proc->choice);
}

static void say(const struct procs *p, const struct proc *proc)
{
	if (p->ops->decided)
		p->ops->decided(p->ctx, proc);
}

static void decide(struct procs *p, struct proc *proc)
{
	bool traced = wanted(p, proc), was_traced = proc->traced;
	bool older;

	if (traced && !proc->described) {
		/* at once: a server that gives itself a title soon overwrites its environment with
		 * it */
		p->ops->described(p->ctx, proc);
		proc->described = true;
		listeners_learn(p->listeners, proc->pid);
		traced = !proc->instrumented || wanted(p, proc);
	}
	older = traced && !was_traced && (!proc->born_ns || proc->passed_over);
	if (traced && !proc->traced)
		p->traced++;
	else if (!traced && proc->traced)
		p->traced--;
	proc->traced = traced;
	proc->passed_over |= !traced;
	/* an entry that is gone again: it exited meanwhile */
	if (traced && was_traced)
		capture_trace_on(p->capture, proc->pid);
	else if (older && capture_trace_older(p->capture, proc->pid))
		/* now that none of their calls is missed */
		older_ask(p->older, proc->pid);
	else if (traced)
		capture_trace(p->capture, proc->pid, WEFT_TRACED);
	else
		capture_untrace(p->capture, proc->pid);
	say(p, proc);
}

static void look(struct proc *proc)
{
	proc_exe(proc->pid, proc->exe, sizeof(proc->exe));
	proc_cgroup(proc->pid, proc->cgroup, sizeof(proc->cgroup));
	if (!proc->comm[0])
		proc_comm(proc->pid, proc->comm, sizeof(proc->comm));
}

void proc_add_port(struct proc *proc, uint16_t port)
{
	for (unsigned i = 0; i < proc->port_count; i++)
		if (proc->ports[i] == port)
			return;
	if (proc->port_count < PROC_PORTS)
		proc->ports[proc->port_count++] = port;
}

static bool is_traced(const struct procs *p, uint32_t pid)
{
	const struct proc *proc = find(p, pid);

	return proc && proc->traced;
}

/* A child is its parent until it executes something else. Servers that rename their workers destroy
 * the environment that tells what they are, so it is not read again. */
static void inherit(struct proc *proc, const struct proc *parent)
{
	proc->inherited = true;
	for (unsigned i = 0; i < parent->port_count; i++)
		proc_add_port(proc, parent->ports[i]);
	memcpy(proc->exe, parent->exe, sizeof(proc->exe));
	memcpy(proc->cgroup, parent->cgroup, sizeof(proc->cgroup));
	proc->resource = parent->resource;
	proc->described = parent->described;
	proc->instrumented = parent->instrumented;
	proc->has_instance = parent->has_instance;
	proc->named = parent->named;
}

/* Whether what is known was known before the process of this record began: a fork, or an exec of a
 * process of which the kernel knew nothing. */
static bool is_another(const struct proc *proc, const struct weft_proc *rec)
{
	bool exec = rec->head.flags & WEFT_EXEC, forked = rec->head.flags & WEFT_FORKED;

	return exec != forked && proc->seen_ns < rec->head.time_ns;
}

void procs_on_proc(struct procs *p, const struct weft_proc *rec)
{
	struct proc *proc = find(p, rec->head.pid);
	bool exec = rec->head.flags & WEFT_EXEC;
	const struct proc *parent;

	if (proc && is_another(proc, rec)) /* the kernel's verdict is of the new one: it stays */
		ended(p, proc);
	proc = find_or_add(p, rec->head.pid);
	parent = find(p, rec->parent);
	if (!proc)
		return;
	if (rec->head.flags & (WEFT_EXEC | WEFT_FORKED)) {
		proc->born_ns = rec->head.time_ns;
		proc->passed_over = false;
		if (proc->traced) /* what it held before is of no interest any more */
			capture_trace(p->capture, proc->pid, WEFT_TRACED);
	}
	memcpy(proc->comm, rec->comm, sizeof(proc->comm));
	proc->comm[sizeof(proc->comm) - 1] = '\0';
	if (exec && !proc->traced) {
		/* maybe one that went by this number before; its end is not told if it was not
		 * traced */
		proc->port_count = 0;
		proc->local_client = proc->inherited = false;
	}
	if (rec->head.flags & WEFT_LOCAL_CLIENT)
		proc->local_client = true;
	if (rec->head.flags & WEFT_FORKED && parent && parent->traced) {
		if (exec)
			proc->inherited = true;
		else
			inherit(proc, parent);
	}
	if (exec || !proc->exe[0]) {
		proc->described = false;
		if (!proc_exe(proc->pid, proc->exe, sizeof(proc->exe)))
			snprintf(proc->exe, sizeof(proc->exe), "%.*s", WEFT_EXE_LEN, rec->exe);
	}
	if (!(rec->head.flags & WEFT_FORKED) || !proc->cgroup[0])
		if (!proc_cgroup(proc->pid, proc->cgroup, sizeof(proc->cgroup)))
			cgroup_path(rec->cgroup, proc->cgroup, sizeof(proc->cgroup));
	decide(p, proc);
}

void procs_on_listen(struct procs *p, const struct weft_open *rec)
{
	struct proc *proc;

	listeners_add(p->listeners, rec->netns, rec->local_port);
	proc = find_or_add(p, rec->head.pid);
	if (!proc)
		return;
	if (!proc->exe[0])
		look(proc);
	proc_add_port(proc, rec->local_port);
	decide(p, proc);
}

void procs_on_exit(struct procs *p, uint32_t pid, uint64_t time_ns)
{
	struct proc *proc = find(p, pid);

	if (proc && proc->born_ns > time_ns)
		return;
	/* a decision that came after the end put it back into the kernel's table */
	capture_untrace(p->capture, pid);
	if (proc)
		forget(p, proc);
	p->ops->ended(p->ctx, pid);
}

struct proc *procs_get(struct procs *p, uint32_t pid)
{
	struct proc *proc = find(p, pid);

	if (!proc) {
		proc = find_or_add(p, pid);
		if (!proc)
			return NULL;
		look(proc);
		proc->inherited = is_traced(p, proc_parent(pid));
		decide(p, proc);
	}
	return proc->traced ? proc : NULL;
}

bool procs_replaced(struct procs *p, uint64_t pod)
{
	bool changed = false;

	for (unsigned i = 0; i < p->capacity; i++) {
		struct proc *proc = &p->v[i];
		bool was_traced = proc->traced;

		if (!proc->pid || proc->pod != pod)
			continue;
		decide(p, proc);
		changed |= proc->traced != was_traced;
	}
	return changed;
}

void procs_each(struct procs *p, procs_fn fn, void *ctx)
{
	for (unsigned i = 0; i < p->capacity; i++)
		if (p->v[i].pid)
			fn(ctx, &p->v[i]);
}

static void scan_row(void *ctx, const struct tcp_row *row)
{
	struct procs *p = ctx;

	if (row->listens)
		listeners_add(p->listeners, p->scan.netns, row->local_port);
	if (row->inode && (row->listens || row->local))
		table_put(&p->scan.sockets, row->inode,
			(uint32_t)row->local_port << 1 | row->listens);
}

static void scan_namespace(struct procs *p, uint32_t pid)
{
	struct scan *scan = &p->scan;
	uint32_t netns = proc_netns(pid);

	/* inode numbers of namespaces and of sockets differ in kind, not in the table: keys of
	 * namespaces carry a bit that no inode has */
	if (!netns || table_find(&scan->sockets, 1ull << 63 | netns) != TABLE_NONE)
		return;
	table_put(&scan->sockets, 1ull << 63 | netns, 0);
	scan->netns = netns;
	proc_tcp(pid, scan_row, p);
}

static void scan_socket(void *ctx, uint32_t pid, uint64_t inode)
{
	struct procs *p = ctx;
	uint32_t port = table_find(&p->scan.sockets, inode);
	struct proc *proc;

	if (port == TABLE_NONE)
		return;
	proc = find_or_add(p, pid);
	if (!proc)
		return;
	if (port & 1)
		proc_add_port(proc, (uint16_t)(port >> 1));
	else
		proc->local_client = true;
}

/* Whether clients of this host's servers are traced for that alone. */
static bool by_connections(const struct procs *p)
{
	return !rules_have_include(p->rules) && !p->ops->placed;
}

static bool by_ports(const struct procs *p)
{
	if (by_connections(p))
		return true;
	for (unsigned i = 0; i < p->rules->n; i++)
		if (p->rules->v[i].kind == RULE_PORT)
			return true;
	return false;
}

static void scan_process(struct procs *p, uint32_t pid)
{
	struct proc seen = {.pid = pid, .seen_ns = clock_monotonic()};
	struct proc *proc = find(p, pid);

	if (pid == (uint32_t)getpid())
		return;
	if (proc && proc_started(pid) > proc->seen_ns)
		ended(p, proc);
	if (by_ports(p))
		proc_sockets(pid, scan_socket, p);
	proc = find(p, pid);
	if (!proc) {
		/* most processes of a host are of no interest: decided on without a place in the
		 * table */
		look(&seen);
		seen.inherited = is_traced(p, proc_parent(pid));
		if (!wanted(p, &seen)) {
			say(p, &seen);
			/* the kernel may wait for a decision, of which the question was lost */
			if (!p->scan.rules_changed)
				capture_untrace(p->capture, pid);
			return;
		}
		proc = find_or_add(p, pid);
		if (!proc)
			return;
		seen.seen_ns = proc->seen_ns;
		*proc = seen;
	}
	look(proc);
	/* parents have lower numbers, and so were decided on before; what a former rule brought in
	 * does not keep its children in */
	proc->inherited =
		is_traced(p, proc_parent(pid)) || (proc->inherited && !p->scan.rules_changed);
	decide(p, proc);
	if (!proc_lives(pid)) /* its end may have come before the kernel knew it as traced */
		procs_on_exit(p, pid, UINT64_MAX);
}

static void scan_begin(struct procs *p, bool rules_changed)
{
	scan_end(&p->scan);
	p->scan.rules_changed = rules_changed;
	p->scan.phase = by_ports(p) ? SCAN_SOCKETS_OF_ALL : SCAN_PROCESSES;
	capture_local_clients(p->capture, by_connections(p));
	/* thousands of sockets take milliseconds: better now than when a process is being decided
	 * on */
	listeners_learn(p->listeners, (uint32_t)getpid());
	if (proc_walk_new(&p->scan.walk) || table_init(&p->scan.sockets, SCAN_SOCKETS))
		scan_end(&p->scan);
}

/* Of those that are known, the next few: their ends may have been lost. */
static void scan_ended(struct procs *p)
{
	for (unsigned n = 0; n < STEP_SLOTS && p->scan.slot < p->capacity; n++) {
		struct proc *proc = &p->v[p->scan.slot++];

		if (!proc->pid || proc_lives(proc->pid))
			continue;
		capture_untrace(p->capture, proc->pid);
		ended(p, proc);
	}
}

bool procs_scanning(const struct procs *p)
{
	return p->scan.phase != SCAN_NONE;
}

bool procs_scan_step(struct procs *p)
{
	struct scan *scan = &p->scan;
	uint32_t pid = 1;

	if (scan->phase == SCAN_ENDED) {
		scan_ended(p);
		if (scan->slot < p->capacity)
			return false;
		scan_end(scan);
		return true;
	}
	for (unsigned n = 0; n < STEP_PIDS && (pid = proc_walk_next(scan->walk)); n++) {
		if (scan->phase == SCAN_SOCKETS_OF_ALL)
			scan_namespace(p, pid);
		else
			scan_process(p, pid);
	}
	if (!pid) {
		proc_walk_rewind(scan->walk);
		scan->phase++;
	}
	return false;
}

void procs_rescan(struct procs *p)
{
	if (!procs_scanning(p))
		scan_begin(p, false);
}

void procs_scan(struct procs *p, bool rules_changed)
{
	scan_begin(p, rules_changed);
	while (procs_scanning(p))
		procs_scan_step(p);
}

bool procs_port_excluded(const struct procs *p, uint16_t port)
{
	return rules_match_port(p->rules, port) == RULES_EXCLUDE;
}

bool procs_rules_pods(const struct procs *p)
{
	return rules_have_pods(p->rules);
}

void procs_stats(const struct procs *p, struct procs_stats *ret_stats)
{
	*ret_stats = (struct procs_stats){p->seen, p->traced, p->evicted, p->ended_unseen};
}
