/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/rules.h"
#include "config.h"
#include "config_table.h"
#include "core/cleanup.h"

#include <criterion/criterion.h>
#include <fcntl.h>

#define FLAGS_MAX 12

struct given {
	const char *yaml; /* NULL: no file */
	const char *env[6]; /* name, value, … */
	const char *flags[FLAGS_MAX];
};

/* The environment of whoever runs the tests must not decide them. */
static void bare(void)
{
	clearenv();
}
TestSuite(config, .init = bare);

static int load(const struct given *given, struct config *ret_config,
	struct config_errors *ret_errors, char ret_path[32])
{
	char *argv[FLAGS_MAX + 2];
	int argc = 0, r, fd;

	clearenv();
	memcpy(ret_path, "/tmp/weft-test-XXXXXX", 22);
	fd = mkstemp(ret_path);
	cr_assert_geq(fd, 0);
	if (given->yaml) {
		cr_assert_eq(
			write(fd, given->yaml, strlen(given->yaml)), (ssize_t)strlen(given->yaml));
		argv[argc++] = (char *)"--config";
		argv[argc++] = ret_path;
	}
	close(fd);
	for (size_t i = 0; i < ARRAY_SIZE(given->env) && given->env[i]; i += 2)
		setenv(given->env[i], given->env[i + 1], 1);
	for (size_t i = 0; i < FLAGS_MAX && given->flags[i]; i++)
		argv[argc++] = (char *)given->flags[i];
	r = config_load(argc, argv, ret_config, ret_errors);
	unlink(ret_path);
	clearenv();
	return r;
}

static struct config *good(const struct given *given)
{
	struct config *config = calloc(1, sizeof(*config));
	struct config_errors *errors = calloc(1, sizeof(*errors));
	char path[32];
	int r = load(given, config, errors, path);

	cr_assert_eq(r, 0, "%s", errors->text[0]);
	free(errors);
	return config;
}

#define GOOD(...) good(&(struct given){__VA_ARGS__})

/* The errors, "FILE" standing for the file's name, one a line. */
static void errors_of(const struct given *given, char *ret_text, size_t cap)
{
	struct config *config = calloc(1, sizeof(*config));
	struct config_errors *errors = calloc(1, sizeof(*errors));
	size_t len = 0;
	char path[32];

	config->drain_ms = 77;
	ret_text[0] = '\0';
	if (load(given, config, errors, path) < 0)
		cr_assert_eq(config->drain_ms, 77, "the output is untouched");
	for (unsigned i = 0; i < errors->n && len < cap; i++) {
		const char *text = errors->text[i];
		bool file = strncmp(text, path, strlen(path)) == 0;

		len += (size_t)snprintf(ret_text + len, cap - len, "%s%s%s", len ? "\n" : "",
			file ? "FILE" : "", text + (file ? strlen(path) : 0));
	}
	free(config);
	free(errors);
}

Test(config, defaults)
{
	struct config *c = GOOD(.yaml = "");

	cr_expect_eq(c->capture.hooks, HOOKS_AUTO);
	cr_expect_eq(c->capture.transport, TRANSPORT_RINGBUF);
	cr_expect_eq(c->capture.ring_bytes, 4u << 20);
	cr_expect_eq(c->capture.max_connections, 16384);
	cr_expect_eq(c->capture.max_processes, 4096);
	cr_expect_eq(c->capture.rules.n, 0);
	cr_expect_eq(c->max_exchanges, 4096);
	cr_expect_eq(c->max_resources, 1024);
	cr_expect_eq(c->trace.max_held, 4096);
	cr_expect_eq(c->trace.max_ends, 8192);
	cr_expect_eq(c->trace.max_threads, 8192);
	cr_expect_eq(c->trace.sampling.sampler, SAMPLER_PARENT_ALWAYS_ON);
	cr_expect_eq(c->trace.sampling.ratio, 1.0);
	cr_expect_eq(c->span.max_routes, 4096);
	cr_expect(c->span.query);
	cr_expect_eq(c->export.queue_bytes, 4u << 20);
	cr_expect_eq(c->export.batch_spans, 512);
	cr_expect_eq(c->export.batch_bytes, 1u << 20);
	cr_expect_eq(c->export.batch_delay_ms, 200);
	cr_expect_eq(c->export.retry_max_ms, 60000);
	cr_expect_eq(c->export.otlp_traces.timeout_ms, 10000);
	cr_expect_eq(c->export.otlp_traces.protocol, OTLP_HTTP_PROTOBUF);
	cr_expect_str_eq(c->export.otlp_traces.endpoint, "http://localhost:4318/v1/traces");
	cr_expect_not(c->export.otlp_traces.gzip);
	cr_expect(c->export.terminal && !c->export.otlp && !c->export.json);
	cr_expect(c->export.color_auto);
	cr_expect_str_eq(c->listen, "127.0.0.1:9464");
	cr_expect_eq(c->drain_ms, 5000);
	cr_expect_eq(c->status_seconds, 60);
	cr_expect_eq(c->log_level, LOG_INFO);
	cr_expect_eq(c->log_format, LOG_LOGFMT);
	free(c);
}

