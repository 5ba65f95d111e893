/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/http1_head.h"

#include "proto/http_fill.h"

#define METHOD_MAX 32
#define DETECT_FAR 256 /* how far an unfinished line is looked at */

/* RFC 9110, 5.6.2: tchar */
static const bool TOKEN[256] = {
	['!'] = 1,
	['#'] = 1,
	['$'] = 1,
	['%'] = 1,
	['&'] = 1,
	['\''] = 1,
	['*'] = 1,
	['+'] = 1,
	['-'] = 1,
	['.'] = 1,
	['^'] = 1,
	['_'] = 1,
	['`'] = 1,
	['|'] = 1,
	['~'] = 1,
	['0' ... '9'] = 1,
	['A' ... 'Z'] = 1,
	['a' ... 'z'] = 1,
};

static bool is_token(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!TOKEN[(unsigned char)s.ptr[i]])
			return false;
	return s.len != 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_printed(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.ptr[i] < ' ' || s.ptr[i] == 0x7f)
			return false;
	return true;
}

struct slice http1_skip_empty(struct slice in)
{
	while (in.len && (*in.ptr == '\r' || *in.ptr == '\n')) {
		in.ptr++;
		in.len--;
	}
	return in;
}

/* The line at the start of *in without its end (RFC 9112, 2.2: a bare LF will do), removed from
 * *in. */
static bool line_cut(struct slice *in, struct slice *ret_line)
{
	const char *lf = in->len ? memchr(in->ptr, '\n', in->len) : NULL;
	size_t len;

	if (!lf)
		return false;
	len = (size_t)(lf - in->ptr);
	*ret_line = slice_of(in->ptr, len && lf[-1] == '\r' ? len - 1 : len);
	in->ptr += len + 1;
	in->len -= len + 1;
	return true;
}

/* "HTTP/1.x" at the end of a request line. */
static bool version_parse(struct slice s, uint8_t *ret_minor)
{
	if (s.len != 8 || memcmp(s.ptr, "HTTP/1.", 7) != 0 || !is_digit(s.ptr[7]))
		return false;
	*ret_minor = (uint8_t)(s.ptr[7] - '0');
	return true;
}

/* RFC 9112, 3: method SP request-target SP HTTP-version; blanks within the target are borne. */
static bool request_line(struct slice line, struct http1_start *start)
{
	struct slice method = slice_cut(&line, ' ');

	line = slice_trim(line);
	if (!is_token(method) || method.len > METHOD_MAX || line.len < 10 ||
		line.ptr[line.len - 9] != ' ' ||
		!version_parse(slice_of(line.ptr + line.len - 8, 8), &start->minor))
		return false;
	start->method = method;
	start->target = slice_trim(slice_of(line.ptr, line.len - 9));
	return start->target.len && is_printed(start->target);
}

