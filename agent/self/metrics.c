/* SPDX-License-Identifier: Apache-2.0 */
#include "self/metrics.h"

#include "core/cleanup.h"
#include "core/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct row {
	const char *name, *label, *help;
};

static const struct row counter_rows[] = {
#define X(id, name, label, help) {name, label, help},
	COUNTERS(X)
#undef X
};

static const struct row kernel_rows[] = {
#define X(id, name, help) {name, "", help},
	WEFT_KERNEL_COUNTERS(X)
#undef X
};

static void head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP weft_%s ", name);
	for (; *help; help++)
		if (*help == '\\' || *help == '\n')
			fputs(*help == '\n' ? "\\n" : "\\\\", out);
		else
			fputc(*help, out);
	fprintf(out, "\n# TYPE weft_%s %s\n", name, type);
}

/* name="value", the value escaped as the format asks. */
static void label(FILE *out, const char *name, const char *value)
{
	fprintf(out, "%s=\"", name);
	for (; *value; value++)
		if (*value == '\n')
			fputs("\\n", out);
		else if (*value == '"' || *value == '\\')
			fprintf(out, "\\%c", *value);
		else
			fputc(*value, out);
	fputc('"', out);
}

/* A family's rows stand together whatever their order in the table. */
static void counters(
	FILE *out, const char *prefix, const struct row *rows, size_t n, const uint64_t *values)
{
	for (size_t i = 0; i < n; i++) {
		char name[128];
		size_t j;

		for (j = 0; j < i && strcmp(rows[j].name, rows[i].name) != 0; j++)
			;
		if (j < i)
			continue;
		snprintf(name, sizeof(name), "%s%s_total", prefix, rows[i].name);
		head(out, name, "counter", rows[i].help);
		for (j = i; j < n; j++) {
			bool labelled = rows[j].label[0];

			if (strcmp(rows[j].name, rows[i].name) != 0)
				continue;
			fprintf(out, "weft_%s%s%s%s %" PRIu64 "\n", name, labelled ? "{" : "",
				rows[j].label, labelled ? "}" : "", values[j]);
		}
	}
}

static void number(FILE *out, const char *name, const char *type, const char *help, uint64_t value)
{
	head(out, name, type, help);
	fprintf(out, "weft_%s %" PRIu64 "\n", name, value);
}

static void real(FILE *out, const char *name, const char *type, const char *help, double value)
{
	head(out, name, type, help);
	fprintf(out, "weft_%s %.3f\n", name, value);
}

