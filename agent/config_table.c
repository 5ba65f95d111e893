/* SPDX-License-Identifier: Apache-2.0 */
#include "config_table.h"
#include "core/cleanup.h"

#include <assert.h>

static const char *const hooks[] = {
	[HOOKS_AUTO] = "auto",
	[HOOKS_FENTRY] = "fentry",
	[HOOKS_SOCK] = "sock",
	[HOOKS_SYSCALLS] = "syscalls",
	NULL,
};
static const char *const transports[] = {
	[TRANSPORT_RINGBUF] = "ringbuf",
	[TRANSPORT_PERF] = "perf",
	NULL,
};
static const char *const protocols[] = {
	[OTLP_HTTP_PROTOBUF] = "http/protobuf",
	[OTLP_GRPC] = "grpc",
	NULL,
};
static const char *const compressions[] = {"none", "gzip", NULL};
static const char *const levels[] = {
	[LOG_DEBUG] = "debug",
	[LOG_INFO] = "info",
	[LOG_WARN] = "warn",
	[LOG_ERROR] = "error",
	NULL,
};
static const char *const formats[] = {
	[LOG_LOGFMT] = "logfmt",
	[LOG_JSON] = "json",
	NULL,
};
static const char *const kubernetes_uses[] = {
	[KUBERNETES_AUTO] = "auto",
	[KUBERNETES_OFF] = "off",
	[KUBERNETES_ON] = "on",
	NULL,
};
static const char *const exporters[] = {"otlp", "terminal", "json", "none", NULL};
static const char *const rpc_conventions[] = {
	[RPC_STABLE] = "stable",
	[RPC_OLD] = "old",
	[RPC_BOTH] = "both",
	NULL,
};
static const char *const samplers[] = {
	[SAMPLER_ALWAYS_ON] = "always_on",
	[SAMPLER_ALWAYS_OFF] = "always_off",
	[SAMPLER_RATIO] = "traceidratio",
	[SAMPLER_PARENT_ALWAYS_ON] = "parentbased_always_on",
	[SAMPLER_PARENT_ALWAYS_OFF] = "parentbased_always_off",
	[SAMPLER_PARENT_RATIO] = "parentbased_traceidratio",
	NULL,
};

#define FIELD(f) .offset = offsetof(struct config, f), .size = sizeof(((struct config *)NULL)->f)
#define KIB      1024ull
#define MIB      (1024 * KIB)
#define MINUTE   (60 * 1000ull)
#define OTLP(n)                                                                                    \
	{                                                                                          \
		"OTEL_EXPORTER_OTLP_" n, "OTEL_EXPORTER_OTLP_TRACES_" n                            \
	}