Test(config, file)
{
	struct config *c = GOOD(.yaml = "exporters: [otlp, json]\n"
					"listen: off\n"
					"status_interval: 2m\n"
					"capture:\n"
					"  hooks: syscalls\n"
					"  ring_bytes: 8MiB\n"
					"select:\n"
					"  include: [{exe: /usr/sbin/nginx}, {port: 8080}]\n"
					"  exclude:\n"
					"    - cgroup=/a/b\n"
					"http:\n"
					"  query: no\n"
					"  request_headers: [X-Tenant]\n"
					"trace:\n"
					"sampling: {sampler: traceidratio, ratio: 0.25}\n"
					"otlp:\n"
					"  endpoint: https://otel.example:4318/base/\n"
					"  headers: {authorization: Bearer a=b%20, x-y: z}\n"
					"  compression: gzip\n"
					"  timeout: 2500ms\n"
					"resource:\n"
					"  attributes: {team: a b, place: x/y}\n");

	cr_expect(c->export.otlp && c->export.json && !c->export.terminal);
	cr_expect_str_empty(c->listen);
	cr_expect_eq(c->status_seconds, 120);
	cr_expect_eq(c->capture.hooks, HOOKS_SYSCALLS);
	cr_expect_eq(c->capture.ring_bytes, 8u << 20);
	cr_expect_eq(c->capture.rules.n, 3);
	cr_expect_str_eq(c->capture.rules.v[0].text, "/usr/sbin/nginx");
	cr_expect_eq(c->capture.rules.v[1].number, 8080);
	cr_expect(c->capture.rules.v[2].exclude);
	cr_expect_not(c->span.query);
	cr_expect_str_eq(c->span.request_headers.v[0], "x-tenant");
	cr_expect_eq(c->trace.sampling.sampler, SAMPLER_RATIO);
	cr_expect_eq(c->trace.sampling.ratio, 0.25);
	cr_expect_str_eq(
		c->export.otlp_traces.endpoint, "https://otel.example:4318/base/v1/traces");
	cr_expect_str_eq(c->export.otlp_traces.headers, "authorization=Bearer a=b%20,x-y=z");
	cr_expect(c->export.otlp_traces.gzip);
	cr_expect_eq(c->export.otlp_traces.timeout_ms, 2500);
	cr_expect_str_eq(c->resource_attributes, "team=a%20b,place=x/y");
	free(c);
}

Test(config, precedence)
{
	struct config *c = GOOD(.yaml = "capture: {hooks: sock, transport: perf}\n"
					"drain: 1s\n"
					"select: {include: [pid=1], exclude: [pid=2]}\n",
		.env = {"WEFT_HOOKS", "syscalls", "WEFT_DRAIN", "2s", "WEFT_INCLUDE",
			"pid=3,port=4"},
		.flags = {"--drain=3s", "--exclude", "pid=5", "--exclude=pid=6"});

	cr_expect_eq(c->capture.transport, TRANSPORT_PERF);
	cr_expect_eq(c->capture.hooks, HOOKS_SYSCALLS);
	cr_expect_eq(c->drain_ms, 3000);
	/* A list of a stronger source replaces the weaker one's; the other list stays. */
	cr_assert_eq(c->capture.rules.n, 4);
	cr_expect_eq(c->capture.rules.v[0].number, 3);
	cr_expect_eq(c->capture.rules.v[1].number, 4);
	cr_expect_eq(c->capture.rules.v[2].number, 5);
	cr_expect_eq(c->capture.rules.v[3].number, 6);
	free(c);
}

