/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/http_fill.h"

#include "proto/exchange.h"
#include "proto/http_fields.h"

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

static struct slice host_of(const struct http_request *request)
{
	struct slice authority = request->authority;

	if (!authority.len && request->target.len)
		authority = target_authority(request->target);
	if (authority.len)
		return authority;
	/* RFC 9112, 3.2.3: authority-form */
	if (!request->fields->host.len && slice_eq(request->method, SLICE("CONNECT")))
		return request->target;
	return request->fields->host;
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
	struct exchange *ex, const struct http_fields *fields, bool *ret_cut)
{
	struct slice joined = slice_of(ex->text + ex->text_used, 0);

	for (unsigned i = 0; i < fields->n; i++) {
		struct slice value = fields->v[i].value;

		if (!value.len || !slice_eq_nocase(fields->v[i].name, SLICE("tracestate")))
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

/* What the content's type says of the call: "application/grpc", with or without "+proto" and the
 * like (gRPC over HTTP2, Requests), or gRPC-Web's own. */
static enum http_rpc rpc_of(struct slice type)
{
	static const struct slice GRPC = {"application/grpc", 16}, WEB = {"-web", 4};

	if (!slice_starts(type, GRPC))
		return HTTP_RPC_NONE;
	type.ptr += GRPC.len;
	type.len -= GRPC.len;
	if (slice_starts(type, WEB))
		return HTTP_RPC_GRPC_WEB;
	return !type.len || memchr("+; ", *type.ptr, 3) ? HTTP_RPC_GRPC : HTTP_RPC_NONE;
}

bool http_fill_request(struct exchange *ex, const struct http_request *request)
{
	const struct http_fields *fields = request->fields;
	struct http_call *http = &ex->http;
	struct slice x_forwarded_for = fields->x_forwarded_for;
	struct slice forwarded = slice_trim(slice_cut(&x_forwarded_for, ','));
	size_t room;
	bool cut = fields->cut;

	http->rpc = rpc_of(fields->content_type);
	http->method = keep(ex, request->method, METHOD_KEPT, &cut);
	http->scheme = keep(ex, request->scheme, METHOD_KEPT, &cut);
	/* W3C Trace Context, 3.2: what is not there exactly once is not there */
	if (fields->traceparents == 1 && fields->traceparent.len <= TRACEPARENT_KEPT)
		http->traceparent = keep(ex, fields->traceparent, TRACEPARENT_KEPT, &cut);
	http->host = keep(ex, host_of(request), HOST_KEPT, &cut);
	if (!forwarded.len)
		forwarded = forwarded_for(fields->forwarded);
	http->forwarded_for = keep(ex, forwarded, FORWARDED_KEPT, &cut);
	http->user_agent = keep(ex, fields->user_agent, AGENT_KEPT, &cut);
	http->tracestate =
		fields->tracestates > 1
			? join_tracestate(ex, fields, &cut)
			: keep(ex, cut_tracestate(fields->tracestate, &cut), TRACESTATE_KEPT, &cut);
	room = EXCHANGE_TEXT - ex->text_used;
	http->target =
		keep(ex, request->target, room > HEADERS_ROOM ? room - HEADERS_ROOM : room, &cut);
	return cut;
}

void http_fill_begun(struct exchange *ex, struct slice method, struct slice target)
{
	bool cut = false;

	ex->http.method = keep(ex, method, METHOD_KEPT, &cut);
	ex->http.target = keep(ex, target, EXCHANGE_TEXT, &cut);
}

void http_fill_rpc_status(struct exchange *ex, const struct http_fields *fields)
{
	uint64_t status;

	if (!fields->grpc_status.ptr || slice_u64(fields->grpc_status, &status) < 0 ||
		status > UINT32_MAX)
		return;
	ex->http.has_rpc_status = true;
	ex->http.rpc_status = (uint32_t)status;
}
