/* SPDX-License-Identifier: Apache-2.0 */
/* The processes of this host that are traced, and the decision whether one is. */
#pragma once
#include "capture/choose.h"
#include "capture/options.h"
#include "weft/record.h"

struct capture;
struct listeners;
struct older;
struct procs;

#define PROC_PORTS 8

struct proc {
	uint32_t pid;
	bool traced;
	bool inherited; /* its parent was traced */
	bool local_client; /* connected to this host */
	bool described; /* resource is set */
	bool unread_said; /* it was said that it uses TLS which is not traced */
	bool passed_over; /* there was a time since born_ns when it was not traced */
	bool instrumented; /* exports its own telemetry; set by `described`, as are the next two */
	bool has_instance; /* its environment gives service.instance.id */
	bool named; /* resource has all that is known of its pod, or it is in none */
	enum choice choice; /* why it is traced, or not */
	uint64_t seen_ns; /* when this was first known (CLOCK_MONOTONIC) */
	uint64_t born_ns; /* its latest fork or exec, 0 if not seen */
	uint8_t port_count;
	uint16_t ports[PROC_PORTS]; /* it listens on */
	uint32_t resource; /* set by `described` */
	char comm[WEFT_COMM_LEN];
	char exe[256];
	char cgroup[256];
	uint64_t requests; /* that it served or made; counted by who sees them */
	uint32_t hidden; /* connections that it serves and that are not understood, now */
	uint64_t pod; /* set by `placed`: the same for all processes of a pod, 0 for none */
};

/* It listens on this one, too; as many are kept as there is room for. */
void proc_add_port(struct proc *proc, uint16_t port);

/* What Kubernetes says of a process. */
struct proc_place {
	enum place place;
	enum pod_wish wish;
	enum left_out left_out;
	struct rule_pod
		pod; /* if place is PLACE_POD; lives as long as the callback's caller needs */
};

struct procs_ops {
	/* A process was found worth tracing: its resource is to be set. */
	void (*described)(void *ctx, struct proc *proc);
	/* Which pod it is in. NULL: Kubernetes is off. */
	void (*placed)(void *ctx, struct proc *proc, struct proc_place *ret_place);
	/* It was decided on, maybe as before (proc->choice). May be NULL. */
	void (*decided)(void *ctx, const struct proc *proc);
	/* It is gone. Also told of processes that were never described. */
	void (*ended)(void *ctx, uint32_t pid);
};

/* Borrows everything; rules may change, see procs_scan. */
int procs_new(unsigned capacity, const struct rules *rules, struct capture *capture,
	struct listeners *listeners, struct older *older, const struct procs_ops *ops, void *ctx,
	struct procs **ret_procs);
void procs_free(struct procs *procs);

/* Decides on every process there is, at start or when the configuration was read again
 * (!rules_changed: children of processes that are gone stay what they are). */
void procs_scan(struct procs *procs, bool rules_changed);

/* The same in small steps, when announcements were lost; and forgets processes whose end was lost.
 * Begins, unless a scan is under way. */
void procs_rescan(struct procs *procs);
bool procs_scanning(const struct procs *procs);
/* Whether this was the last step: all are decided on. */
bool procs_scan_step(struct procs *procs);

/* A pod became known, or what it says of itself changed: decides anew on those of its processes
 * that are known. Whether that made a difference. */
bool procs_replaced(struct procs *procs, uint64_t pod);

/* What would be decided of a process that may be gone. */
enum choice procs_choose(const struct procs *procs, struct proc *proc);

void procs_on_proc(struct procs *procs, const struct weft_proc *record);
void procs_on_listen(struct procs *procs, const struct weft_open *record);
/* time_ns: of the end. It can be told late, when the number is another process' already. */
void procs_on_exit(struct procs *procs, uint32_t pid, uint64_t time_ns);

/* The process, decided on now if its announcement was lost; NULL if it is not traced. */
struct proc *procs_get(struct procs *procs, uint32_t pid);

/* Every process that is known. */
typedef void (*procs_fn)(void *ctx, struct proc *proc);
void procs_each(struct procs *procs, procs_fn fn, void *ctx);

/* Whether connections to this local port are left out by a rule. */
bool procs_port_excluded(const struct procs *procs, uint16_t port);

/* Whether any rule asks for something of a pod. */
bool procs_rules_pods(const struct procs *procs);

struct procs_stats {
	uint64_t seen, traced, evicted, ended_unseen;
};
void procs_stats(const struct procs *procs, struct procs_stats *ret_stats);