Test(config, environment)
{
	struct config *c;

	c = GOOD(.env = {"OTEL_EXPORTER_OTLP_TIMEOUT", "1500", "OTEL_EXPORTER_OTLP_HEADERS",
			 "api-key=a%3Db%25, x=1", "OTEL_EXPORTER_OTLP_TRACES_HEADERS", "k=v%20w"});
	cr_expect_eq(c->export.otlp_traces.timeout_ms, 1500);
	cr_expect_str_eq(c->export.otlp_traces.headers, "k=v w");
	free(c);
	c = GOOD(.env = {"OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%3Db%25, x=1"});
	cr_expect_str_eq(c->export.otlp_traces.headers, "api-key=a=b%,x=1");
	free(c);
	c = GOOD(.env = {"OTEL_TRACES_EXPORTER", "console", "NO_COLOR", "1", "WEFT_LISTEN", ""});
	cr_expect(c->export.terminal);
	cr_expect_not(c->export.color_auto);
	cr_expect_str_eq(c->listen, "127.0.0.1:9464", "an empty variable is unset");
	free(c);
	c = GOOD(.env = {"OTEL_TRACES_EXPORTER", "otlp", "WEFT_EXPORTERS", "json"});
	cr_expect(c->export.json && !c->export.otlp);
	free(c);
	c = GOOD(.env = {"OTEL_SERVICE_NAME", "shop", "OTEL_RESOURCE_ATTRIBUTES", "a=b%2Cc,d=e",
			 "WEFT_SERVICE_HOST", "10.0.0.1"});
	cr_expect_str_eq(c->service_name, "shop");
	cr_expect_str_eq(c->resource_attributes, "a=b%2Cc,d=e");
	free(c);
	c = GOOD(.env = {"OTEL_TRACES_SAMPLER", "parentbased_traceidratio",
			 "OTEL_TRACES_SAMPLER_ARG", "1e-3"});
	cr_expect_eq(c->trace.sampling.sampler, SAMPLER_PARENT_RATIO);
	cr_expect_eq(c->trace.sampling.ratio, 0.001);
	free(c);
}

