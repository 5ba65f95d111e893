/* SPDX-License-Identifier: Apache-2.0 */
/* The wiring: one struct owns every stage, and a record's way through them reads from top to
 * bottom. */
#include "agent.h"

#include "agent_attach.h"
#include "agent_report.h"
#include "capture/listeners.h"
#include "capture/older.h"
#include "capture/procs.h"
#include "capture/rules.h"
#include "capture/tls.h"
#include "conn/conn.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/log.h"
#include "enrich/resource.h"
#include "self/http.h"
#include "span/builder.h"
#include "trace/trace.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>

#define NAP_MS    5 /* between two looks at the ring while there is work */
#define SLEEP_MS  1000
#define IDLE_NS   (50 * NS_PER_MS) /* without a record, and we sleep until one comes */
#define RESCAN_NS (10 * NS_PER_SEC) /* between two looks at all processes, when told too little */
#define LISTENERS 16384
#define RETIRE_NS (30 * NS_PER_SEC) /* until a place of a resource is used again, at least */
#define OLDER_MS  1000 /* for a look at the connections there are, before work goes on */

static volatile sig_atomic_t stop_requested, reload_requested;

static void on_signal(int sig)
{
	if (sig == SIGHUP)
		reload_requested = 1;
	else
		stop_requested = 1;
}

/* capture → conn */

static void on_record(void *ctx, const struct weft_record *rec, size_t size)
{
	struct agent *a = ctx;

	if (capture_lost(a->capture) != a->lost) {
		a->lost = capture_lost(a->capture);
		trace_unseen(a->trace, 0, clock_monotonic());
	}
	count(&a->counters, COUNT_RECORDS_READ);
	count_add(&a->counters, COUNT_RECORD_BYTES, size);
	switch (rec->type) {
	case WEFT_RECORD_DATA: {
		const struct weft_data *data = (const struct weft_data *)rec;
		uint32_t age = rec->flags & WEFT_SEND_BIT ? data->age_ns : UINT32_MAX;
		/* what TLS makes of a message moves inside the call that moves the message */
		bool cipher = data->layer == WEFT_LAYER_TLS;

		conns_on_data(a->conns, data,
			cipher ? rec->time_ns
			       : trace_moved(a->trace, rec->pid, rec->tid, rec->time_ns, age));
		break;
	}
	case WEFT_RECORD_OPEN:
		conns_on_open(a->conns, (const struct weft_open *)rec);
		break;
	case WEFT_RECORD_SHUT:
		conns_on_shut(a->conns, (const struct weft_shut *)rec);
		break;
	case WEFT_RECORD_CLOSE:
		conns_on_close(a->conns, (const struct weft_shut *)rec);
		break;
	case WEFT_RECORD_PROC:
		procs_on_proc(a->procs, (const struct weft_proc *)rec);
		if (rec->flags & (WEFT_EXEC | WEFT_FORKED) && procs_get(a->procs, rec->pid))
			trace_born(a->trace, rec->pid);
		break;
	case WEFT_RECORD_EXIT:
		procs_on_exit(a->procs, rec->pid, rec->time_ns);
		break;
	case WEFT_RECORD_LISTEN:
		procs_on_listen(a->procs, (const struct weft_open *)rec);
		if (procs_get(a->procs, rec->pid))
			trace_listens(a->trace, rec->pid, rec->time_ns);
		break;
	}
}

static void on_described(void *ctx, struct proc *proc)
{
	struct agent *a = ctx;
	struct process_attrs attrs = {0};

	proc->instrumented = process_describe(
		proc->pid, slice_str(proc->comm), slice_str(proc->exe), &a->host, &attrs);
	if (a->cluster)
		cluster_describe(a->cluster, proc, &attrs);
	else
		proc->resource = resource_intern(a->resources, attrs.attrs, attrs.n);
	log_debug("process is traced", LOG_INT("pid", proc->pid), LOG_STR("comm", proc->comm),
		LOG_STR("exe", proc->exe), LOG_STR("cgroup", proc->cgroup));
}

static void on_ended(void *ctx, uint32_t pid)
{
	struct agent *a = ctx;

	trace_exit(a->trace, pid);
	if (a->tls)
		tls_ended(a->tls, pid);
}

