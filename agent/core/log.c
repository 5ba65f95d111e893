/* SPDX-License-Identifier: Apache-2.0 */
#include "core/log.h"
#include "core/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096
/* Kept free for what ends a line that had to be cut: quotes, brackets, the mark and the newline. */
#define LINE_TAIL 32

struct line {
	size_t len;
	bool json;
	bool cut;
	char buf[LINE_MAX_BYTES];
};

static int log_level_now = LOG_INFO;
static int log_format_now = LOG_LOGFMT;

void log_set(enum log_level level, enum log_format format)
{
	__atomic_store_n(&log_level_now, (int)level, __ATOMIC_RELAXED);
	__atomic_store_n(&log_format_now, (int)format, __ATOMIC_RELAXED);
}

bool log_wants(enum log_level level)
{
	return (int)level >= __atomic_load_n(&log_level_now, __ATOMIC_RELAXED);
}

/* Whole or not at all, so that a cut never splits an escape or a character. */
static bool line_put(struct line *l, const char *s, size_t n)
{
	if (l->cut || n > LINE_MAX_BYTES - LINE_TAIL - l->len) {
		l->cut = true;
		return false;
	}
	memcpy(l->buf + l->len, s, n);
	l->len += n;
	return true;
}

/* The reserve is for this: a closing quote or bracket is always written. */
static void line_close(struct line *l, const char *s)
{
	size_t n = strlen(s);

	memcpy(l->buf + l->len, s, n);
	l->len += n;
}

/* The length of the UTF-8 character at s, 0 if it is none (RFC 3629, 4). */
static size_t utf8_len(const unsigned char *s, size_t left, uint32_t *ret_code)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t code;
	size_t n;

	if (s[0] < 0x80) {
		*ret_code = s[0];
		return 1;
	} else if ((s[0] & 0xe0) == 0xc0) {
		n = 2;
		code = s[0] & 0x1f;
	} else if ((s[0] & 0xf0) == 0xe0) {
		n = 3;
		code = s[0] & 0x0f;
	} else if ((s[0] & 0xf8) == 0xf0) {
		n = 4;
		code = s[0] & 0x07;
	} else {
		return 0;
	}
	if (n > left)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	if (code < smallest[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return n;
}

/* Also escapes DEL and the C1 controls: a log is read in terminals. */
static bool is_control(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

static void line_escaped(struct line *l, const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;

	for (size_t i = 0; i < len && !l->cut;) {
		uint32_t code = 0;
		size_t n = utf8_len(p + i, len - i, &code);
		char escape[8];

		if (!n) {
			line_put(l, "\xef\xbf\xbd", 3); /* U+FFFD */
			i++;
			continue;
		}
		if (code == '"' || code == '\\') {
			escape[0] = '\\';
			escape[1] = (char)code;
			line_put(l, escape, 2);
		} else if (code == '\n') {
			line_put(l, "\\n", 2);
		} else if (code == '\t') {
			line_put(l, "\\t", 2);
		} else if (code == '\r') {
			line_put(l, "\\r", 2);
		} else if (is_control(code)) {
			snprintf(escape, sizeof(escape), "\\u%04x", (unsigned)code);
			line_put(l, escape, 6);
		} else {
			line_put(l, s + i, n);
		}
		i += n;
	}
}

static bool is_bare(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (s[i] <= ' ' || s[i] > '~' || s[i] == '=' || s[i] == '"' || s[i] == '\\')
			return false;
	return len > 0;
}

static void line_string(struct line *l, const char *s)
{
	size_t len = strlen(s);

	if (!l->json && is_bare(s, len)) {
		/* A long word is cut in its middle rather than left out. */
		size_t room = LINE_MAX_BYTES - LINE_TAIL - l->len;

		line_put(l, s, len < room ? len : room);
		l->cut |= len > room;
		return;
	}
	if (!line_put(l, "\"", 1))
		return;
	line_escaped(l, s, len);
	line_close(l, "\"");
}

/* The separator and the key; false if there is no room for a value behind it. */
static bool line_key(struct line *l, const char *key)
{
	size_t n = strlen(key);

	if (l->cut || LINE_MAX_BYTES - LINE_TAIL - l->len < n + 32) {
		l->cut = true;
		return false;
	}
	if (l->json) {
		line_put(l, l->len > 1 ? ",\"" : "\"", l->len > 1 ? 2 : 1);
		line_put(l, key, n);
		line_put(l, "\":", 2);
	} else {
		line_put(l, " ", l->len ? 1 : 0);
		line_put(l, key, n);
		line_put(l, "=", 1);
	}
	return true;
}

static void line_time(struct line *l)
{
	struct timespec now;
	struct tm tm;
	char text[40];
	size_t n;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, sizeof(text) - n, ".%03dZ", (int)(now.tv_nsec / 1000000));
	if (line_key(l, "time"))
		line_string(l, text);
}

void log_event(enum log_level level, const char *msg, const struct log_field *fields, int n)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};
	struct line l;
	ssize_t written;

	l.len = 0;
	l.cut = false;
	l.json = __atomic_load_n(&log_format_now, __ATOMIC_RELAXED) == LOG_JSON;
	if (l.json)
		line_put(&l, "{", 1);
	line_time(&l);
	if (line_key(&l, "level"))
		line_string(&l, names[level]);
	if (line_key(&l, "msg"))
		line_string(&l, msg);
	for (int i = 0; i < n && line_key(&l, fields[i].key); i++) {
		char number[24];

		if (fields[i].str) {
			line_string(&l, fields[i].str);
			continue;
		}
		snprintf(number, sizeof(number), "%" PRId64, fields[i].num);
		line_put(&l, number, strlen(number));
	}
	if (l.cut)
		line_close(&l, l.json ? ",\"cut\":true" : " cut=true");
	line_close(&l, l.json ? "}\n" : "\n");

	do
		written = write(STDERR_FILENO, l.buf, l.len);
	while (written < 0 && errno == EINTR);
}

bool log_limit_pass(struct log_limit *limit, uint64_t interval_ns, uint64_t *ret_suppressed)
{
	uint64_t now = clock_monotonic();
	uint64_t next = __atomic_load_n(&limit->next_ns, __ATOMIC_RELAXED);

	if (now < next || !__atomic_compare_exchange_n(&limit->next_ns, &next, now + interval_ns,
				  false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
		__atomic_fetch_add(&limit->held, 1, __ATOMIC_RELAXED);
		return false;
	}
	*ret_suppressed = __atomic_exchange_n(&limit->held, 0, __ATOMIC_RELAXED);
	return true;
}