/* In the order of the reference: top-level keys, then section by section. */
const struct option options[] = {
	{"exporters", "exporters", {"OTEL_TRACES_EXPORTER", "WEFT_EXPORTERS"}, "LIST",
		OPT_EXPORTERS, .common = true, FIELD(export), .choices = exporters, .def = "",
		.help = "where spans go; without it otlp if an OTLP endpoint is given, else "
			"terminal"},
	{"listen", "listen", {"WEFT_LISTEN"}, "ADDR:PORT", OPT_LISTEN, .common = true,
		FIELD(listen), .def = "127.0.0.1:9464",
		.help = "address of /healthz, /readyz and /metrics"},
	{"drain", "drain", {"WEFT_DRAIN"}, "TIME", OPT_MS, FIELD(drain_ms), .max = 10 * MINUTE,
		.def = "5s", .help = "longest time for sending what is left at shutdown"},
	{"status_interval", "status-interval", {"WEFT_STATUS_INTERVAL"}, "TIME", OPT_SECONDS,
		FIELD(status_seconds), .max = 86400, .def = "1m",
		.help = "time between two status lines in the log, 0 for none"},

	{"capture.hooks", "hooks", {"WEFT_HOOKS"}, "SET", OPT_CHOICE, .common = true,
		FIELD(capture.hooks), .choices = hooks, .def = "auto",
		.help = "the set of kernel hooks; auto takes the cheapest that works"},
	{"capture.transport", "transport", {"WEFT_TRANSPORT"}, "WAY", OPT_CHOICE,
		FIELD(capture.transport), .choices = transports, .def = "ringbuf",
		.help = "how records reach the agent; perf where the kernel has no ring buffer"},
	{"capture.ring_bytes", "ring-bytes", {"WEFT_RING_BYTES"}, "SIZE", OPT_POWER,
		FIELD(capture.ring_bytes), .min = 64 * KIB, .max = 1024 * MIB, .def = "4MiB",
		.help = "the ring buffer (perf: of each CPU); larger if "
			"weft_kernel_lost_full_total rises"},
	{"capture.max_connections", "max-connections", {"WEFT_MAX_CONNECTIONS"}, "N", OPT_UINT,
		FIELD(capture.max_connections), .min = 64, .max = 1 << 20, .def = "16384",
		.help = "connections known at a time; the oldest idle one is forgotten"},
	{"capture.max_processes", "max-processes", {"WEFT_MAX_PROCESSES"}, "N", OPT_UINT,
		FIELD(capture.max_processes), .min = 64, .max = 1 << 20, .def = "4096",
		.help = "processes known at a time"},

	{"capture.tls", "tls", {"WEFT_TLS"}, NULL, OPT_BOOL, FIELD(capture.tls), .def = "true",
		.help = "read what goes through TLS libraries (OpenSSL, BoringSSL, GnuTLS) in "
			"clear, by "
			"probes on their functions"},
	{"select.include", "include", {"WEFT_INCLUDE"}, "RULE", OPT_INCLUDE, .reload = true,
		.common = true, FIELD(capture.rules), .def = "",
		.help = "trace only what matches; without one every process that listens on TCP, "
			"and its clients, and in Kubernetes every pod"},
	{"select.exclude", "exclude", {"WEFT_EXCLUDE"}, "RULE", OPT_EXCLUDE, .reload = true,
		.common = true, FIELD(capture.rules), .def = "",
		.help = "never trace what matches; wins over include"},

	{"kubernetes.enabled", "kubernetes", {"WEFT_KUBERNETES"}, "USE", OPT_CHOICE,
		FIELD(kubernetes.use), .choices = kubernetes_uses, .def = "auto",
		.help = "name and select this node's pods; auto does inside of a pod that has a "
			"service account"},
	{"kubernetes.node", "node", {"WEFT_NODE_NAME"}, "NAME", OPT_TEXT, FIELD(kubernetes.node),
		.def = "", .help = "this node's name; without it the host's"},
	{"kubernetes.cluster_name", "cluster-name", {"WEFT_CLUSTER_NAME"}, "NAME", OPT_TEXT,
		FIELD(kubernetes.cluster_name), .def = "",
		.help = "k8s.cluster.name of every span"},
	{"kubernetes.api", "kubernetes-api", {"WEFT_KUBERNETES_API"}, "URL", OPT_URL,
		FIELD(kubernetes.api), .def = "",
		.help = "the API server; without it the one that every pod is told of"},
	{"kubernetes.credentials", "kubernetes-credentials", {"WEFT_KUBERNETES_CREDENTIALS"}, "DIR",
		OPT_TEXT, FIELD(kubernetes.credentials),
		.def = "/var/run/secrets/kubernetes.io/serviceaccount",
		.help = "directory with the service account's token and ca.crt"},
	{"kubernetes.max_pods", "max-pods", {"WEFT_MAX_PODS"}, "N", OPT_UINT,
		FIELD(kubernetes.max_pods), .min = 16, .max = 1 << 16, .def = "1024",
		.help = "pods of this node known at a time, those that ended lately included"},
	{"kubernetes.max_services", "max-services", {"WEFT_MAX_SERVICES"}, "N", OPT_UINT,
		FIELD(kubernetes.max_services), .min = 16, .max = 1 << 20, .def = "8192",
		.help = "services known at a time, for naming whom calls go to"},
	{"kubernetes.max_endpoints", "max-endpoints", {"WEFT_MAX_ENDPOINTS"}, "N", OPT_UINT,
		FIELD(kubernetes.max_endpoints), .min = 16, .max = 1 << 20, .def = "32768",
		.help = "addresses behind services known at a time"},
	{"kubernetes.wait", "kubernetes-wait", {"WEFT_KUBERNETES_WAIT"}, "TIME", OPT_MS,
		FIELD(kubernetes.wait_ms), .max = MINUTE, .def = "10s",
		.help = "longest time that spans wait for the name of their pod"},
	{"kubernetes.trace_system", "trace-system", {"WEFT_TRACE_SYSTEM"}, NULL, OPT_BOOL,
		.reload = true, FIELD(kubernetes.trace_system), .def = "false",
		.help = "trace the pods of kube-system too"},
	{"kubernetes.trace_instrumented", "trace-instrumented", {"WEFT_TRACE_INSTRUMENTED"}, NULL,
		OPT_BOOL, .reload = true, FIELD(kubernetes.trace_instrumented), .def = "false",
		.help = "trace the pods that export their own telemetry too"},
	{"kubernetes.trace_probes", "trace-probes", {"WEFT_TRACE_PROBES"}, NULL, OPT_BOOL,
		.reload = true, FIELD(kubernetes.trace_probes), .def = "false",
		.help = "trace the kubelet's probes too"},

	{"budget.cpu_limit", "cpu-limit", {"WEFT_CPU_LIMIT"}, "0..1", OPT_RATIO,
		FIELD(capture.budget.cpus), .def = "0",
		.help = "most of one core that weft takes, kernel side included, before it leaves "
			"out connections; 0 for no limit"},
	{"budget.events_per_second", "events-per-second", {"WEFT_EVENTS_PER_SECOND"}, "N", OPT_UINT,
		FIELD(capture.budget.records_per_second), .max = 1000000000, .def = "0",
		.help = "most socket calls recorded a second, before connections are left out; 0 "
			"for no limit"},

	{"http.query", "query", {"WEFT_QUERY"}, NULL, OPT_BOOL, .reload = true, FIELD(span.query),
		.def = "true",
		.help = "export query strings; well-known secrets in them are redacted"},
	{"http.redact_query", "redact-query", {"WEFT_REDACT_QUERY"}, "LIST", OPT_NAMES,
		.reload = true, FIELD(span.redact_query), .def = "",
		.help = "further query keys whose values are redacted"},
	{"http.request_headers", "request-headers", {"WEFT_REQUEST_HEADERS"}, "LIST", OPT_NAMES,
		.reload = true, FIELD(span.request_headers), .def = "",
		.help = "request headers to export as attributes"},
	{"http.response_headers", "response-headers", {"WEFT_RESPONSE_HEADERS"}, "LIST", OPT_NAMES,
		.reload = true, FIELD(span.reply_headers), .def = "",
		.help = "response headers to export as attributes"},
	{"http.max_routes", "max-routes", {"WEFT_MAX_ROUTES"}, "N", OPT_UINT,
		FIELD(span.max_routes), .min = 16, .max = 1 << 20, .def = "4096",
		.help = "most path segments that the route clusterer keeps"},
	{"http.max_exchanges", "max-exchanges", {"WEFT_MAX_EXCHANGES"}, "N", OPT_UINT,
		FIELD(max_exchanges), .min = 64, .max = 1 << 20, .def = "4096",
		.help = "requests waiting for their reply at a time"},

	{"rpc.conventions", "rpc-conventions", {"WEFT_RPC_CONVENTIONS"}, "NAMES", OPT_CHOICE,
		.reload = true, FIELD(span.rpc), .choices = rpc_conventions, .def = "stable",
		.help = "names of gRPC calls' attributes: OpenTelemetry's stable ones, those "
			"before 1.38 (old), or both"},

	{"sampling.sampler", "sampler", {"OTEL_TRACES_SAMPLER"}, "NAME", OPT_CHOICE, .reload = true,
		.common = true, FIELD(trace.sampling.sampler), .choices = samplers,
		.def = "parentbased_always_on", .help = "which traces are kept"},
	{"sampling.ratio", "sampling-ratio", {"OTEL_TRACES_SAMPLER_ARG"}, "0..1", OPT_RATIO,
		.reload = true, FIELD(trace.sampling.ratio), .def = "1",
		.help = "share of traces kept by the traceidratio samplers"},

	{"trace.max_held", "max-held", {"WEFT_MAX_HELD"}, "N", OPT_UINT, FIELD(trace.max_held),
		.min = 64, .max = 1 << 20, .def = "4096",
		.help = "finished spans waiting for their trace to be settled"},
	{"trace.max_ends", "max-ends", {"WEFT_MAX_ENDS"}, "N", OPT_UINT, FIELD(trace.max_ends),
		.min = 64, .max = 1 << 20, .def = "8192",
		.help = "calls waiting for the other end of their connection on this host"},
	{"trace.max_threads", "max-threads", {"WEFT_MAX_THREADS"}, "N", OPT_UINT,
		FIELD(trace.max_threads), .min = 64, .max = 1 << 20, .def = "8192",
		.help = "threads whose current request is known"},

	{"resource.service_name", "service-name", {"OTEL_SERVICE_NAME"}, "NAME", OPT_TEXT,
		FIELD(service_name), .def = "",
		.help = "service.name of every span; without it found per process"},
	{"resource.attributes", "resource-attributes", {"OTEL_RESOURCE_ATTRIBUTES"}, "K=V,...",
		OPT_ATTRIBUTES, FIELD(resource_attributes), .def = "",
		.help = "resource attributes of every span, values percent-encoded"},
	{"resource.max_resources", "max-resources", {"WEFT_MAX_RESOURCES"}, "N", OPT_UINT,
		FIELD(max_resources), .min = 16, .max = 1 << 16, .def = "1024",
		.help = "different resources (services, in effect) known at a time"},

	{"otlp.endpoint", "otlp-endpoint", {"OTEL_EXPORTER_OTLP_ENDPOINT"}, "URL", OPT_URL,
		.common = true, FIELD(otlp_endpoint), .def = "",
		.help = "OTLP collector; over HTTP /v1/traces is appended; without it "
			"http://localhost:4318, with grpc http://localhost:4317"},
	{"otlp.traces_endpoint", "otlp-traces-endpoint", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"},
		"URL", OPT_URL, FIELD(otlp_traces_endpoint), .def = "",
		.help = "the same for traces alone; over HTTP the whole URL, used as it is"},
	{"otlp.protocol", "otlp-protocol", OTLP("PROTOCOL"), "NAME", OPT_CHOICE, .common = true,
		FIELD(export.otlp_traces.protocol), .choices = protocols, .def = "http/protobuf",
		.help = "OTLP over HTTP (port 4318) or gRPC (port 4317)"},
	{"otlp.headers", "otlp-headers", OTLP("HEADERS"), "K=V,...", OPT_HEADERS,
		FIELD(export.otlp_traces.headers), .def = "",
		.help = "headers of every request, values percent-encoded; better in the "
			"environment than in a flag, which everyone can read"},
	{"otlp.compression", "otlp-compression", OTLP("COMPRESSION"), "NAME", OPT_CHOICE,
		FIELD(export.otlp_traces.gzip), .choices = compressions, .def = "none",
		.help = "compression of requests"},
	{"otlp.timeout", "otlp-timeout", OTLP("TIMEOUT"), "TIME", OPT_MS,
		FIELD(export.otlp_traces.timeout_ms), .min = 1, .max = 10 * MINUTE, .def = "10s",
		.help = "longest time for one request"},
	{"otlp.insecure", "otlp-insecure", OTLP("INSECURE"), NULL, OPT_BOOL,
		FIELD(export.otlp_traces.insecure), .def = "false",
		.help = "grpc: plain text where the endpoint has no scheme"},
	{"otlp.certificate", "otlp-certificate", OTLP("CERTIFICATE"), "FILE", OPT_FILE,
		FIELD(export.otlp_traces.certificate), .def = "",
		.help = "CA certificates to check the server against (PEM)"},
	{"otlp.client_key", "otlp-client-key", OTLP("CLIENT_KEY"), "FILE", OPT_FILE,
		FIELD(export.otlp_traces.client_key), .def = "",
		.help = "private key of the client certificate (PEM)"},
	{"otlp.client_certificate", "otlp-client-certificate", OTLP("CLIENT_CERTIFICATE"), "FILE",
		OPT_FILE, FIELD(export.otlp_traces.client_certificate), .def = "",
		.help = "certificate to show to the server (PEM)"},

	{"export.queue_bytes", "queue-bytes", {"WEFT_QUEUE_BYTES"}, "SIZE", OPT_SIZE,
		FIELD(export.queue_bytes), .min = 64 * KIB, .max = 1024 * MIB, .def = "4MiB",
		.help = "what each exporter may hold while its backend is slow"},
	{"export.batch_spans", "batch-spans", {"WEFT_BATCH_SPANS"}, "N", OPT_UINT,
		FIELD(export.batch_spans), .min = 1, .max = 65536, .def = "512",
		.help = "most spans in a request"},
	{"export.batch_bytes", "batch-bytes", {"WEFT_BATCH_BYTES"}, "SIZE", OPT_SIZE,
		FIELD(export.batch_bytes), .min = 16 * KIB, .max = 4 * MIB, .def = "1MiB",
		.help = "most bytes in a request, before compression"},
	{"export.batch_delay", "batch-delay", {"WEFT_BATCH_DELAY"}, "TIME", OPT_MS,
		FIELD(export.batch_delay_ms), .max = MINUTE, .def = "200ms",
		.help = "longest wait for a batch to fill"},
	{"export.retry_max", "retry-max", {"WEFT_RETRY_MAX"}, "TIME", OPT_MS,
		FIELD(export.retry_max_ms), .max = 60 * MINUTE, .def = "1m",
		.help = "longest time for trying to send a batch again"},

	{"terminal.color", "color", {"!NO_COLOR", "WEFT_COLOR"}, NULL, OPT_BOOL,
		FIELD(export.color_auto), .def = "true",
		.help = "colours in the terminal exporter, where it writes to a terminal"},

	{"log.level", "log-level", {"WEFT_LOG_LEVEL"}, "LEVEL", OPT_CHOICE, .reload = true,
		.common = true, FIELD(log_level), .choices = levels, .def = "info",
		.help = "least severe log lines that are written"},
	{"log.format", "log-format", {"WEFT_LOG_FORMAT"}, "NAME", OPT_CHOICE, .reload = true,
		FIELD(log_format), .choices = formats, .def = "logfmt",
		.help = "form of the log lines"},
};

