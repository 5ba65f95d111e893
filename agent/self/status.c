/* SPDX-License-Identifier: Apache-2.0 */
#include "self/status.h"

#include "core/cleanup.h"
#include "core/log.h"
#include "core/clock.h"
#include "core/url.h"
#include "self/books.h"
#include "self/http.h"

#include <string.h>

#define FIELDS_MAX 48

struct fields {
	int n;
	struct log_field v[FIELDS_MAX];
	char names[SNAPSHOT_EXPORTERS * 6][40]; /* of the exporters' fields */
	unsigned names_used;
};

/* What the log calls each way of losing something. */
static const struct {
	const char *key;
	bool kernel;
	unsigned counter;
} losses[] = {
	{"ring_full", true, WEFT_COUNT_LOST_FULL},
	{"kernel_table_full", true, WEFT_COUNT_LOST_MAP},
	{"cpu_buffer", true, WEFT_COUNT_LOST_CPU},
	{"life_ring_full", true, WEFT_COUNT_LIFE_LOST},
	{"tls_unmatched", true, WEFT_COUNT_TLS_UNMATCHED},
	{"records_bad", false, COUNT_RECORDS_BAD},
	{"connections_evicted", false, COUNT_CONNS_EVICTED},
	{"processes_evicted", false, COUNT_PROCS_EVICTED},
	{"requests_hole", false, COUNT_UNPAIRED_HOLE},
	{"requests_evicted", false, COUNT_UNPAIRED_EVICTED},
	{"requests_unsure", false, COUNT_UNPAIRED_UNSURE},
	{"requests_full", false, COUNT_REQUESTS_FULL},
	{"spans_hold_full", false, COUNT_SPANS_HELD_DROPPED},
};

static void add_int(struct fields *f, const char *key, uint64_t value)
{
	if (f->n < FIELDS_MAX)
		f->v[f->n++] = LOG_INT(key, value);
}

static void add_str(struct fields *f, const char *key, const char *value)
{
	if (f->n < FIELDS_MAX)
		f->v[f->n++] = LOG_STR(key, value);
}

/* exporter_what, kept for as long as the fields. */
static const char *name_for(struct fields *f, const char *exporter, const char *what)
{
	char *name;

	if (f->names_used == ARRAY_SIZE(f->names))
		return what;
	name = f->names[f->names_used++];
	snprintf(name, sizeof(f->names[0]), "%.16s%s%s", exporter, what[0] ? "_" : "", what);
	return name;
}

static uint64_t loss_of(const struct snapshot *s, size_t i)
{
	return losses[i].kernel ? s->kernel[losses[i].counter] : s->counters[losses[i].counter];
}

static void add_losses(struct fields *f, const struct snapshot *now, const struct snapshot *last)
{
	uint64_t missed = now->kernel_missed - last->kernel_missed;
	uint64_t all = missed;

	for (size_t i = 0; i < ARRAY_SIZE(losses); i++)
		all += loss_of(now, i) - loss_of(last, i);
	for (unsigned i = 0; i < now->exporter_count; i++) {
		const struct export_stats *e = &now->exporters[i], *was = &last->exporters[i];

		all += e->dropped_queue - was->dropped_queue + e->rejected - was->rejected +
		       e->failed - was->failed;
	}
	add_int(f, "lost", all);
	for (size_t i = 0; i < ARRAY_SIZE(losses); i++)
		if (loss_of(now, i) != loss_of(last, i))
			add_int(f, losses[i].key, loss_of(now, i) - loss_of(last, i));
	if (missed)
		add_int(f, "kernel_skipped", missed);
}

static void add_exporters(struct fields *f, const struct snapshot *now, const struct snapshot *last)
{
	for (unsigned i = 0; i < now->exporter_count; i++) {
		const struct export_stats *e = &now->exporters[i], *was = &last->exporters[i];

		add_str(f, name_for(f, e->name, ""), e->able ? "ok" : "failing");
		add_int(f, name_for(f, e->name, "sent"), e->sent - was->sent);
		if (e->queued)
			add_int(f, name_for(f, e->name, "queued"), e->queued);
		if (e->dropped_queue != was->dropped_queue)
			add_int(f, name_for(f, e->name, "queue_full"),
				e->dropped_queue - was->dropped_queue);
		if (e->rejected != was->rejected)
			add_int(f, name_for(f, e->name, "rejected"), e->rejected - was->rejected);
		if (e->failed != was->failed)
			add_int(f, name_for(f, e->name, "failed"), e->failed - was->failed);
	}
}

