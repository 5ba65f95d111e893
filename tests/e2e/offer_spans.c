/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offers made-up spans to the exporters, for test_export.py:
 *
 *   offer_spans [name=value…]
 *
 * spans, services, pause_us (after each span), settle_ms (before the drain), drain_ms: numbers;
 * every other name is a field of struct export_options or struct otlp_options. The exporters' books
 * are printed to stderr as one line of JSON each.
 */
#include "core/cleanup.h"
#include "core/clock.h"
#include "enrich/resource.h"
#include "export/export.h"
#include "span/span.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct plan {
	unsigned spans, services, pause_us, settle_ms, drain_ms;
	struct export_options export;
};

static unsigned number(const char *value)
{
	return (unsigned)strtoul(value, NULL, 10);
}

static bool set_number(struct plan *p, const char *name, const char *value)
{
	const struct {
		const char *name;
		unsigned *to;
	} fields[] = {
		{"spans", &p->spans},
		{"services", &p->services},
		{"pause_us", &p->pause_us},
		{"settle_ms", &p->settle_ms},
		{"drain_ms", &p->drain_ms},
		{"queue_bytes", &p->export.queue_bytes},
		{"batch_spans", &p->export.batch_spans},
		{"batch_bytes", &p->export.batch_bytes},
		{"batch_delay_ms", &p->export.batch_delay_ms},
		{"retry_max_ms", &p->export.retry_max_ms},
		{"timeout_ms", &p->export.otlp_traces.timeout_ms},
	};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (!strcmp(name, fields[i].name)) {
			*fields[i].to = number(value);
			return true;
		}
	return false;
}

static bool set_flag(struct plan *p, const char *name, const char *value)
{
	const struct {
		const char *name;
		bool *to;
	} fields[] = {
		{"otlp", &p->export.otlp},
		{"terminal", &p->export.terminal},
		{"json", &p->export.json},
		{"gzip", &p->export.otlp_traces.gzip},
		{"insecure", &p->export.otlp_traces.insecure},
	};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (!strcmp(name, fields[i].name)) {
			*fields[i].to = number(value) != 0;
			return true;
		}
	return false;
}