const unsigned option_count = ARRAY_SIZE(options);
static_assert(ARRAY_SIZE(options) <= CONFIG_OPTIONS_MAX, "room for every option's origin");

int option_by_key(struct slice key)
{
	for (unsigned i = 0; i < option_count; i++)
		if (slice_eq(key, slice_str(options[i].key)))
			return (int)i;
	return -1;
}

int option_by_flag(struct slice flag)
{
	for (unsigned i = 0; i < option_count; i++)
		if (slice_eq(flag, slice_str(options[i].flag)))
			return (int)i;
	return -1;
}

#define NEAR_MAX 64

/* Levenshtein's distance; NEAR_MAX if either is longer than that. */
static unsigned distance(struct slice a, struct slice b)
{
	unsigned row[NEAR_MAX + 1];

	if (a.len >= NEAR_MAX || b.len >= NEAR_MAX)
		return NEAR_MAX;
	for (unsigned j = 0; j <= b.len; j++)
		row[j] = j;
	for (size_t i = 0; i < a.len; i++) {
		unsigned corner = row[0];

		row[0] = (unsigned)i + 1;
		for (size_t j = 0; j < b.len; j++) {
			unsigned best = corner + (a.ptr[i] != b.ptr[j]);

			corner = row[j + 1];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (corner + 1 < best)
				best = corner + 1;
			row[j + 1] = best;
		}
	}
	return row[b.len];
}