static uint64_t records_of(const struct snapshot *s)
{
	return s->counters[COUNT_RECORDS_READ];
}

static void add_all(struct fields *f, const struct snapshot *now, const struct snapshot *last)
{
	add_int(f, "processes", now->processes_traced);
	if (now->kube.on) {
		add_int(f, "pods", now->kube.pods);
		add_str(f, "kubernetes",
			now->kube.problem[0]     ? "failing"
			: !now->kube.pods_synced ? "not known yet"
						 : "ok");
	}
	add_int(f, "connections", now->connections);
	add_int(f, "records", records_of(now) - records_of(last));
	add_int(f, "requests", now->counters[COUNT_REQUESTS] - last->counters[COUNT_REQUESTS]);
	add_int(f, "spans", now->counters[COUNT_SPANS_MADE] - last->counters[COUNT_SPANS_MADE]);
	add_losses(f, now, last);
	add_exporters(f, now, last);
}

void status_init(struct status *status, const struct otlp_options *otlp)
{
	memset(status, 0, sizeof(*status));
	url_mask(otlp->endpoint, status->otlp_endpoint, sizeof(status->otlp_endpoint));
	status->grpc = otlp->protocol == OTLP_GRPC;
}

/* What to look at first. The two OTLP ports are mixed up more often than anything else. */
static const char *what_to_check(const struct status *status)
{
	if (!status->grpc && strstr(status->otlp_endpoint, ":4317"))
		return "4317 is the port of OTLP over gRPC: use 4318, or otlp.protocol grpc";
	if (status->grpc && strstr(status->otlp_endpoint, ":4318"))
		return "4318 is the port of OTLP over HTTP: use 4317, or otlp.protocol "
		       "http/protobuf";
	return "is the collector up, and is the endpoint reachable from this host?";
}

static void say_last_ok(
	const struct snapshot *now, const struct export_stats *e, char ret_text[static 32])
{
	if (e->last_ok_ns)
		snprintf(ret_text, 32, "%llus ago",
			(unsigned long long)((now->taken_ns - e->last_ok_ns) / NS_PER_SEC));
	else
		snprintf(ret_text, 32, "never");
}

static void warn_of_exporters(const struct status *status, const struct snapshot *now)
{
	for (unsigned i = 0; i < now->exporter_count; i++) {
		const struct export_stats *e = &now->exporters[i];
		char last_ok[32];

		if (e->able)
			continue;
		say_last_ok(now, e, last_ok);
		if (strcmp(e->name, "otlp") == 0)
			log_warn("exporter fails", LOG_STR("exporter", e->name),
				LOG_STR("error", e->last_error),
				LOG_STR("endpoint", status->otlp_endpoint),
				LOG_INT("queued", e->queued), LOG_STR("last_ok", last_ok),
				LOG_STR("check", what_to_check(status)));
		else
			log_warn("exporter fails", LOG_STR("exporter", e->name),
				LOG_STR("error", e->last_error), LOG_INT("queued", e->queued),
				LOG_STR("last_ok", last_ok));
	}
}

void status_report(struct status *status, const struct snapshot *now)
{
	struct fields f = {0};
	char health[256];

	add_all(&f, now, &status->last);
	if (!now->processes_traced)
		add_str(&f, "hint",
			"no process is traced: nothing listens, or no rule of select matches");
	log_event(LOG_INFO, "status", f.v, f.n);
	if (!now->attached)
		log_warn("hooks are not attached", LOG_STR("check", "weft doctor"));
	if (!health_alive(now, health, sizeof(health))) {
		health[strcspn(health, "\n")] = '\0';
		log_warn("stalled", LOG_STR("why", health));
	}
	if (now->kube.problem[0])
		log_warn("Kubernetes API", LOG_STR("problem", now->kube.problem));
	warn_of_exporters(status, now);
	status->last = *now;
}

void status_finish(struct status *status, const struct snapshot *now)
{
	static const struct snapshot nothing;
	struct books_fault faults[BOOKS_FAULTS_MAX];
	unsigned n = books_check(now, faults);
	struct fields f = {0};

	add_all(&f, now, &nothing);
	log_event(LOG_INFO, "stopped", f.v, f.n);
	for (unsigned i = 0; i < n; i++)
		log_error("the books do not balance", LOG_STR("equation", faults[i].what),
			LOG_INT("left", faults[i].left), LOG_INT("right", faults[i].right));
	status->last = *now;
}