static void on_placed(void *ctx, struct proc *proc, struct proc_place *ret_place)
{
	cluster_place(((struct agent *)ctx)->cluster, proc, ret_place);
}

static void on_decided(void *ctx, const struct proc *proc)
{
	struct agent *a = ctx;

	if (a->cluster)
		cluster_decided(a->cluster, proc);
	if (a->tls && proc->traced)
		tls_began(a->tls, proc->pid);
	else if (a->tls)
		tls_ended(a->tls, proc->pid);
}

static const struct procs_ops PROCS_OPS = {
	.described = on_described,
	.decided = on_decided,
	.ended = on_ended,
};
static const struct procs_ops PROCS_OPS_CLUSTER = {
	.described = on_described,
	.placed = on_placed,
	.decided = on_decided,
	.ended = on_ended,
};

/* conn, proto → span, trace */

static uint64_t on_connecting(void *ctx, uint32_t pid, uint32_t tid, uint64_t time_ns)
{
	return trace_connecting(((struct agent *)ctx)->trace, pid, tid, time_ns);
}

static void on_connected(void *ctx, const struct endpoints *ends)
{
	trace_connected(((struct agent *)ctx)->trace, ends);
}

static void on_gone(void *ctx, const struct endpoints *ends)
{
	trace_gone(((struct agent *)ctx)->trace, ends);
}

static void on_unseen(void *ctx, uint32_t pid, uint64_t time_ns)
{
	trace_unseen(((struct agent *)ctx)->trace, pid, time_ns);
}

static void on_opaque(void *ctx, uint32_t pid, bool tunnel, bool on)
{
	struct agent *a = ctx;
	struct proc *proc = tunnel ? NULL : procs_get(a->procs, pid);

	trace_opaque(a->trace, pid, tunnel, on);
	if (!proc)
		return;
	if (on)
		proc->hidden++;
	else if (proc->hidden)
		proc->hidden--;
	if (on && a->cluster)
		cluster_hidden(a->cluster, proc);
}

static bool on_readable(void *ctx, uint32_t pid)
{
	struct agent *a = ctx;
	enum tls_state state = a->tls ? tls_state(a->tls, pid) : TLS_NO_LIBRARY;

	if (a->tls && state != TLS_PROBED) /* it may just have loaded its library */
		tls_used(a->tls, pid);
	return state == TLS_PROBED || state == TLS_NOT_LOOKED;
}

static void on_unread(void *ctx, uint32_t pid)
{
	struct agent *a = ctx;
	struct proc *proc = procs_get(a->procs, pid);
	const char *why = a->tls         ? tls_state_text(tls_state(a->tls, pid))
			  : a->no_probes ? "probes are refused: see `weft doctor`"
					 : "capture.tls is off";

	count(&a->counters, COUNT_TLS_UNREAD);
	if (!proc || proc->unread_said || !why)
		return;
	proc->unread_said = true;
	if (a->cluster && cluster_unread(a->cluster, proc, why))
		return;
	log_warn("a process uses TLS that is not traced", LOG_STR("why", why), LOG_INT("pid", pid),
		LOG_STR("comm", proc->comm), LOG_STR("exe", proc->exe));
}

static void keep_headers(
	struct agent *a, struct exchange *ex, const struct field *fields, unsigned n, bool reply)
{
	if (span_keep_headers(a->builder, ex, fields, n, reply))
		count(&a->counters, COUNT_TEXT_CUT);
}

static void on_asked(void *ctx, struct exchange *ex, const struct field *fields, unsigned n)
{
	struct agent *a = ctx;
	struct proc *proc = procs_get(a->procs, ex->pid);

	if (proc) {
		ex->resource = proc->resource;
		proc->requests++;
	}
	ex->left_out = a->cluster && cluster_is_probe(a->cluster, ex);
	keep_headers(a, ex, fields, n, false);
	trace_asked(a->trace, ex, fields, n);
}

static void on_replied(void *ctx, struct exchange *ex, const struct field *fields, unsigned n)
{
	keep_headers(ctx, ex, fields, n, true);
}