/* Takes over as the nearest if it is. */
static void consider(struct slice given, struct slice candidate, struct slice name, unsigned *best,
	struct slice *nearest)
{
	unsigned d = distance(given, candidate);

	if (d < *best) {
		*best = d;
		*nearest = name;
	}
}

static unsigned tolerance(struct slice given)
{
	return given.len < 6 ? 2 : 3;
}

struct slice option_near_key(struct slice key)
{
	unsigned best = tolerance(key) + 1;
	struct slice nearest = {0}, last = key;

	while (memchr(last.ptr, '.', last.len))
		slice_cut(&last, '.');
	for (unsigned i = 0; i < option_count; i++) {
		struct slice name = slice_str(options[i].key), rest = name;
		struct slice section = slice_cut(&rest, '.');

		consider(key, name, name, &best, &nearest);
		if (last.len == key.len)
			consider(key, section, section, &best, &nearest);
	}
	if (nearest.len)
		return nearest;
	best = tolerance(last);
	for (unsigned i = 0; i < option_count; i++) {
		struct slice name = slice_str(options[i].key), part = name;

		if (memchr(part.ptr, '.', part.len))
			slice_cut(&part, '.');
		consider(last, part, name, &best, &nearest);
	}
	return nearest;
}

const char *option_near_flag(struct slice flag)
{
	unsigned best = tolerance(flag) + 1;
	struct slice nearest = {0};

	for (unsigned i = 0; i < option_count; i++)
		consider(flag, slice_str(options[i].flag), slice_str(options[i].flag), &best,
			&nearest);
	return nearest.ptr;
}

const char *option_near_env(struct slice name)
{
	unsigned best = 3;
	struct slice nearest = {0};

	for (unsigned i = 0; i < option_count; i++)
		for (unsigned j = 0; j < OPTION_ENV_MAX && options[i].env[j]; j++)
			consider(name, slice_str(options[i].env[j]), slice_str(options[i].env[j]),
				&best, &nearest);
	return nearest.ptr;
}