static bool set_text(struct plan *p, const char *name, const char *value)
{
	struct otlp_options *o = &p->export.otlp_traces;
	const struct {
		const char *name;
		char *to;
		size_t cap;
	} fields[] = {
		{"endpoint", o->endpoint, sizeof(o->endpoint)},
		{"headers", o->headers, sizeof(o->headers)},
		{"certificate", o->certificate, sizeof(o->certificate)},
		{"client_key", o->client_key, sizeof(o->client_key)},
		{"client_certificate", o->client_certificate, sizeof(o->client_certificate)},
	};

	if (!strcmp(name, "protocol")) {
		o->protocol = strcmp(value, "grpc") ? OTLP_HTTP_PROTOBUF : OTLP_GRPC;
		return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (!strcmp(name, fields[i].name)) {
			snprintf(fields[i].to, fields[i].cap, "%s", value);
			return true;
		}
	return false;
}

static uint32_t service(struct resource_table *table, unsigned n)
{
	char name[32];
	struct attr attr = {.key = SLICE("service.name"), .type = ATTR_STRING};

	snprintf(name, sizeof(name), "service-%u", n);
	attr.str = slice_str(name);
	return resource_intern(table, &attr, 1);
}

/* Span n of a chain: servers and clients by turns, eight a trace. */
static void fill(struct span *s, unsigned n, char *path, size_t cap)
{
	uint32_t trace = n / 8 + 1, parent = n;

	memset(s, 0, sizeof(*s));
	memcpy(s->trace_id, &trace, sizeof(trace));
	memcpy(s->span_id, &(uint32_t){n + 1}, sizeof(uint32_t));
	s->has_parent = n % 8 != 0;
	if (s->has_parent)
		memcpy(s->parent_id, &parent, sizeof(parent));
	s->kind = n % 2 ? SPAN_CLIENT : SPAN_SERVER;
	s->link = !s->has_parent ? LINK_NONE : n % 2 ? LINK_THREAD : LINK_SOCKET;
	s->trace_flags = 1;
	s->pid = 4711;
	s->end_ns = clock_ns(CLOCK_REALTIME);
	s->start_ns = s->end_ns - 3 * NS_PER_MS;
	span_add_str(s, SLICE("http.request.method"), SLICE("GET"));
	span_add_int(s, SLICE("http.response.status_code"), 200);
	span_add_str(s, SLICE("network.protocol.version"), SLICE("1.1"));
	span_add_str(s, SLICE("network.peer.address"), SLICE("127.0.0.1"));
	span_add_int(s, SLICE("network.peer.port"), 44321);
	span_add_str(s, SLICE("server.address"), SLICE("orders"));
	span_add_int(s, SLICE("server.port"), 8080);
	span_add_str(s, SLICE("user_agent.original"), SLICE("curl/7.88.1"));
	if (s->kind == SPAN_SERVER) {
		s->name = SLICE("GET /orders/{id}");
		snprintf(path, cap, "/orders/%u", n);
		span_add_str(s, SLICE("url.path"), slice_str(path));
		span_add_str(s, SLICE("url.scheme"), SLICE("http"));
		span_add_str(s, SLICE("http.route"), SLICE("/orders/{id}"));
		span_add_str(s, SLICE("client.address"), SLICE("127.0.0.1"));
	} else {
		s->name = SLICE("GET");
		snprintf(path, cap, "http://orders:8080/orders/%u", n);
		span_add_str(s, SLICE("url.full"), slice_str(path));
	}
}

static void pause_for(uint64_t ns)
{
	struct timespec t = {
		.tv_sec = (time_t)(ns / NS_PER_SEC), .tv_nsec = (long)(ns % NS_PER_SEC)};

	if (ns)
		nanosleep(&t, NULL);
}

static long resident_kb(void)
{
	_fclose_ FILE *status = fopen("/proc/self/statm", "re");
	long size = 0, pages = 0;

	if (!status || fscanf(status, "%ld %ld", &size, &pages) != 2)
		return 0;
	return pages * sysconf(_SC_PAGESIZE) / 1024;
}

static void print_books(const struct export *export, uint64_t given_up, uint64_t drain_ms, long kb)
{
	struct export_stats s;

	for (unsigned i = 0; i < export_count(export); i++) {
		export_stats(export, i, &s);
		fprintf(stderr,
			"BOOKS {\"name\":\"%s\",\"offered\":%" PRIu64 ",\"dropped\":%" PRIu64
			",\"sent\":%" PRIu64 ",\"rejected\":%" PRIu64 ",\"failed\":%" PRIu64
			",\"queued\":%" PRIu64 ",\"queued_bytes\":%" PRIu64 ",\"requests\":%" PRIu64
			",\"retries\":%" PRIu64 ",\"bytes\":%" PRIu64
			",\"able\":%s,\"given_up\":%" PRIu64 ",\"drain_ms\":%" PRIu64
			",\"rss_kb\":%ld,\"last_error\":\"%s\"}\n",
			s.name, s.offered, s.dropped_queue, s.sent, s.rejected, s.failed, s.queued,
			s.queued_bytes, s.requests, s.retries, s.bytes, s.able ? "true" : "false",
			given_up, drain_ms, kb, s.last_error);
	}
}

int main(int argc, char **argv)
{
	struct plan p = {
		.spans = 100,
		.services = 1,
		.drain_ms = 5000,
		.export = {.queue_bytes = 4 << 20,
			.batch_spans = 512,
			.batch_bytes = 1 << 20,
			.batch_delay_ms = 200,
			.retry_max_ms = 30000,
			.otlp_traces = {.timeout_ms = 5000}},
	};
	struct resource_table *table;
	struct export *export;
	const char *why = "out of memory";
	uint64_t given_up, start;
	long kb;
	int r;

	for (int i = 1; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (value)
			*value++ = '\0';
		if (!value || !(set_number(&p, argv[i], value) || set_flag(&p, argv[i], value) ||
				      set_text(&p, argv[i], value))) {
			fprintf(stderr, "not an option: %s\n", argv[i]);
			return 2;
		}
	}
	if (resource_table_new(p.services + 1, &table))
		return 1;
	r = export_new(&p.export, table, &export, &why);
	if (r) {
		fprintf(stderr, "REFUSED %s\n", why);
		resource_table_free(table);
		return 3;
	}
	kb = resident_kb();
	for (unsigned n = 0; n < p.spans; n++) {
		struct span s;
		char path[64];

		fill(&s, n, path, sizeof(path));
		s.resource = service(table, n % p.services);
		export_offer(export, &s);
		pause_for(p.pause_us * 1000ull);
	}
	pause_for(p.settle_ms * NS_PER_MS);
	kb = resident_kb() - kb;
	start = clock_monotonic();
	given_up = export_drain(export, start + p.drain_ms * NS_PER_MS);
	print_books(export, given_up, (clock_monotonic() - start) / NS_PER_MS, kb);
	export_free(export);
	resource_table_free(table);
	return 0;
}