static void on_done(void *ctx, struct exchange *ex)
{
	struct agent *a = ctx;
	struct span span;
	unsigned notes;

	trace_done(a->trace, ex);
	notes = span_build(a->builder, ex, a->unix_offset, budget_shed_percent(&a->budget), &span);
	if (notes & SPAN_NOTE_ROUTES_FULL)
		count(&a->counters, COUNT_ROUTES_FULL);
	if (notes & SPAN_NOTE_TEXT_CUT)
		count(&a->counters, COUNT_TEXT_CUT);
	span.pid = ex->pid;
	span.resource = ex->resource;
	if (a->cluster)
		cluster_name_peer(a->cluster, ex, &span);
	trace_span(a->trace, ex, &span);
}

static const struct conns_ops CONNS_OPS = {
	.connecting = on_connecting,
	.connected = on_connected,
	.asked = on_asked,
	.replied = on_replied,
	.done = on_done,
	.gone = on_gone,
	.unseen = on_unseen,
	.opaque = on_opaque,
	.readable = on_readable,
	.unread = on_unread,
};

/* trace → export */

static void on_release(void *ctx, struct span *span)
{
	struct agent *a = ctx;

	if (!a->cluster || cluster_settle(a->cluster, span))
		export_offer(a->export, span);
}

static void on_placed_span(void *ctx, struct span *span)
{
	export_offer(((struct agent *)ctx)->export, span);
}

static void on_reselected(void *ctx)
{
	conns_reselect(((struct agent *)ctx)->conns);
}

static const struct cluster_ops CLUSTER_OPS = {
	.reselected = on_reselected,
	.release = on_placed_span,
};

static int no_memory(const char *what, int err)
{
	log_error("not enough memory", LOG_STR("for", what), LOG_INT("errno", -err));
	return err;
}

/* Everything that needs no privilege and no kernel. */
static int make_stages(struct agent *a)
{
	const struct config *c = &a->config;
	const char *why = NULL;
	int err;

	if (gethostname(a->host_name, sizeof(a->host_name) - 1) == 0)
		a->host.host_name = slice_str(a->host_name);
	a->host.resource_attributes = slice_str(c->resource_attributes);
	err = resource_table_new(c->max_resources, &a->resources);
	if (err)
		return no_memory("resources", err);
	err = cluster_new(
		&a->config.kubernetes, a->resources, &a->counters, &CLUSTER_OPS, a, &a->cluster);
	if (err)
		return no_memory("Kubernetes", err);
	if (a->cluster) /* the host's own name is that of weft's pod */
		a->host.host_name = slice_str(cluster_node(a->cluster));
	err = span_builder_new(&c->span, &a->builder);
	if (err)
		return no_memory("routes", err);
	err = listeners_new(LISTENERS, &a->listeners);
	if (err)
		return no_memory("listeners", err);
	err = export_new(&c->export, a->resources, &a->export, &why);
	if (err)
		log_error("cannot start the exporters", LOG_STR("why", why ? why : strerror(-err)));
	return err;
}

/* The stages that stand on the attached programs. */
static int follow(struct agent *a)
{
	const struct config *c = &a->config;
	struct trace_sizes sizes = {
		c->max_exchanges, c->capture.max_processes, c->capture.max_connections};
	struct conns_options conns = {(uint32_t)getpid(), c->capture.max_connections,
		c->max_exchanges, a->hooks != HOOKS_FENTRY};
	int err = trace_new(
		&c->trace, &sizes, clock_monotonic(), &a->counters, on_release, a, &a->trace);

	if (err)
		return no_memory("traces", err);
	err = older_new(a->capture, &a->older);
	if (err)
		return no_memory("older connections", err);
	err = procs_new(c->capture.max_processes, &a->config.capture.rules, a->capture,
		a->listeners, a->older, a->cluster ? &PROCS_OPS_CLUSTER : &PROCS_OPS, a, &a->procs);
	if (err)
		return no_memory("processes", err);
	err = conns_new(
		&conns, a->procs, a->listeners, a->capture, &a->counters, &CONNS_OPS, a, &a->conns);
	if (err)
		return no_memory("connections", err);
	if (a->cluster)
		cluster_follow(a->cluster, a->procs);
	budget_init(&a->budget, &c->capture.budget, a->capture, clock_monotonic());
	/* after the hooks are on: what starts meanwhile announces itself */
	procs_scan(a->procs, true);
	older_wait(a->older, OLDER_MS);
	return 0;
}

