/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_report.h"

#include "capture/procs.h"
#include "capture/tls.h"
#include "conn/conn.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/log.h"
#include "enrich/resource.h"
#include "self/roster.h"
#include "trace/trace.h"

#include <string.h>

#define ASK_MS 2000 /* for an answer of the pipeline, which may sleep */

void report_snapshot(void *ctx, struct snapshot *s)
{
	struct agent *a = ctx;
	struct procs_stats procs;

	memset(s, 0, sizeof(*s));
	s->version = WEFT_VERSION;
	s->start_unix_ns = a->start_unix_ns;
	s->taken_ns = clock_monotonic();
	s->hooks = a->hooks;
	snprintf(s->hooks_reason, sizeof(s->hooks_reason), "%s", a->why);
	s->transport = a->transport;
	s->attached = a->attached;
	s->ring_read_ns = a->ring_read_ns;
	capture_counts(a->capture, s->kernel, &s->kernel_missed);
	for (unsigned i = 0; i < COUNT_MAX; i++)
		s->counters[i] = count_get(&a->counters, (enum counter)i);
	procs_stats(a->procs, &procs);
	s->counters[COUNT_PROCS_SEEN] = procs.seen;
	s->counters[COUNT_PROCS_EVICTED] = procs.evicted;
	s->counters[COUNT_PROCS_ENDED_UNSEEN] = procs.ended_unseen;
	s->counters[COUNT_RECORDS_BAD] = capture_bad(a->capture);
	s->counters[COUNT_RECORDS_READ] += s->counters[COUNT_RECORDS_BAD];
	s->processes_traced = procs.traced;
	s->connections = conns_count(a->conns);
	s->exchanges_open = conns_exchanges(a->conns);
	s->spans_held = trace_held(a->trace);
	s->ring_used_bytes = capture_ring_used(a->capture);
	s->ring_bytes = a->config.capture.ring_bytes;
	s->resources = resource_count(a->resources);
	s->resource_overflows = resource_overflows(a->resources);
	s->map_bytes = capture_map_bytes(a->capture);
	if (a->tls) {
		struct tls_stats tls;

		tls_stats(a->tls, &tls);
		s->tls_libraries = tls.libraries;
		s->tls_refused = tls.refused;
		s->tls_dropped = tls.dropped;
	}
	if (a->cluster) {
		cluster_snapshot(a->cluster, &s->kube);
		s->spans_waiting = cluster_waiting(a->cluster);
	}
	s->exporter_count = export_count(a->export);
	if (s->exporter_count > SNAPSHOT_EXPORTERS)
		s->exporter_count = SNAPSHOT_EXPORTERS;
	for (unsigned i = 0; i < s->exporter_count; i++)
		export_stats(a->export, i, &s->exporters[i]);
}

char *report_roster(void *ctx, const char *filter)
{
	return ask_wait(((struct agent *)ctx)->ask, filter, ASK_MS);
}

static void add_process(void *ctx, struct proc *proc)
{
	const char *base = strrchr(proc->exe, '/');
	struct roster_row row = {
		.traced = proc->traced,
		.why = choice_text(proc->choice),
		.processes = 1,
		.requests = proc->requests,
		.hidden = proc->hidden,
	};

	/* pods are told by the cluster, and of what is in none nobody asks there */
	if (proc->pod || proc->choice == CHOICE_OUTSIDE)
		return;
	snprintf(row.exe, sizeof(row.exe), "%s", base ? base + 1 : proc->exe);
	roster_add(ctx, &row);
}

void report_answer(struct agent *a)
{
	_free_ struct snapshot *s = NULL;
	struct roster roster = {0};
	char filter[ASK_TEXT];
	char *text = NULL;
	size_t len;
	FILE *out;

	if (!ask_pending(a->ask, filter))
		return;
	s = calloc(1, sizeof(*s));
	out = open_memstream(&text, &len);
	if (s && out) {
		report_snapshot(a, s);
		procs_each(a->procs, add_process, &roster);
		if (a->cluster)
			cluster_roster(a->cluster, &roster);
		roster_print(&roster, s, filter, out);
	}
	if (out)
		fclose(out);
	roster_release(&roster);
	ask_answer(a->ask, text);
}

void report_hello(struct agent *a)
{
	struct procs_stats procs;
	char exporters[64] = "";

	for (unsigned i = 0; i < export_count(a->export); i++) {
		struct export_stats stats;
		size_t used = strlen(exporters);

		export_stats(a->export, i, &stats);
		snprintf(exporters + used, sizeof(exporters) - used, "%s%s", i ? "," : "",
			stats.name);
	}
	procs_stats(a->procs, &procs);
	log_info("tracing", LOG_STR("version", WEFT_VERSION),
		LOG_STR("hooks", hooks_name(a->hooks)), LOG_STR("why", a->why),
		LOG_STR("transport", transport_name(a->transport)),
		LOG_INT("programs", capture_programs(a->capture)),
		LOG_INT("processes", procs.traced), LOG_INT("rules", a->config.capture.rules.n),
		LOG_STR("exporters", exporters),
		LOG_STR("listen", a->http ? a->config.listen : "off"));
}
