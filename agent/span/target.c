/* SPDX-License-Identifier: Apache-2.0 */
#include "span/target.h"

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static uint16_t port_parse(struct slice s)
{
	uint64_t port;

	if (s.len > 5 || slice_u64(s, &port) || port > UINT16_MAX)
		return 0;
	return (uint16_t)port;
}

struct authority authority_parse(struct slice s)
{
	struct authority ret = {0};
	const char *at;

	if (!s.ptr || !s.len)
		return ret;
	at = memrchr(s.ptr, '@', s.len);
	if (at)
		s = slice_of(at + 1, s.len - (size_t)(at + 1 - s.ptr));
	if (s.len && s.ptr[0] == '[') {
		const char *end = memchr(s.ptr, ']', s.len);
		size_t used;

		if (!end)
			return ret;
		ret.host = slice_of(s.ptr + 1, (size_t)(end - s.ptr - 1));
		used = (size_t)(end + 1 - s.ptr);
		if (used < s.len && s.ptr[used] == ':')
			ret.port = port_parse(slice_of(s.ptr + used + 1, s.len - used - 1));
		return ret;
	}
	/* An IPv6 address without brackets is not allowed, but sent: its colons are no port's. */
	if (s.len && memchr(s.ptr, ':', s.len) != memrchr(s.ptr, ':', s.len)) {
		ret.host = s;
		return ret;
	}
	ret.host = slice_cut(&s, ':');
	ret.port = port_parse(s);
	return ret;
}

/* RFC 3986, 3.1: the length of "scheme" if "://" follows, else 0. */
static size_t scheme_len(struct slice s)
{
	size_t n = 0;

	if (!s.len || !is_alpha(s.ptr[0]))
		return 0;
	while (n < s.len && (is_alpha(s.ptr[n]) || is_digit(s.ptr[n]) || s.ptr[n] == '+' ||
				    s.ptr[n] == '-' || s.ptr[n] == '.'))
		n++;
	return s.len - n >= 3 && memcmp(s.ptr + n, "://", 3) == 0 ? n : 0;
}

void target_parse(struct slice s, bool is_connect, struct target *ret_target)
{
	struct target t = {.form = TARGET_ORIGIN};
	size_t n;

	if (is_connect) {
		t.form = TARGET_AUTHORITY;
		t.authority = s;
		t.has_user = s.len && memchr(s.ptr, '@', s.len);
		*ret_target = t;
		return;
	}
	s = slice_cut(&s, '#');
	n = scheme_len(s);
	if (n) {
		t.form = TARGET_ABSOLUTE;
		t.scheme = slice_of(s.ptr, n);
		s = slice_of(s.ptr + n + 3, s.len - n - 3);
		for (n = 0; n < s.len && s.ptr[n] != '/' && s.ptr[n] != '?'; n++)
			;
		t.authority = slice_of(s.ptr, n);
		t.has_user = n && memchr(s.ptr, '@', n);
		s = slice_of(s.ptr + n, s.len - n);
	} else if (slice_eq(s, SLICE("*"))) {
		t.form = TARGET_ASTERISK;
	}
	t.has_query = s.len && memchr(s.ptr, '?', s.len);
	t.path = slice_cut(&s, '?');
	if (t.has_query)
		t.query = s;
	if (t.form == TARGET_ABSOLUTE && !t.path.len)
		t.path = SLICE("/");
	*ret_target = t;
}

struct slice forwarded_address(struct slice s)
{
	const struct slice none = {NULL, 0};

	s = slice_trim(s);
	if (s.len && s.ptr[0] == '"') {
		s = slice_of(s.ptr + 1, s.len - 1);
		s = slice_cut(&s, '"');
	}
	if (!s.len || s.ptr[0] == '_' || slice_eq_nocase(s, SLICE("unknown")))
		return none;
	return authority_parse(s).host;
}