static int serve(struct agent *a)
{
	struct snapshot_source source = {report_snapshot, a, report_roster};
	int err;

	if (!a->config.listen[0])
		return 0;
	err = ask_new(&a->ask);
	if (err)
		return no_memory("questions", err);
	err = http_new(a->config.listen, &source, &a->http);
	if (err)
		log_error("cannot serve health and metrics: choose another `listen`, or off",
			LOG_STR("listen", a->config.listen), LOG_STR("why", strerror(-err)));
	return err;
}

static void reload(struct agent *a, int argc, char **argv)
{
	_free_ struct config *next = calloc(1, sizeof(*next));
	_free_ struct config_errors *errors = calloc(1, sizeof(*errors));
	struct procs_stats procs;
	bool rules_changed;
	char keys[256];

	if (!next || !errors)
		return;
	if (config_load(argc, argv, next, errors)) {
		for (unsigned i = 0; i < errors->n; i++)
			log_error("reload: configuration refused, the old one stays",
				LOG_STR("error", errors->text[i]));
		return;
	}
	if (config_restart_keys(&a->config, next, keys, sizeof(keys)))
		log_warn("reload: these changes need a restart", LOG_STR("keys", keys));
	rules_changed = !rules_equal(&a->config.capture.rules, &next->capture.rules);
	a->config.capture.rules = next->capture.rules;
	a->config.trace.sampling = next->trace.sampling;
	a->config.log_level = next->log_level;
	a->config.log_format = next->log_format;
	a->config.span = next->span;
	a->config.kubernetes.trace_system = next->kubernetes.trace_system;
	a->config.kubernetes.trace_instrumented = next->kubernetes.trace_instrumented;
	a->config.kubernetes.trace_probes = next->kubernetes.trace_probes;
	log_set(next->log_level, next->log_format);
	span_builder_reload(a->builder, &next->span);
	trace_reload(a->trace, &next->trace.sampling);
	procs_scan(a->procs, rules_changed);
	if (a->cluster)
		cluster_reselect(a->cluster);
	conns_reselect(a->conns);
	procs_stats(a->procs, &procs);
	log_info("reloaded", LOG_INT("rules", next->capture.rules.n),
		LOG_INT("processes", procs.traced));
}

static void report(struct agent *a, bool last)
{
	struct snapshot s;

	report_snapshot(a, &s);
	if (last)
		status_finish(&a->status, &s);
	else
		status_report(&a->status, &s);
}

/* Announcements of processes or listeners were lost, or ends: look for what they would have told.
 */
static void recover(struct agent *a, uint64_t now)
{
	uint64_t lost = capture_life_lost(a->capture);

	if (lost == a->life_lost || now - a->scanned_ns < RESCAN_NS)
		return;
	a->life_lost = lost;
	a->scanned_ns = now;
	procs_rescan(a->procs);
	conns_doubt(a->conns, now);
}

static void mark_resource(void *ctx, struct proc *proc)
{
	resource_mark(((struct agent *)ctx)->resources, proc->resource);
}

/* Places of resources that no process has any more are used again, when few are left: after a time
 * in which its last requests end, and when the spans that were on their way have gone. */
static void reuse_resources(struct agent *a, uint64_t now)
{
	if (resource_retired(a->resources)) {
		if (now - a->retired_ns > RETIRE_NS && export_passed(a->export, &a->retired_mark))
			resource_reuse(a->resources);
	} else if (resource_scarce(a->resources) && now - a->retired_ns > RESCAN_NS) {
		procs_each(a->procs, mark_resource, a);
		if (a->cluster)
			cluster_mark(a->cluster);
		resource_retire(a->resources);
		export_mark(a->export, &a->retired_mark);
		a->retired_ns = now;
	}
}

