/* SPDX-License-Identifier: Apache-2.0 */
#include "self/status.h"
#include "core/cleanup.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>

static const struct otlp_options OTLP = {.endpoint = "http://me:pw@c:4317/v1/traces"};

static struct snapshot running(void)
{
	struct snapshot s = {.attached = true,
		.taken_ns = 100 * 1000000000ull,
		.ring_read_ns = 99 * 1000000000ull,
		.processes_traced = 4,
		.connections = 9,
		.exporter_count = 1,
		.exporters[0] = {.name = "otlp", .able = true, .offered = 6, .sent = 6}};

	s.counters[COUNT_RECORDS_READ] = 50;
	s.counters[COUNT_REQUESTS] = 6;
	s.counters[COUNT_PAIRED] = 6;
	s.counters[COUNT_SPANS_MADE] = 6;
	s.counters[COUNT_SPANS_RELEASED] = 6;
	s.kernel[WEFT_COUNT_SEEN] = 50;
	s.kernel[WEFT_COUNT_EMITTED] = 50;
	return s;
}

/* The log is caught in a pipe. */
static int catch_stderr(void)
{
	int ends[2];

	cr_assert_eq(pipe2(ends, O_NONBLOCK), 0);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	return ends[0];
}

/* All lines written since the last call, each without its time. */
static const char *said(int fd, char text[static 8192])
{
	char raw[8192], *rest = raw, *line;
	ssize_t n = read(fd, raw, sizeof(raw) - 1);
	size_t len = 0;

	raw[n > 0 ? n : 0] = '\0';
	text[0] = '\0';
	while ((line = strsep(&rest, "\n")) && *line)
		len += (size_t)snprintf(text + len, 8192 - len, "%s\n", strchr(line, ' ') + 1);
	return text;
}

Test(status, lines)
{
	int fd = catch_stderr();
	struct snapshot s = running();
	_free_ struct status *status = malloc(sizeof(*status));
	char text[8192];

	status_init(status, &OTLP);
	status_report(status, &s);
	cr_expect_str_eq(said(fd, text),
		"level=info msg=status processes=4 connections=9 records=50 requests=6 spans=6 "
		"lost=0 otlp=ok otlp_sent=6\n");
	status_report(status, &s);
	cr_expect_str_eq(said(fd, text),
		"level=info msg=status processes=4 connections=9 records=0 requests=0 spans=0 "
		"lost=0 otlp=ok otlp_sent=0\n");

	s.kernel[WEFT_COUNT_LOST_FULL] = 7;
	s.counters[COUNT_UNPAIRED_HOLE] = 2;
	s.kernel_missed = 1;
	s.exporters[0].able = false;
	s.exporters[0].queued = 3;
	s.exporters[0].failed = 4;
	s.exporters[0].last_ok_ns = 40 * 1000000000ull;
	snprintf(s.exporters[0].last_error, sizeof(s.exporters[0].last_error), "HTTP 415");
	status_report(status, &s);
	cr_expect_str_eq(said(fd, text),
		"level=info msg=status processes=4 connections=9 records=0 requests=0 spans=0 "
		"lost=14 ring_full=7 requests_hole=2 kernel_skipped=1 otlp=failing otlp_sent=0 "
		"otlp_queued=3 otlp_failed=4\n"
		"level=warn msg=\"exporter fails\" exporter=otlp error=\"HTTP 415\" "
		"endpoint=http://****@c:4317/v1/traces queued=3 last_ok=\"60s ago\" "
		"check=\"4317 is the port of OTLP over gRPC: use 4318, or otlp.protocol grpc\"\n");
}

Test(status, idle_and_ill)
{
	int fd = catch_stderr();
	struct snapshot s = running();
	_free_ struct status *status = malloc(sizeof(*status));
	char text[8192];

	status_init(status, &OTLP);
	s.processes_traced = 0;
	s.attached = false;
	s.ring_read_ns = 1000000000ull;
	status_report(status, &s);
	said(fd, text);
	cr_expect_not_null(strstr(text, " hint=\"no process is traced: "));
	cr_expect_not_null(strstr(text, "level=warn msg=\"hooks are not attached\""));
	cr_expect_not_null(strstr(text, "level=warn msg=stalled why=\"the pipeline has not read"));
}

Test(status, finish)
{
	int fd = catch_stderr();
	struct snapshot s = running();
	_free_ struct status *status = malloc(sizeof(*status));
	char text[8192];

	status_init(status, &OTLP);
	status_report(status, &s);
	said(fd, text);
	status_finish(status, &s);
	cr_expect_str_eq(said(fd, text),
		"level=info msg=stopped processes=4 connections=9 records=50 requests=6 spans=6 "
		"lost=0 otlp=ok otlp_sent=6\n",
		"totals, and books that balance say nothing");
	s.kernel[WEFT_COUNT_SEEN] = 51;
	status_finish(status, &s);
	cr_expect_not_null(strstr(said(fd, text),
		"level=error msg=\"the books do not balance\" equation=\"kernel: seen = "));
	cr_expect_not_null(strstr(text, " left=51 right=50\n"));
}