Test(config, endpoints)
{
	static const struct {
		struct given given;
		const char *url;
	} cases[] = {
		{{.env = {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"}},
			"http://c:4318/v1/traces"},
		{{.env = {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/"}},
			"http://c:4318/v1/traces"},
		{{.env = {"OTEL_EXPORTER_OTLP_ENDPOINT", "https://u:p@c/x//"}},
			"https://u:p@c/x/v1/traces"},
		{{.env = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4318"}},
			"http://c:4318/"},
		{{.env = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c/in?k=v"}},
			"http://c/in?k=v"},
		{{.env = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t/x",
			  "OTEL_EXPORTER_OTLP_ENDPOINT", "http://g"}},
			"http://t/x"},
		{{.env = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t/x"},
			 .flags = {"--otlp-endpoint", "http://g"}},
			"http://g/v1/traces"},
		{{.env = {"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"}}, "http://localhost:4317"},
		{{.env = {"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT",
			  "c:4317"}},
			"https://c:4317"},
		{{.env = {"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT",
			  "c:4317", "OTEL_EXPORTER_OTLP_INSECURE", "true"}},
			"http://c:4317"},
		{{.env = {"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT",
			  "https://[::1]:4317/", "OTEL_EXPORTER_OTLP_INSECURE", "true"}},
			"https://[::1]:4317"},
		{{.yaml = "otlp: {protocol: grpc, endpoint: http://a}",
			 .env = {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"}},
			"http://a/v1/traces"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct config *c = good(&cases[i].given);

		cr_expect_str_eq(c->export.otlp_traces.endpoint, cases[i].url, "case %zu: %s", i,
			c->export.otlp_traces.endpoint);
		cr_expect_eq(c->export.otlp, i != 7, "case %zu: a given endpoint turns otlp on", i);
		free(c);
	}
}

static const struct {
	struct given given;
	const char *errors;
} bad_cases[] = {
	{{.yaml = "capture:\n  hooks: sok\n"},
		"FILE:2: capture.hooks: \"sok\" is not one of auto, fentry, sock, syscalls"},
	{{.yaml = "capture:\n  hoks: sock\n"},
		"FILE:2: capture.hoks: unknown key (did you mean capture.hooks?)"},
	{{.yaml = "\nhooks: sock\n"}, "FILE:2: hooks: unknown key (did you mean capture.hooks?)"},
	{{.yaml = "selekt:\n"}, "FILE:1: selekt: unknown key (did you mean select?)"},
	{{.yaml = "capture: {frobnicate: 1}\n"}, "FILE:1: capture.frobnicate: unknown key (weft "
						 "check-config --reference lists all)"},
	{{.yaml = "capture:\n  hooks: sock\n  transport: perf\n  hooks: auto\n"},
		"FILE:4: capture.hooks: given twice, first in line 2"},
	{{.yaml = "log: {level: info}\ncapture:\nlog: {format: json}\n"},
		"FILE:3: log: given twice, first in line 1"},
	{{.yaml = "capture:\n  hooks: [sock]\n"},
		"FILE:2: capture.hooks: is a list, expected one of auto, fentry, sock, syscalls"},
	{{.yaml = "capture:\n  hooks:\n"},
		"FILE:2: capture.hooks: is empty, expected one of auto, fentry, sock, syscalls"},
	{{.yaml = "capture: sock\n"}, "FILE:1: capture: is a single value, expected a map of "
				      "options such as capture.hooks"},
	{{.yaml = "- a\n"}, "FILE:1: is a list, expected a map of options"},
	{{.yaml = "[1]: 2\n"}, "FILE:1: a key is a list, expected a word"},
	{{.yaml = "capture:\n\thooks: sock\n"},
		"FILE:2: while scanning for the next token, found character that cannot start any "
		"token (a tab? YAML is indented with spaces)"},
	{{.yaml = "listen: \"x\n"},
		"FILE:2: while scanning a quoted scalar, found unexpected end of stream"},
	{{.yaml = "drain: 1s\n---\ndrain: 2s\n"}, "FILE:3: a second document, expected one"},
	{{.yaml = "capture: {ring_bytes: 5MiB}\n"},
		"FILE:1: capture.ring_bytes: \"5MiB\" is not a power of two: use 4MiB or 8MiB"},
	{{.yaml = "capture: {ring_bytes: 96KiB}\n"},
		"FILE:1: capture.ring_bytes: \"96KiB\" is not a power of two: use 64KiB or 128KiB"},
	{{.yaml = "capture: {ring_bytes: 4MB}\n"}, "FILE:1: capture.ring_bytes: \"4MB\" is not a "
						   "size from 64KiB to 1024MiB, a power of two"},
	{{.yaml = "capture: {ring_bytes: 99999999999999999999G}\n"},
		"FILE:1: capture.ring_bytes: \"99999999999999999999G\" is not a size from 64KiB to "
		"1024MiB, a power of two"},
	{{.yaml = "capture: {max_processes: -1}\n"},
		"FILE:1: capture.max_processes: \"-1\" is not a number from 64 to 1048576"},
	{{.yaml = "capture: {max_processes: 1.5}\n"},
		"FILE:1: capture.max_processes: \"1.5\" is not a number from 64 to 1048576"},
	{{.yaml = "drain: 5\n"},
		"FILE:1: drain: \"5\" is not a time from 0ms to 600s, such as 250ms or 5s"},
	{{.yaml = "status_interval: 500ms\n"}, "FILE:1: status_interval: \"500ms\" is not whole "
					       "seconds, such as 30s or 5m, at most 24h"},
	{{.yaml = "http: {query: perhaps}\n"},
		"FILE:1: http.query: \"perhaps\" is not true or false"},
	{{.yaml = "sampling: {ratio: 1.5}\n"},
		"FILE:1: sampling.ratio: \"1.5\" is not a number from 0 to 1"},
	{{.yaml = "sampling: {ratio: nan}\n"},
		"FILE:1: sampling.ratio: \"nan\" is not a number from 0 to 1"},
	{{.yaml = "listen: 9464\n"},
		"FILE:1: listen: \"9464\" is not ADDR:PORT such as 127.0.0.1:9464, or off"},
	{{.yaml = "listen: localhost:9464\n"}, "FILE:1: listen: \"localhost:9464\" is not "
					       "ADDR:PORT such as 127.0.0.1:9464, or off"},
	{{.yaml = "select:\n  include:\n    - {exe: a, port: 2}\n"},
		"FILE:3: select.include: a rule has one key, not 2: write further ones as items of "
		"their own"},
	{{.yaml = "select:\n  include:\n    - {user: a}\n"},
		"FILE:3: select.include: \"user=a\" is not " RULE_FORMS},
	{{.yaml = "select:\n  exclude: [{port: 0}]\n"},
		"FILE:2: select.exclude: port: \"0\" is not a number from 1 to 65535"},
	{{.yaml = "select:\n  exclude: {port: 0}\n"},
		"FILE:2: select.exclude: is a map, expected a list of rules, such as exe=GLOB, "
		"port=N or "
		"namespace=GLOB"},
	{{.yaml = "http: {request_headers: [a b]}\n"},
		"FILE:1: http.request_headers: \"a b\" is not a header name"},
	{{.yaml = "exporters: [otlp, zipkin]\n"},
		"FILE:1: exporters: \"zipkin\" is not one of otlp, terminal, json, none"},
	{{.yaml = "exporters: [none, otlp]\n"}, "FILE:1: exporters: none stands alone"},
	{{.yaml = "exporters: []\n"}, "FILE:1: exporters: is empty (none is called none)"},
	{{.yaml = "otlp: {certificate: /nowhere/ca.pem}\n"},
		"FILE:1: otlp.certificate: cannot read \"/nowhere/ca.pem\": No such file or "
		"directory"},
	{{.yaml = "otlp: {client_key: /dev/null}\n"},
		"FILE:1: otlp.client_key: needs otlp.client_certificate as well"},
	{{.yaml = "export: {queue_bytes: 512KiB}\n"},
		"FILE:1: export.queue_bytes: export.batch_bytes (1048576) is more than "
		"export.queue_bytes (524288)"},
	{{.yaml = "otlp: {endpoint: collector:4318}\n"},
		"FILE:1: otlp.endpoint: \"collector:4318\" has no scheme, expected "
		"http://HOST:4318 or https://HOST:4318"},
	{{.yaml = "otlp:\n  headers: {a: b}\n  headers: {a: c}\n"},
		"FILE:3: otlp.headers: given twice, first in line 2"},
	/* A header's value stands in no message. */
	{{.env = {"OTEL_EXPORTER_OTLP_HEADERS", "k=v,hunter2"}},
		"OTEL_EXPORTER_OTLP_HEADERS: item 2 is not name=value"},
	{{.env = {"OTEL_EXPORTER_OTLP_HEADERS", "k=hunter2%"}},
		"OTEL_EXPORTER_OTLP_HEADERS: item 1: a % is not followed by two hexadecimal "
		"digits (write %25)"},
	{{.env = {"OTEL_EXPORTER_OTLP_HEADERS", "k=a%0ahunter2"}},
		"OTEL_EXPORTER_OTLP_HEADERS: the value of \"k\" holds a control character, which "
		"cannot be sent"},
	{{.env = {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:hunter2@c:x"}},
		"OTEL_EXPORTER_OTLP_ENDPOINT: \"http://****@c:x\" has no valid host and port, "
		"expected http://HOST:PORT"},
	{{.env = {"OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://c"}},
		"OTEL_EXPORTER_OTLP_ENDPOINT: \"ftp://c\" has an unknown scheme, expected http:// "
		"or https://"},
	{{.env = {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317/x",
		  "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"}},
		"OTEL_EXPORTER_OTLP_ENDPOINT: \"http://c:4317/x\" has a path, which OTLP over gRPC "
		"does not take, expected http://HOST:4317"},
	{{.env = {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"}},
		"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: \"http/json\" is not one of http/protobuf, "
		"grpc"},
	{{.env = {"WEFT_HOOKS", "sok"}},
		"WEFT_HOOKS: \"sok\" is not one of auto, fentry, sock, syscalls"},
	{{.env = {"WEFT_HOOK", "sock"}}, "WEFT_HOOK: unknown variable (did you mean WEFT_HOOKS?)"},
	{{.flags = {"--hooks", "sok"}},
		"--hooks: \"sok\" is not one of auto, fentry, sock, syscalls"},
	{{.flags = {"--hooks"}}, "--hooks: needs a value"},
	{{.flags = {"--hooks", "--color"}}, "--hooks: needs a value"},
	{{.flags = {"--hoks=sock"}}, "--hoks: unknown flag (did you mean --hooks?)"},
	{{.flags = {"--frobnicate"}}, "--frobnicate: unknown flag (--help-all lists all)"},
	{{.flags = {"nginx"}}, "unexpected argument \"nginx\""},
	{{.flags = {"--no-hooks"}}, "--no-hooks: unknown flag (did you mean --hooks?)"},
	{{.flags = {"--config"}}, "--config: needs a value"},
	{{.flags = {"--config", "/nowhere.yaml"}}, "/nowhere.yaml: No such file or directory"},
	{{.flags = {"--config", "/tmp"}}, "/tmp: is not a file of at most 1MiB"},
	{{.yaml = "drain: x\nlog:\n  level: loud\n",
		 .env = {"WEFT_LISTEN", "y"},
		 .flags = {"--max-held", "z"}},
		"FILE:1: drain: \"x\" is not a time from 0ms to 600s, such as 250ms or 5s\n"
		"FILE:3: log.level: \"loud\" is not one of debug, info, warn, error\n"
		"WEFT_LISTEN: \"y\" is not ADDR:PORT such as 127.0.0.1:9464, or off\n"
		"--max-held: \"z\" is not a number from 64 to 1048576"},
};

Test(config, bad)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad_cases); i++) {
		char text[4096];

		errors_of(&bad_cases[i].given, text, sizeof(text));
		cr_expect_str_eq(text, bad_cases[i].errors, "case %zu\n     got: %s\nexpected: %s",
			i, text, bad_cases[i].errors);
	}
}

Test(config, many_errors_are_counted)
{
	struct config *config = calloc(1, sizeof(*config));
	struct config_errors *errors = calloc(1, sizeof(*errors));
	char yaml[1000] = "", path[32];

	for (int i = 0; i < 25; i++)
		snprintf(yaml + strlen(yaml), sizeof(yaml) - strlen(yaml), "what%d: 1\n", i);
	cr_assert_lt(load(&(struct given){.yaml = yaml}, config, errors, path), 0);
	cr_expect_eq(errors->n, CONFIG_ERRORS_MAX);
	cr_expect_eq(errors->further, 5);
	free(config);
	free(errors);
}

/* Hostile files: any prefix of a good one, and one that refers to itself. */
Test(config, truncations)
{
	static const char yaml[] = "a: &x {b: *x}\nselect: {include: [{exe: \"\\0\\u263a\"}, *x]}\n"
				   "otlp: {headers: {a: b, \"\\0\": c}}\ncapture: *x\n";

	for (size_t n = 0; n <= sizeof(yaml) - 1; n++) {
		char text[8192], cut[sizeof(yaml)];

		memcpy(cut, yaml, n);
		cut[n] = '\0';
		errors_of(&(struct given){.yaml = cut}, text, sizeof(text));
	}
}

static char *printed(const struct config *c)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	config_print(c, out);
	fclose(out);
	return text;
}

Test(config, prints_what_it_would_read)
{
	struct config *c = GOOD(.yaml = "capture: {hooks: sock}\n"
					"select: {include: [{exe: \"a b\\\"c\"}, {port: 1}]}\n"
					"drain: 90s\nhttp: {redact_query: [x, y]}\n",
		.env = {"OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2",
			"OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:hunter2@c:4318"});
	char *first = printed(c), *again;
	struct config *reread = good(&(struct given){.yaml = first});

	cr_expect(strstr(first, "hunter2") == NULL, "secrets are masked:\n%s", first);
	cr_expect_neq(
		strstr(first, "  hooks: sock                                 # line 1\n"), NULL);
	cr_expect_neq(strstr(first, "# OTEL_EXPORTER_OTLP_HEADERS\n"), NULL);
	cr_expect_neq(strstr(first, "# traces go to http://****@c:4318/v1/traces\n"), NULL);
	again = printed(reread);
	cr_expect_eq(reread->capture.rules.n, 2);
	cr_expect_eq(reread->drain_ms, 90000);
	cr_expect_eq(reread->span.redact_query.n, 2);
	free(first);
	free(again);
	free(c);
	free(reread);
}

Test(config, restart_keys)
{
	struct config *a = GOOD(.yaml = "capture: {hooks: sock}\nlog: {level: warn}\n");
	struct config *b = GOOD(.yaml = "capture: {ring_bytes: 8MiB}\nlog: {level: info}\n"
					"exporters: json\nselect: {include: pid=1}\n");
	struct config *c = GOOD(.yaml = "capture: {hooks: sock}\nlog: {level: warn}\n",
		.env = {"WEFT_LISTEN", "off"}, .flags = {"--listen", "127.0.0.1:9464"});
	char keys[256];

	cr_expect_eq(config_restart_keys(a, b, keys, sizeof(keys)), 3);
	cr_expect_str_eq(keys, "exporters, capture.hooks, capture.ring_bytes");
	cr_expect_eq(config_restart_keys(a, c, keys, sizeof(keys)), 0, "%s", keys);
	cr_expect_str_empty(keys);
	free(a);
	free(b);
	free(c);
}

Test(config, table)
{
	for (unsigned i = 0; i < option_count; i++) {
		cr_expect_eq(option_by_key(slice_str(options[i].key)), (int)i);
		cr_expect_eq(option_by_flag(slice_str(options[i].flag)), (int)i);
		cr_expect(options[i].help[0] && options[i].env[0]);
	}
}