/* One turn: read, age what waits, sleep. */
static void turn(struct agent *a, uint64_t *busy_ns, const sigset_t *unblocked)
{
	int n = capture_read(a->capture, false);
	uint64_t now = clock_monotonic(), missed;
	bool waiting;

	a->ring_read_ns = now;
	if (n > 0)
		*busy_ns = now;
	if (now - a->offset_read_ns > NS_PER_SEC) {
		a->unix_offset = clock_unix_offset(a->unix_offset);
		a->offset_read_ns = now;
		capture_recount(a->capture);
		missed = capture_missed(a->capture);
		if (missed > a->missed) {
			a->missed = missed;
			trace_unseen(a->trace, 0, now);
			capture_unix_lost(a->capture);
			conns_missed(a->conns, now);
			conns_doubt(a->conns, now);
		}
		conns_look_sealed(a->conns, now);
		recover(a, now);
		reuse_resources(a, now);
		if (budget_tick(&a->budget, now))
			trace_partial(a->trace, now);
	}
	if (procs_scanning(a->procs) && procs_scan_step(a->procs))
		conns_reselect(a->conns);
	conns_tick(a->conns, now);
	trace_tick(a->trace, now, false);
	waiting = a->cluster && cluster_tick(a->cluster, now, false);
	if (a->ask)
		report_answer(a);
	waiting |= conns_waiting(a->conns) || trace_held(a->trace) || procs_scanning(a->procs);
	if (now - *busy_ns > IDLE_NS && !waiting)
		capture_wait(a->capture, true, SLEEP_MS, unblocked);
	else
		capture_wait(a->capture, false, NAP_MS, unblocked);
}

static void drain(struct agent *a)
{
	uint64_t deadline = clock_monotonic() + a->config.drain_ms * NS_PER_MS;
	uint64_t given_up;

	log_info("stopping: exporting what was seen", LOG_INT("limit_ms", a->config.drain_ms));
	tls_stop(a->tls);
	capture_detach(a->capture);
	a->attached = false;
	while (capture_read(a->capture, true) > 0 && clock_monotonic() < deadline)
		;
	conns_shutdown(a->conns, clock_monotonic());
	trace_tick(a->trace, clock_monotonic(), true);
	if (a->cluster)
		cluster_tick(a->cluster, clock_monotonic(), true);
	given_up = export_drain(a->export, deadline);
	if (given_up)
		log_warn("stopped before everything was exported", LOG_INT("spans", given_up));
}

static void agent_free(struct agent *a)
{
	http_free(a->http);
	ask_free(a->ask);
	budget_release(&a->budget);
	older_free(a->older);
	if (tls_stop(a->tls)) /* else its thread may still use it, until the process ends */
		capture_close(a->capture);
	cluster_free(a->cluster);
	conns_free(a->conns);
	procs_free(a->procs);
	tls_free(a->tls);
	trace_free(a->trace);
	export_free(a->export);
	listeners_free(a->listeners);
	span_builder_free(a->builder);
	resource_table_free(a->resources);
	free(a);
}

static void cleanup_agent(struct agent **a)
{
	if (*a)
		agent_free(*a);
}

int agent_run(const struct config *config, int argc, char **argv)
{
	__attribute__((cleanup(cleanup_agent))) struct agent *a = calloc(1, sizeof(*a));
	struct sigaction action = {.sa_handler = on_signal};
	uint64_t busy_ns, report_ns;
	sigset_t blocked, unblocked;

	if (!a)
		return 1;
	/* The kernel's type information is read to load the programs: blocks of megabytes, which a
	 * fixed threshold returns to the system when they are freed. */
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	a->config = *config;
	log_set(config->log_level, config->log_format);
	/* every thread inherits the mask: signals arrive in capture_wait, and nowhere else */
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGINT);
	sigaddset(&blocked, SIGHUP);
	sigprocmask(SIG_BLOCK, &blocked, &unblocked);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	signal(SIGPIPE, SIG_IGN);

	a->start_unix_ns = clock_ns(CLOCK_REALTIME);
	a->unix_offset = clock_unix_offset(a->unix_offset);
	status_init(&a->status, &a->config.export.otlp_traces);
	if (agent_attach(a, on_record) || make_stages(a) || follow(a) || serve(a))
		return 1;
	a->attached = true;
	report_hello(a);

	busy_ns = report_ns = clock_monotonic();
	while (!stop_requested) {
		turn(a, &busy_ns, &unblocked);
		if (reload_requested) {
			reload_requested = 0;
			reload(a, argc, argv);
		}
		if (a->config.status_seconds &&
			clock_monotonic() - report_ns >= a->config.status_seconds * NS_PER_SEC) {
			report_ns = clock_monotonic();
			report(a, false);
		}
	}
	drain(a);
	report(a, true);
	return 0;
}