static uint64_t resident_bytes(void)
{
	_fclose_ FILE *f = fopen("/proc/self/statm", "re");
	unsigned long long pages = 0;

	if (!f || fscanf(f, "%*u %llu", &pages) != 1)
		return 0;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void build_info(FILE *out, const struct snapshot *s)
{
	head(out, "build_info", "gauge", "what runs; the value is always 1");
	fputs("weft_build_info{", out);
	label(out, "version", s->version);
	fputc(',', out);
	label(out, "hooks", hooks_name(s->hooks));
	fputc(',', out);
	label(out, "transport", transport_name(s->transport));
	fputs("} 1\n", out);
}

static void process(FILE *out, const struct snapshot *s)
{
	real(out, "process_start_time_seconds", "gauge", "when weft started, Unix time",
		(double)s->start_unix_ns / 1e9);
	real(out, "process_cpu_seconds_total", "counter", "CPU time that the agent used",
		(double)clock_ns(CLOCK_PROCESS_CPUTIME_ID) / 1e9);
	number(out, "process_resident_memory_bytes", "gauge", "memory of the agent",
		resident_bytes());
}

static void gauges(FILE *out, const struct snapshot *s)
{
	const struct {
		const char *name, *help;
		uint64_t value;
	} rows[] = {
		{"hooks_attached", "1 while the hooks are on", s->attached},
		{"connections", "connections known", s->connections},
		{"requests_open", "requests waiting for their reply", s->exchanges_open},
		{"processes_traced", "processes traced", s->processes_traced},
		{"spans_held", "spans waiting for their trace to be settled", s->spans_held},
		{"spans_waiting", "spans waiting for the name of their pod", s->spans_waiting},
		{"resources", "different resources known", s->resources},
		{"ring_used_bytes", "bytes in the ring buffer now", s->ring_used_bytes},
		{"ring_bytes", "size of the ring buffer", s->ring_bytes},
		{"map_bytes", "kernel memory in BPF maps", s->map_bytes},
		{"tls_libraries", "files with a TLS library that are probed", s->tls_libraries},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		number(out, rows[i].name, "gauge", rows[i].help, rows[i].value);
	number(out, "resource_overflows_total", "counter", "resources not kept: table full",
		s->resource_overflows);
	number(out, "tls_refused_total", "counter", "TLS libraries that could not be probed",
		s->tls_refused);
	number(out, "tls_dropped_total", "counter",
		"processes whose TLS libraries were not looked for: too many at once",
		s->tls_dropped);
	number(out, "kernel_missed_total", "counter",
		"runs of our programs that the kernel skipped and no twin made up for",
		s->kernel_missed);
	if (s->ring_read_ns)
		real(out, "ring_read_age_seconds", "gauge", "time since the ring was last read",
			(double)(s->taken_ns - s->ring_read_ns) / 1e9);
}

static void kubernetes(FILE *out, const struct snapshot_kube *k)
{
	const struct {
		const char *name, *type, *help;
		uint64_t value;
	} rows[] = {
		{"kubernetes_pods_synced", "gauge", "1 once the pods of this node are known",
			k->pods_synced},
		{"kubernetes_services_synced", "gauge",
			"1 once services and their endpoints are known", k->peers_synced},
		{"kubernetes_failing", "gauge",
			"1 while the API server does not answer as it should",
			k->problem[0] != '\0'},
		{"kubernetes_pods", "gauge", "pods of this node known", k->pods},
		{"kubernetes_services", "gauge", "services known", k->services},
		{"kubernetes_endpoints", "gauge", "addresses behind services known", k->endpoints},
		{"kubernetes_objects_full_total", "counter", "objects left out: table full",
			k->full},
		{"kubernetes_objects_cut_total", "counter", "pods of which something was left out",
			k->cut},
		{"kubernetes_requests_total", "counter", "requests to the API server", k->requests},
		{"kubernetes_lists_total", "counter", "whole lists read", k->lists},
		{"kubernetes_watches_total", "counter", "watches begun", k->watches},
		{"kubernetes_events_total", "counter", "events of watches read", k->events},
		{"kubernetes_errors_total", "counter", "requests or objects that failed",
			k->errors},
		{"kubernetes_read_bytes_total", "counter", "bytes read from the API server",
			k->bytes},
	};

	for (size_t i = 0; k->on && i < ARRAY_SIZE(rows); i++)
		number(out, rows[i].name, rows[i].type, rows[i].help, rows[i].value);
}

struct export_row {
	const char *name, *type, *help;
	uint64_t value[SNAPSHOT_EXPORTERS];
};

/* Exporters of one kind would give the same series twice: they are told apart by their place. */
static void export_label(FILE *out, const struct snapshot *s, unsigned index)
{
	char name[64];
	unsigned same = 0;

	for (unsigned i = 0; i < index; i++)
		same += strcmp(s->exporters[i].name, s->exporters[index].name) == 0;
	if (same)
		snprintf(name, sizeof(name), "%s-%u", s->exporters[index].name, same + 1);
	else
		snprintf(name, sizeof(name), "%s", s->exporters[index].name);
	label(out, "exporter", name);
}

static void exporters(FILE *out, const struct snapshot *s)
{
	struct export_row rows[] = {
		{"exporter_spans_offered_total", "counter", "spans offered to the exporter", {0}},
		{"exporter_spans_dropped_total", "counter", "spans dropped: queue full", {0}},
		{"exporter_spans_sent_total", "counter", "spans that the backend took", {0}},
		{"exporter_spans_rejected_total", "counter", "spans that the backend refused", {0}},
		{"exporter_spans_failed_total", "counter", "spans given up after retries", {0}},
		{"exporter_spans_queued", "gauge", "spans waiting", {0}},
		{"exporter_queue_bytes", "gauge", "bytes waiting", {0}},
		{"exporter_requests_total", "counter", "requests to the backend", {0}},
		{"exporter_retries_total", "counter", "requests sent again", {0}},
		{"exporter_sent_bytes_total", "counter", "bytes sent", {0}},
		{"exporter_able", "gauge", "1 while the latest request succeeded", {0}},
	};

	for (unsigned i = 0; i < s->exporter_count; i++) {
		const struct export_stats *e = &s->exporters[i];
		const uint64_t values[ARRAY_SIZE(rows)] = {e->offered, e->dropped_queue, e->sent,
			e->rejected, e->failed, e->queued, e->queued_bytes, e->requests, e->retries,
			e->bytes, e->able};

		for (size_t row = 0; row < ARRAY_SIZE(rows); row++)
			rows[row].value[i] = values[row];
	}
	for (size_t row = 0; s->exporter_count && row < ARRAY_SIZE(rows); row++) {
		head(out, rows[row].name, rows[row].type, rows[row].help);
		for (unsigned i = 0; i < s->exporter_count; i++) {
			fprintf(out, "weft_%s{", rows[row].name);
			export_label(out, s, i);
			fprintf(out, "} %" PRIu64 "\n", rows[row].value[i]);
		}
	}
}

int metrics_format(const struct snapshot *snapshot, char **ret_text, size_t *ret_len)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return -ENOMEM;
	build_info(out, snapshot);
	process(out, snapshot);
	gauges(out, snapshot);
	counters(out, "kernel_", kernel_rows, ARRAY_SIZE(kernel_rows), snapshot->kernel);
	counters(out, "", counter_rows, ARRAY_SIZE(counter_rows), snapshot->counters);
	kubernetes(out, &snapshot->kube);
	exporters(out, snapshot);
	if (fclose(out) != 0) {
		free(text);
		return -ENOMEM;
	}
	*ret_text = text;
	*ret_len = len;
	return 0;
}