/* RFC 9112, 4: HTTP-version SP 3DIGIT SP [ reason-phrase ] */
static bool status_line(struct slice line, struct http1_start *start)
{
	const char *p = line.ptr;

	if (line.len < 12 || p[8] != ' ' || !version_parse(slice_of(p, 8), &start->minor))
		return false;
	if (p[9] < '1' || p[9] > '9' || !is_digit(p[10]) || !is_digit(p[11]))
		return false;
	if (line.len > 12 && p[12] != ' ')
		return false;
	start->status = (uint16_t)((p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0'));
	return true;
}

enum detect http1_detect_request(struct slice in)
{
	struct slice rest = http1_skip_empty(in);
	struct http1_start start;
	struct slice line = rest;
	size_t n = 0;

	if (line_cut(&rest, &line))
		return request_line(line, &start) ? DETECT_REQUEST : DETECT_NO;
	while (n < line.len && n <= METHOD_MAX && TOKEN[(unsigned char)line.ptr[n]])
		n++;
	if (n > METHOD_MAX || in.len >= HTTP1_HEAD_MAX)
		return DETECT_NO;
	if (n < line.len && (n == 0 || line.ptr[n] != ' '))
		return DETECT_NO;
	for (; n < line.len && n < DETECT_FAR; n++)
		if ((unsigned char)line.ptr[n] < ' ' && line.ptr[n] != '\r')
			return DETECT_NO;
	return DETECT_MORE;
}

enum detect http1_detect_reply(struct slice in)
{
	static const char MODEL[] = "HTTP/1.0 000";
	struct slice rest = http1_skip_empty(in);
	struct http1_start start;
	struct slice line = rest;

	if (line_cut(&rest, &line))
		return status_line(line, &start) ? DETECT_REPLY : DETECT_NO;
	for (size_t i = 0; i < line.len && i < sizeof(MODEL) - 1; i++)
		if (MODEL[i] == '0' ? !is_digit(line.ptr[i]) : line.ptr[i] != MODEL[i])
			return DETECT_NO;
	return in.len < HTTP1_HEAD_MAX ? DETECT_MORE : DETECT_NO;
}

bool http1_head_begun(struct slice in, struct http1_start *ret_start)
{
	struct http1_start start = {.minor = 1};
	struct slice line, rest = in;

	if (line_cut(&rest, &line)) {
		if (!request_line(line, &start))
			return false;
	} else {
		start.method = slice_cut(&in, ' ');
		if (!in.len || !is_token(start.method) || start.method.len > METHOD_MAX)
			return false;
		start.target = slice_cut(&in, '?');
		if (!in.ptr || *start.target.ptr != '/' || !is_printed(start.target))
			start.target = (struct slice){NULL, 0};
	}
	*ret_start = start;
	return true;
}

/* A line that may never end (RFC 9110, 15.5.15) is a request's by its method and the path's slash.
 */
static bool line_begun(struct slice in)
{
	struct slice method = slice_cut(&in, ' ');

	return in.len && *in.ptr == '/' && is_token(method);
}

enum detect http1_detect(struct slice in)
{
	enum detect request = http1_detect_request(in);
	enum detect reply = http1_detect_reply(in);

	if (request == DETECT_REQUEST || (request == DETECT_MORE && line_begun(in)))
		return DETECT_REQUEST;
	if (reply == DETECT_REPLY)
		return reply;
	return request == DETECT_MORE ? request : reply;
}

/* What the fields say about the body. */
struct framing {
	bool chunked, coded, has_length, bad_length;
	uint64_t length;
};

/* RFC 9110, 8.6, and 9112, 6.3: equal values may be repeated, others make the message malformed. */
static void content_length(struct framing *f, struct slice value)
{
	do {
		uint64_t n = 0;

		if (slice_u64(slice_trim(slice_cut(&value, ',')), &n) < 0 || n > INT64_MAX ||
			(f->has_length && n != f->length))
			f->bad_length = true;
		f->has_length = true;
		f->length = n;
	} while (value.ptr);
}

/* RFC 9112, 6.1: the last coding of the last field decides. */
static void transfer_encoding(struct framing *f, struct slice value)
{
	do {
		struct slice coding = slice_trim(slice_cut(&value, ','));

		if (!coding.len || slice_eq_nocase(coding, SLICE("identity")))
			continue;
		f->chunked = slice_eq_nocase(coding, SLICE("chunked"));
		f->coded = !f->chunked;
	} while (value.ptr);
}

/* Those that frame the body. */
static void framing_note(struct framing *framing, struct slice name, struct slice value)
{
	switch (name.len << 8 | (unsigned char)(*name.ptr | 0x20)) {
	case 14 << 8 | 'c':
		if (slice_eq_nocase(name, SLICE("Content-Length")))
			content_length(framing, value);
		break;
	case 17 << 8 | 't':
		if (slice_eq_nocase(name, SLICE("Transfer-Encoding")))
			transfer_encoding(framing, value);
		break;
	}
}

static bool is_folded(struct slice rest)
{
	return rest.len && is_blank(*rest.ptr);
}

/* RFC 9112, 5.2: the lines that go on with a value, joined by one space each. */
static struct slice unfold(
	struct http1_head *head, size_t *used, struct slice value, struct slice *rest)
{
	char *to = head->folds + *used;
	size_t len = value.len;
	struct slice line;

	/* never more than the head: each fold replaces a line end and blanks by one space */
	memcpy(to, value.ptr, value.len);
	while (is_folded(*rest) && line_cut(rest, &line)) {
		line = slice_trim(line);
		if (!line.len)
			continue;
		to[len++] = ' ';
		memcpy(to + len, line.ptr, line.len);
		len += line.len;
	}
	*used += len;
	return slice_trim(slice_of(to, len));
}

/* RFC 9112, 5: field-name ":" OWS field-value OWS; blanks before the colon are borne. The hottest
 * lines of the parser: no calls. */
static bool field_parse(struct slice line, struct field *ret_field)
{
	const char *p = line.ptr, *end = line.ptr + line.len;

	while (p < end && TOKEN[(unsigned char)*p])
		p++;
	ret_field->name = slice_of(line.ptr, (size_t)(p - line.ptr));
	while (p < end && is_blank(*p))
		p++;
	if (p == end || *p != ':' || !ret_field->name.len)
		return false;
	p++;
	while (p < end && is_blank(*p))
		p++;
	while (p < end && is_blank(end[-1]))
		end--;
	ret_field->value = slice_of(p, (size_t)(end - p));
	return true;
}

static bool fields_parse(struct slice rest, struct http1_head *head, struct framing *framing)
{
	size_t folds = 0;
	struct slice line;

	while (line_cut(&rest, &line) && line.len) {
		struct field field;

		if (!field_parse(line, &field))
			return false;
		if (is_folded(rest))
			field.value = unfold(head, &folds, field.value, &rest);
		framing_note(framing, field.name, field.value);
		http_fields_add(&head->fields, field);
	}
	return true;
}

/* Where the head ends, 0 if not in these bytes. */
static size_t head_end(struct slice in, uint32_t *scanned)
{
	const char *end = in.ptr + in.len;
	const char *at = in.ptr + *scanned;

	while (at < end && (at = memchr(at, '\n', (size_t)(end - at)))) {
		const char *next = at + 1;

		if (next < end && *next == '\r')
			next++;
		if (next == end)
			break;
		if (*next == '\n')
			return (size_t)(next + 1 - in.ptr);
		at++;
	}
	*scanned = (uint32_t)(at ? (size_t)(at - in.ptr) : in.len);
	return 0;
}

static bool head_parse(struct slice in, bool reply, struct http1_head *head)
{
	struct framing framing = {0};
	struct slice line = in;

	if (memchr(in.ptr, '\0', in.len) || !line_cut(&in, &line))
		return false;
	memset(head, 0, offsetof(struct http1_head, fields.v));
	if (!(reply ? status_line(line, &head->start) : request_line(line, &head->start)))
		return false;
	if (!fields_parse(in, head, &framing))
		return false;
	/* RFC 9112, 6.3: Transfer-Encoding overrides Content-Length */
	if (framing.chunked)
		head->framing = HTTP1_CHUNKED;
	else if (framing.coded)
		head->framing = HTTP1_CODED;
	else if (framing.has_length)
		head->framing = HTTP1_LENGTH;
	head->length = framing.length;
	return head->framing != HTTP1_LENGTH || !framing.bad_length;
}

enum parse http1_head_parse(struct slice in, bool reply, uint32_t *scanned,
	struct http1_head *ret_head, size_t *ret_used)
{
	size_t end;

	if (in.len > HTTP1_HEAD_MAX)
		in.len = HTTP1_HEAD_MAX;
	end = head_end(in, scanned);
	if (!end) {
		enum detect detect = reply ? http1_detect_reply(in) : http1_detect_request(in);

		return detect == DETECT_NO || in.len == HTTP1_HEAD_MAX ? PARSE_BAD : PARSE_MORE;
	}
	if (!head_parse(slice_of(in.ptr, end), reply, ret_head))
		return PARSE_BAD;
	*ret_used = end;
	return PARSE_CONSUMED;
}

bool http1_fill(struct exchange *ex, const struct http1_head *head)
{
	ex->http.major = 1;
	ex->http.minor = head->start.minor;
	return http_fill_request(ex, &(struct http_request){
					     .method = head->start.method,
					     .target = head->start.target,
					     .fields = &head->fields,
				     });
}
