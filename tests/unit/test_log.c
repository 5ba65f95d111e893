/* SPDX-License-Identifier: Apache-2.0 */
#include "core/log.h"
#include "core/clock.h"
#include "core/cleanup.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <string.h>

#define LINE_BYTES 8192

/* stderr goes into a pipe, each write one packet, so that a line written in two parts shows. */
static int catch_stderr(void)
{
	int ends[2];

	cr_assert_eq(pipe2(ends, O_DIRECT), 0);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	return ends[0];
}

static const char *read_line(int fd, char line[static LINE_BYTES])
{
	ssize_t n = read(fd, line, LINE_BYTES - 1);

	cr_assert_gt(n, 0);
	line[n] = '\0';
	return line;
}

/* What follows the time, which is checked for its form. */
static const char *after_time(const char *line)
{
	unsigned y, mo, d, h, mi, s, ms;
	int n = 0;

	cr_assert_eq(sscanf(line, "time=%4u-%2u-%2uT%2u:%2u:%2u.%3uZ %n", &y, &mo, &d, &h, &mi, &s,
			     &ms, &n),
		7, "%s", line);
	cr_assert_eq(n, 30);
	cr_assert_geq(y, 2024);
	return line + n;
}

Test(log, logfmt)
{
	static const struct {
		const char *value, *written;
	} cases[] = {
		{"plain", "plain"},
		{"", "\"\""},
		{"two words", "\"two words\""},
		{"a=b", "\"a=b\""},
		{"say \"hi\"", "\"say \\\"hi\\\"\""},
		{"back\\slash", "\"back\\\\slash\""},
		{"new\nline\r\t", "\"new\\nline\\r\\t\""},
		{"esc\x1b[31m", "\"esc\\u001b[31m\""},
		{"del\x7f", "\"del\\u007f\""},
		{"c1 \xc2\x9b", "\"c1 \\u009b\""},
		{"gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\""},
		{"bad\xff\xc3", "\"bad\xef\xbf\xbd\xef\xbf\xbd\""},
		{"\xc0\x80 overlong", "\"\xef\xbf\xbd\xef\xbf\xbd overlong\""},
		{"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
		{"\xf0\x9f\x90\x9d", "\"\xf0\x9f\x90\x9d\""},
	};
	int fd = catch_stderr();
	char line[LINE_BYTES], expected[256];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		log_info("said", LOG_STR("v", cases[i].value), LOG_INT("n", -5));
		snprintf(expected, sizeof(expected), "level=info msg=said v=%s n=-5\n",
			cases[i].written);
		cr_expect_str_eq(after_time(read_line(fd, line)), expected);
	}
	log_warn("two words");
	cr_expect_str_eq(after_time(read_line(fd, line)), "level=warn msg=\"two words\"\n");
	log_error("null", LOG_STR("v", NULL));
	cr_expect_str_eq(after_time(read_line(fd, line)), "level=error msg=null v=\"\"\n");
}

Test(log, json)
{
	int fd = catch_stderr();
	char line[LINE_BYTES];
	const char *hostile = "a\"b\\\n\x01\x7f\xff gr\xc3\xbc";
	json_t *root;

	log_set(LOG_INFO, LOG_JSON);
	log_info("m", LOG_STR("v", hostile), LOG_INT("n", INT64_MIN));
	root = json_loads(read_line(fd, line), 0, NULL);
	cr_assert_not_null(root, "%s", line);
	cr_expect_str_eq(json_string_value(json_object_get(root, "v")),
		"a\"b\\\n\x01\x7f\xef\xbf\xbd gr\xc3\xbc");
	cr_expect_eq(json_integer_value(json_object_get(root, "n")), INT64_MIN);
	cr_expect_str_eq(json_string_value(json_object_get(root, "level")), "info");
	json_decref(root);
}

/* Whatever is cut, the line is whole: at most 4096 bytes, one newline at its end, JSON still JSON.
 */
Test(log, cut)
{
	int fd = catch_stderr();
	char line[LINE_BYTES];
	char value[5001];

	for (int json = 0; json < 2; json++) {
		log_set(LOG_INFO, json ? LOG_JSON : LOG_LOGFMT);
		for (size_t len = 3900; len < sizeof(value) - 1; len += len < 4110 ? 1 : 97) {
			memset(value, len % 3 ? 'x' : '\n', len);
			value[len] = '\0';
			log_info("m", LOG_STR("a", value), LOG_STR("b", "\xc3\xbc"),
				LOG_INT("c", INT64_MIN));
			read_line(fd, line);
			cr_assert_leq(strlen(line), 4096);
			cr_assert_eq(strchr(line, '\n'), line + strlen(line) - 1);
			if (json) {
				json_t *root = json_loads(line, 0, NULL);

				cr_assert_not_null(root, "length %zu: %s", len, line + 3900);
				json_decref(root);
			}
			if (len > 4096)
				cr_assert_not_null(
					strstr(line, json ? "\"cut\":true}" : " cut=true"));
		}
	}
}

Test(log, level)
{
	int fd = catch_stderr();
	char line[LINE_BYTES];

	log_debug("hidden");
	cr_expect_not(log_wants(LOG_DEBUG));
	log_set(LOG_ERROR, LOG_LOGFMT);
	log_warn("hidden");
	log_error("seen");
	cr_expect_str_eq(after_time(read_line(fd, line)), "level=error msg=seen\n");
	log_set(LOG_DEBUG, LOG_LOGFMT);
	log_debug("seen");
	cr_expect_str_eq(after_time(read_line(fd, line)), "level=debug msg=seen\n");
}

Test(log, limit)
{
	struct log_limit limit = {0};
	uint64_t held = 99;

	cr_assert(log_limit_pass(&limit, 50 * NS_PER_MS, &held));
	cr_assert_eq(held, 0);
	for (int i = 0; i < 7; i++)
		cr_assert_not(log_limit_pass(&limit, 50 * NS_PER_MS, &held));
	nanosleep(&(struct timespec){.tv_nsec = 60 * NS_PER_MS}, NULL);
	cr_assert(log_limit_pass(&limit, 50 * NS_PER_MS, &held));
	cr_assert_eq(held, 7);
}

#define THREADS 4
#define LINES   200

static void *write_lines(void *arg)
{
	for (int i = 0; i < LINES; i++)
		log_info("m", LOG_STR("who", arg), LOG_INT("i", i));
	return NULL;
}

Test(log, threads)
{
	static char names[THREADS][2] = {"a", "b", "c", "d"};
	int fd = catch_stderr();
	pthread_t threads[THREADS];
	char line[LINE_BYTES];

	for (int i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, write_lines, names[i]), 0);
	for (int i = 0; i < THREADS * LINES; i++)
		cr_assert_eq(
			strncmp(after_time(read_line(fd, line)), "level=info msg=m who=", 21), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}
