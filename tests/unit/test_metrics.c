/* SPDX-License-Identifier: Apache-2.0 */
#include "self/metrics.h"
#include "core/cleanup.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <string.h>

static struct snapshot sample(void)
{
	struct snapshot s = {.version = "1.0 \"x\"\\y\nz",
		.hooks = HOOKS_SOCK,
		.attached = true,
		.start_unix_ns = 1700000000123000000ull,
		.taken_ns = 5000000000ull,
		.ring_read_ns = 3500000000ull,
		.connections = 7,
		.exporter_count = 3};

	for (unsigned i = 0; i < WEFT_COUNT_MAX; i++)
		s.kernel[i] = 1000 + i;
	for (unsigned i = 0; i < COUNT_MAX; i++)
		s.counters[i] = 2000 + i;
	s.exporters[0] = (struct export_stats){.name = "otlp", .offered = UINT64_MAX, .able = true};
	s.exporters[1] = (struct export_stats){.name = "json"};
	s.exporters[2] = (struct export_stats){.name = "json", .sent = 5};
	return s;
}

static char *formatted(const struct snapshot *s)
{
	char *text;
	size_t len;

	cr_assert_eq(metrics_format(s, &text, &len), 0);
	cr_assert_eq(strlen(text), len);
	return text;
}

/* [a-zA-Z_:][a-zA-Z0-9_:]*; what follows it. */
static const char *skip_name(const char *p)
{
	cr_assert(isalpha((unsigned char)*p) || *p == '_', "a name: %.40s", p);
	while (isalnum((unsigned char)*p) || *p == '_')
		p++;
	return p;
}

static const char *skip_labels(const char *p)
{
	if (*p != '{')
		return p;
	do {
		p = skip_name(p + 1);
		cr_assert_eq(strncmp(p, "=\"", 2), 0, "%.40s", p);
		for (p += 2; *p != '"'; p++) {
			cr_assert(*p && *p != '\n');
			if (*p == '\\')
				cr_assert(strchr("\\\"n", *++p), "an escape: %.40s", p);
		}
		p++;
	} while (*p == ',');
	cr_assert_eq(*p, '}');
	return p + 1;
}

#define SERIES_MAX 400

/* The text format 0.0.4, stricter than a scraper: every family has HELP and TYPE once, before its
 * samples, its samples stand together, counters end in _total, no series comes twice. */
Test(metrics, exposition)
{
	struct snapshot s = sample();
	char *text = formatted(&s), *rest = text, *line;
	char family[128] = "", type[16] = "", *series[SERIES_MAX];
	unsigned n_series = 0, n_families = 0;
	char *families[SERIES_MAX];

	cr_assert_eq(text[strlen(text) - 1], '\n');
	while ((line = strsep(&rest, "\n")) && *line) {
		if (strncmp(line, "# HELP ", 7) == 0) {
			const char *end = skip_name(line + 7);

			cr_assert_eq(*end, ' ');
			cr_assert(end[1], "help text: %s", line);
			snprintf(family, sizeof(family), "%.*s", (int)(end - line - 7), line + 7);
			cr_assert_eq(strncmp(family, "weft_", 5), 0);
			for (unsigned i = 0; i < n_families; i++)
				cr_assert_str_neq(families[i], family);
			families[n_families++] = strdup(family);
			type[0] = '\0';
		} else if (strncmp(line, "# TYPE ", 7) == 0) {
			char name[128];

			cr_assert_eq(sscanf(line, "# TYPE %127s %15s", name, type), 2);
			cr_assert_str_eq(name, family);
			cr_assert(strcmp(type, "counter") == 0 || strcmp(type, "gauge") == 0);
			cr_assert_eq(strcmp(type, "counter") == 0,
				strcmp(name + strlen(name) - 6, "_total") == 0, "%s", name);
		} else {
			const char *end = skip_name(line);
			char *number_end;

			cr_assert(type[0], "a type comes first: %s", line);
			cr_assert_eq(strlen(family), (size_t)(end - line));
			cr_assert_eq(strncmp(family, line, strlen(family)), 0, "%s", line);
			end = skip_labels(end);
			cr_assert_eq(*end, ' ', "%s", line);
			strtod(end + 1, &number_end);
			cr_assert_eq(*number_end, '\0', "%s", line);
			cr_assert(number_end > end + 1);
			for (unsigned i = 0; i < n_series; i++)
				cr_assert(strncmp(series[i], line, (size_t)(end - line)) != 0 ||
						  series[i][end - line] != ' ',
					"twice: %s", line);
			cr_assert_lt(n_series, SERIES_MAX);
			series[n_series++] = line;
		}
	}
	cr_assert(!rest || !*rest);
	cr_assert_gt(n_series, (unsigned)COUNT_MAX + WEFT_COUNT_MAX);
	for (unsigned i = 0; i < n_families; i++)
		free(families[i]);
	free(text);
}

Test(metrics, values)
{
	static const char *const lines[] = {
		"\nweft_hooks_attached 1\n",
		"\nweft_connections 7\n",
		"\nweft_kernel_seen_total 1000\n",
		"\nweft_records_read_total 2000\n",
		"\nweft_ring_read_age_seconds 1.500\n",
		"\nweft_process_start_time_seconds 1700000000.123\n",
		("\nweft_build_info{version=\"1.0 "
		 "\\\"x\\\"\\\\y\\nz\",hooks=\"sock\",transport=\"ringbuf\"} 1\n"),
		"\nweft_exporter_spans_offered_total{exporter=\"otlp\"} 18446744073709551615\n",
		"\nweft_exporter_spans_sent_total{exporter=\"json-2\"} 5\n",
		"\nweft_exporter_able{exporter=\"json\"} 0\n",
		"\nweft_requests_done_total{result=\"paired\"} ",
		"\nweft_spans_dropped_total{reason=\"hold_full\"} ",
	};
	struct snapshot s = sample();
	char *text = formatted(&s);

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		cr_expect_not_null(strstr(text, lines[i]), "%s", lines[i]);
	free(text);
}

Test(metrics, no_exporters)
{
	struct snapshot s = sample();
	char *text;

	s.exporter_count = 0;
	s.ring_read_ns = 0;
	text = formatted(&s);
	cr_expect_null(strstr(text, "weft_exporter_"));
	cr_expect_null(strstr(text, "weft_ring_read_age_seconds"));
	free(text);
}
