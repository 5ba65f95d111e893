/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/http1_fill.h"

#include "proto/exchange.h"
#include "proto/http1_head.h"

/* The short ones go first, so that it is the target that is cut; some room stays for the headers
 * that the configuration asks for. */
#define METHOD_KEPT      32
#define TRACEPARENT_KEPT 128
#define TRACESTATE_KEPT  512 /* W3C Trace Context, 3.3.1.5: propagate at least this much */
#define HOST_KEPT        255
#define FORWARDED_KEPT   64
#define AGENT_KEPT       256
#define HEADERS_ROOM     256

/* Cut at max bytes, never within a UTF-8 sequence. */
static struct slice keep(struct exchange *ex, struct slice s, size_t max, bool *ret_cut)
{
	size_t room = EXCHANGE_TEXT - ex->text_used;

	if (max > room)
		max = room;
	if (s.len > max) {
		*ret_cut = true;
		s.len = max;
		while (s.len && max - s.len < 4 && ((unsigned char)s.ptr[s.len] & 0xc0) == 0x80)
			s.len--;
	}
	return exchange_keep(ex, s, ret_cut);
}

/* RFC 9112, 3.2.2: the authority of an absolute-form target, without user information. */
static struct slice target_authority(struct slice target)
{
	const char *colon = target.len ? memchr(target.ptr, ':', target.len) : NULL;
	struct slice rest;
	size_t n = 0;

	if (*target.ptr == '/' || !colon)
		return (struct slice){NULL, 0};
	rest = slice_of(colon, (size_t)(target.ptr + target.len - colon));
	if (!slice_starts(rest, SLICE("://")))
		return (struct slice){NULL, 0};
	rest.ptr += 3;
	rest.len -= 3;
	while (n < rest.len && rest.ptr[n] != '/' && rest.ptr[n] != '?' && rest.ptr[n] != '#')
		n++;
	rest.len = n;
	while (n && rest.ptr[n - 1] != '@')
		n--;
	return slice_of(rest.ptr + n, rest.len - n);
}

static struct slice host_of(const struct http1_head *head)
{
	struct slice authority = target_authority(head->start.target);

	if (authority.len)
		return authority;
	/* RFC 9112, 3.2.3: authority-form */
	if (!head->host.len && slice_eq(head->start.method, SLICE("CONNECT")))
		return head->start.target;
	return head->host;
}

/* The first for= of a Forwarded field (RFC 7239, 4). */
static struct slice forwarded_for(struct slice value)
{
	struct slice element = slice_cut(&value, ',');

	do {
		struct slice pair = slice_trim(slice_cut(&element, ';'));
		struct slice key = slice_trim(slice_cut(&pair, '='));

		pair = slice_trim(pair);
		if (!slice_eq_nocase(key, SLICE("for")))
			continue;
		if (pair.len >= 2 && pair.ptr[0] == '"' && pair.ptr[pair.len - 1] == '"')
			return slice_of(pair.ptr + 1, pair.len - 2);
		return pair;
	} while (element.ptr);
	return (struct slice){NULL, 0};
}

/* W3C Trace Context, 3.3.1: several fields are one list. */
static struct slice join_tracestate(
	struct exchange *ex, const struct http1_head *head, bool *ret_cut)
{
	struct slice joined = slice_of(ex->text + ex->text_used, 0);

	for (unsigned i = 0; i < head->n; i++) {
		struct slice value = head->fields[i].value;

		if (!value.len || !slice_eq_nocase(head->fields[i].name, SLICE("tracestate")))
			continue;
		if (joined.len + 1 + value.len > TRACESTATE_KEPT) {
			*ret_cut = true; /* a member is kept whole or not at all */
			break;
		}
		if (joined.len)
			joined.len += exchange_keep(ex, SLICE(","), ret_cut).len;
		joined.len += exchange_keep(ex, value, ret_cut).len;
	}
	return joined;
}

/* One field: members from the left, each whole. */
static struct slice cut_tracestate(struct slice value, bool *ret_cut)
{
	if (value.len <= TRACESTATE_KEPT)
		return value;
	*ret_cut = true;
	value.len = TRACESTATE_KEPT + 1;
	while (value.len && value.ptr[value.len - 1] != ',')
		value.len--;
	if (value.len)
		value.len--;
	return value;
}

bool http1_fill_request(struct exchange *ex, const struct http1_head *head)
{
	struct http_call *http = &ex->http;
	struct slice x_forwarded_for = head->x_forwarded_for;
	struct slice forwarded = slice_trim(slice_cut(&x_forwarded_for, ','));
	size_t room;
	bool cut = head->cut;

	http->request_minor = head->start.minor;
	http->method = keep(ex, head->start.method, METHOD_KEPT, &cut);
	/* W3C Trace Context, 3.2: what is not there exactly once is not there */
	if (head->traceparents == 1 && head->traceparent.len <= TRACEPARENT_KEPT)
		http->traceparent = keep(ex, head->traceparent, TRACEPARENT_KEPT, &cut);
	http->host = keep(ex, host_of(head), HOST_KEPT, &cut);
	if (!forwarded.len)
		forwarded = forwarded_for(head->forwarded);
	http->forwarded_for = keep(ex, forwarded, FORWARDED_KEPT, &cut);
	http->user_agent = keep(ex, head->user_agent, AGENT_KEPT, &cut);
	http->tracestate = head->tracestates > 1 ? join_tracestate(ex, head, &cut)
						 : keep(ex, cut_tracestate(head->tracestate, &cut),
							   TRACESTATE_KEPT, &cut);
	room = EXCHANGE_TEXT - ex->text_used;
	http->target = keep(
		ex, head->start.target, room > HEADERS_ROOM ? room - HEADERS_ROOM : room, &cut);
	return cut;
}

void http1_fill_begun(struct exchange *ex, const struct http1_start *start)
{
	bool cut = false;

	ex->http.request_minor = start->minor;
	ex->http.method = keep(ex, start->method, METHOD_KEPT, &cut);
	ex->http.target = keep(ex, start->target, EXCHANGE_TEXT, &cut);
}

void http1_fill_reply(struct exchange *ex, const struct http1_head *head)
{
	ex->http.status = head->start.status;
	ex->http.reply_minor = head->start.minor;
}
