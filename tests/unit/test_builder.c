/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cleanup.h"
#include "builder_rig.h"
#include "guard.h"
#include "span/target.h"
#include "span/text.h"

#include <criterion/criterion.h>
#include <stdio.h>

Test(builder, server)
{
	struct span_builder *b = make();
	struct exchange *ex = call(ROLE_SERVER, "GET", "/orders/8731?page=2&token=x", 200);
	struct span span;

	ex->http.user_agent = SLICE("curl/8");
	ex->http.reply_body = 12;
	cr_assert_eq(span_build(b, ex, OFFSET, 0, &span), 0);
	cr_assert(named(&span, "GET /orders/{id}"));
	cr_assert_eq(span.kind, SPAN_SERVER);
	cr_assert_eq(span.status, SPAN_UNSET);
	cr_assert_eq(span.start_ns, OFFSET + 100);
	cr_assert_eq(span.end_ns, OFFSET + 200);
	cr_assert_eq(span.pid, 42);
	has(&span, "http.request.method", "GET");
	has(&span, "http.response.status_code", "200");
	has(&span, "http.route", "/orders/{id}");
	has(&span, "url.path", "/orders/8731");
	has(&span, "url.query", "page=2&token=REDACTED");
	has(&span, "url.scheme", "http");
	has(&span, "server.address", "bank.example");
	has(&span, "server.port", "8443");
	has(&span, "client.address", "10.0.0.2");
	has(&span, "network.peer.address", "10.0.0.2");
	has(&span, "network.peer.port", "40000");
	has(&span, "network.protocol.version", "1.1");
	has(&span, "user_agent.original", "curl/8");
	has(&span, "http.response.body.size", "12");
	cr_assert_eq(span.attr_count, 14);
	span_builder_free(b);
}

Test(builder, client)
{
	struct span_builder *b = make();
	struct exchange *ex = call(ROLE_CLIENT, "POST", "/pay?a=1&sig=x", 201);
	struct span span;

	ex->http.request_body = 7;
	cr_assert_eq(span_build(b, ex, OFFSET, 0, &span), 0);
	cr_assert(named(&span, "POST"));
	cr_assert_eq(span.kind, SPAN_CLIENT);
	has(&span, "http.request.method", "POST");
	has(&span, "http.response.status_code", "201");
	has(&span, "server.address", "bank.example");
	has(&span, "server.port", "8443");
	has(&span, "url.full", "http://bank.example:8443/pay?a=1&sig=REDACTED");
	has(&span, "network.peer.address", "10.0.0.2");
	has(&span, "network.protocol.version", "1.1");
	has(&span, "http.request.body.size", "7");
	cr_assert_eq(span.attr_count, 9);
	span_builder_free(b);
}

Test(builder, targets)
{
	static const struct {
		enum role role;
		const char *method, *target, *host;
		const char *name, *path, *query, *scheme, *full, *address, *port;
	} CASES[] = {
		{ROLE_SERVER, "OPTIONS", "*", "h", "OPTIONS", "*", "", "http", "", "h", "80"},
		{ROLE_SERVER, "CONNECT", "db:5432", "db:5432", "CONNECT", "", "", "http", "", "db",
			"5432"},
		{ROLE_SERVER, "GET", "http://u:p@o.example/a?b", "x", "GET /a", "/a", "b", "http",
			"", "o.example", "80"},
		{ROLE_SERVER, "GET", "HTTPS://o.example", "x", "GET /", "/", "", "https", "",
			"o.example", "443"},
		{ROLE_SERVER, "GET", "/x#frag", "[2001:db8::1]:81", "GET /x", "/x", "", "http", "",
			"2001:db8::1", "81"},
		{ROLE_SERVER, "GET", "/x?", "[::1]", "GET /x", "/x", "", "http", "", "::1", "80"},
		{ROLE_SERVER, "GET", "/x", "", "GET /x", "/x", "", "http", "", "10.0.0.1", "8080"},
		{ROLE_SERVER, "GET", "/x", "h:99999", "GET /x", "/x", "", "http", "", "h", "80"},
		{ROLE_SERVER, "GET", "", "h", "GET", "", "", "http", "", "h", "80"},
		{ROLE_CLIENT, "OPTIONS", "*", "h:80", "OPTIONS", "", "", "", "http://h", "h", "80"},
		{ROLE_CLIENT, "CONNECT", "db:5432", "db:5432", "CONNECT", "", "", "", "db:5432",
			"db", "5432"},
		{ROLE_CLIENT, "GET", "http://u:p@o.example/a?b", "x", "GET", "", "", "",
			"http://REDACTED:REDACTED@o.example/a?b", "o.example", "80"},
		{ROLE_CLIENT, "GET", "https://[::1]:444/a", "x", "GET", "", "", "",
			"https://[::1]:444/a", "::1", "444"},
		{ROLE_CLIENT, "GET", "/a", "h", "GET", "", "", "", "http://h:40000/a", "h",
			"40000"},
		{ROLE_CLIENT, "GET", "/a", "", "GET", "", "", "", "http://10.0.0.2:40000/a",
			"10.0.0.2", "40000"},
		{ROLE_CLIENT, "GET", "/a", "[", "GET", "", "", "", "http://10.0.0.2:40000/a",
			"10.0.0.2", "40000"},
	};
	struct span_builder *b = make();
	struct span span;

	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct exchange *ex = call(CASES[i].role, CASES[i].method, CASES[i].target, 200);

		ex->http.host = slice_str(CASES[i].host);
		span_build(b, ex, OFFSET, 0, &span);
		cr_assert(named(&span, CASES[i].name), "%zu: %.*s", i, (int)span.name.len,
			span.name.ptr);
		has(&span, "url.path", CASES[i].path);
		has(&span, "url.query", CASES[i].query);
		has(&span, "url.scheme", CASES[i].scheme);
		has(&span, "url.full", CASES[i].full);
		has(&span, "server.address", CASES[i].address);
		has(&span, "server.port", CASES[i].port);
	}
	span_builder_free(b);
}

Test(builder, outcomes)
{
	static const struct {
		enum role role;
		unsigned status;
		enum exchange_end end;
		enum span_status want;
		const char *error, *incomplete;
	} CASES[] = {
		{ROLE_SERVER, 404, END_PAIRED, SPAN_UNSET, "", ""},
		{ROLE_CLIENT, 404, END_PAIRED, SPAN_ERROR, "404", ""},
		{ROLE_CLIENT, 399, END_PAIRED, SPAN_UNSET, "", ""},
		{ROLE_SERVER, 500, END_PAIRED, SPAN_ERROR, "500", ""},
		{ROLE_CLIENT, 503, END_PAIRED, SPAN_ERROR, "503", ""},
		{ROLE_SERVER, 101, END_PAIRED, SPAN_UNSET, "", ""},
		{ROLE_CLIENT, 0, END_CLOSED, SPAN_ERROR, "connection_closed", ""},
		{ROLE_CLIENT, 200, END_CLOSED, SPAN_ERROR, "connection_closed", ""},
		{ROLE_CLIENT, 503, END_RESET, SPAN_ERROR, "503", ""},
		{ROLE_SERVER, 0, END_ABORTED, SPAN_ERROR, "aborted", ""},
		{ROLE_SERVER, 0, END_RESET, SPAN_ERROR, "connection_reset", ""},
		{ROLE_CLIENT, 0, END_TIMEOUT, SPAN_ERROR, "timeout", ""},
		{ROLE_CLIENT, 0, END_BAD, SPAN_ERROR, "bad_reply", ""},
		{ROLE_CLIENT, 0, END_HOLE, SPAN_UNSET, "", "lost"},
		{ROLE_CLIENT, 500, END_HOLE, SPAN_ERROR, "500", "lost"},
		{ROLE_SERVER, 0, END_EVICTED, SPAN_UNSET, "", "evicted"},
		{ROLE_SERVER, 0, END_SHUTDOWN, SPAN_UNSET, "", "shutdown"},
	};
	struct span_builder *b = make();
	struct span span;

	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct exchange *ex = call(CASES[i].role, "GET", "/", CASES[i].status);

		ex->end = CASES[i].end;
		ex->http.reply_body = 5;
		span_build(b, ex, OFFSET, 0, &span);
		cr_assert_eq(span.status, CASES[i].want, "%zu", i);
		has(&span, "error.type", CASES[i].error);
		has(&span, "weft.incomplete", CASES[i].incomplete);
		cr_assert_eq(!!find(&span, "http.response.status_code"), !!CASES[i].status);
		cr_assert_eq(!!find(&span, "http.response.body.size"), CASES[i].end == END_PAIRED);
	}
	span_builder_free(b);
}

Test(builder, failed_connect)
{
	static const struct {
		enum exchange_end end;
		const char *error;
	} CASES[] = {{END_REFUSED, "connection_refused"}, {END_TIMEOUT, "timeout"},
		{END_UNREACHABLE, "unreachable"}, {END_RESET, "connection_reset"}};
	struct span_builder *b = make();
	struct exchange ex = {.kind = EXCHANGE_CONNECT,
		.role = ROLE_CLIENT,
		.ends = &ENDS,
		.connect_ns = 50,
		.reply_end_ns = 90};
	struct span span;

	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		ex.end = CASES[i].end;
		cr_assert_eq(span_build(b, &ex, OFFSET, 0, &span), 0);
		cr_assert(named(&span, "connect"));
		cr_assert_eq(span.kind, SPAN_CLIENT);
		cr_assert_eq(span.status, SPAN_ERROR);
		cr_assert_eq(span.start_ns, OFFSET + 50);
		cr_assert_eq(span.end_ns, OFFSET + 90);
		has(&span, "error.type", CASES[i].error);
		has(&span, "server.address", "10.0.0.2");
		has(&span, "server.port", "40000");
		has(&span, "network.peer.address", "10.0.0.2");
		has(&span, "network.peer.port", "40000");
		cr_assert_eq(span.attr_count, 5);
	}
	span_builder_free(b);
}

Test(builder, times)
{
	static const struct {
		uint64_t start, request_end, reply_start, reply_end, want;
	} CASES[] = {
		{100, 110, 190, 200, 200},
		{100, 110, 190, 0, 190},
		{100, 110, 0, 0, 110},
		{100, 0, 0, 0, 100},
		{100, 110, 120, 90, 100},
		{100, 300, 150, 160, 160},
	};
	struct span_builder *b = make();
	struct span span;

	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct exchange *ex = call(ROLE_SERVER, "GET", "/", 200);

		ex->request_start_ns = CASES[i].start;
		ex->request_end_ns = CASES[i].request_end;
		ex->reply_start_ns = CASES[i].reply_start;
		ex->reply_end_ns = CASES[i].reply_end;
		span_build(b, ex, OFFSET, 0, &span);
		cr_assert_eq(span.start_ns, OFFSET + 100);
		cr_assert_eq(span.end_ns, OFFSET + CASES[i].want, "%zu", i);
	}
	span_builder_free(b);
}

Test(builder, methods)
{
	struct span_builder *b = make();
	struct span span;

	span_build(b, call(ROLE_CLIENT, "PURGE", "/", 200), OFFSET, 0, &span);
	cr_assert(named(&span, "HTTP"));
	has(&span, "http.request.method", "_OTHER");
	has(&span, "http.request.method_original", "PURGE");
	span_build(b, call(ROLE_SERVER, "get", "/a", 200), OFFSET, 0, &span);
	cr_assert(named(&span, "HTTP /a"));
	has(&span, "http.request.method_original", "get");
	span_build(b, call(ROLE_SERVER, "QUERY", "/a", 200), OFFSET, 0, &span);
	cr_assert(named(&span, "QUERY /a"));
	has(&span, "http.request.method_original", "");
	span_builder_free(b);
}

Test(builder, routes_come_from_known_paths)
{
	struct span_options options = {.max_routes = 2};
	struct span_builder *b = make_with(&options);
	struct span span;

	span_build(b, call(ROLE_SERVER, "GET", "/wp-admin", 404), OFFSET, 0, &span);
	cr_assert(named(&span, "GET"));
	has(&span, "http.route", "");
	span_build(b, call(ROLE_SERVER, "GET", "/wp-admin", 0), OFFSET, 0, &span);
	cr_assert(named(&span, "GET"));
	cr_assert_eq(span_build(b, call(ROLE_SERVER, "GET", "/a", 200), OFFSET, 0, &span), 0);
	cr_assert(named(&span, "GET /a"));
	cr_assert_eq(span_build(b, call(ROLE_SERVER, "GET", "/a", 404), OFFSET, 0, &span), 0);
	cr_assert(named(&span, "GET /a"));
	cr_assert_eq(span_build(b, call(ROLE_SERVER, "GET", "/b", 200), OFFSET, 0, &span),
		SPAN_NOTE_ROUTES_FULL);
	cr_assert(named(&span, "GET"));
	span_builder_free(b);
}

Test(builder, client_address)
{
	static const struct {
		const char *forwarded, *want;
	} CASES[] = {
		{"", "10.0.0.2"},
		{"192.0.2.60", "192.0.2.60"},
		{"192.0.2.60:4711", "192.0.2.60"},
		{"\"[2001:db8::17]:4711\"", "2001:db8::17"},
		{"2001:db8::17", "2001:db8::17"},
		{"unknown", "10.0.0.2"},
		{"_hidden", "10.0.0.2"},
		{"\"_x\"", "10.0.0.2"},
		{"\"\"", "10.0.0.2"},
		{"[", "10.0.0.2"},
		{" host ", "host"},
	};
	struct span_builder *b = make();
	struct span span;

	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct exchange *ex = call(ROLE_SERVER, "GET", "/", 200);

		ex->http.forwarded_for = slice_str(CASES[i].forwarded);
		span_build(b, ex, OFFSET, 0, &span);
		has(&span, "client.address", CASES[i].want);
		has(&span, "network.peer.address", "10.0.0.2");
	}
	span_builder_free(b);
}

Test(builder, query_can_be_left_out)
{
	struct span_options options = {.query = false, .max_routes = 10};
	struct span_builder *b = make_with(&options);
	struct span span;

	span_build(b, call(ROLE_SERVER, "GET", "/a?b=c", 200), OFFSET, 0, &span);
	has(&span, "url.query", "");
	span_build(b, call(ROLE_CLIENT, "GET", "/a?b=c", 200), OFFSET, 0, &span);
	has(&span, "url.full", "http://bank.example:8443/a");
	options.query = true;
	options.redact_query = (struct names){.n = 1, .v = {"b"}};
	span_builder_reload(b, &options);
	span_build(b, call(ROLE_SERVER, "GET", "/a?b=c", 200), OFFSET, 0, &span);
	has(&span, "url.query", "b=REDACTED");
	span_builder_free(b);
}

Test(builder, secrets_in_paths)
{
	struct span_builder *b = make();
	struct span span;

	span_build(b, call(ROLE_SERVER, "GET", "/a;x=1;jsessionid=9F/b=c/token=t", 200), OFFSET, 0,
		&span);
	has(&span, "url.path", "/a;x=1;jsessionid=REDACTED/b=c/token=REDACTED");
	has(&span, "http.route", "/a/{id}/{id}");
	span_build(b, call(ROLE_CLIENT, "GET", "/a;jsessionid=9F/b?c=d", 200), OFFSET, 0, &span);
	has(&span, "url.full", "http://bank.example:8443/a;jsessionid=REDACTED/b?c=d");
	span_builder_free(b);
}

Test(builder, headers)
{
	struct span_options options = {
		.request_headers = {.n = 4, .v = {"x-a", "Authorization", "referer", "absent"}},
		.reply_headers = {.n = 2, .v = {"set-cookie", "x-b"}},
	};
	const struct field asked[] = {
		{SLICE("X-A"), SLICE("1")},
		{SLICE("x-other"), SLICE("no")},
		{SLICE("x-a"), SLICE("2")},
		{SLICE("AUTHORIZATION"), SLICE("Basic c2VjcmV0")},
		{SLICE("Referer"), SLICE("http://u:p@h/?token=t")},
	};
	const struct field replied[] = {
		{SLICE("Set-Cookie"), SLICE("a=secret")},
		{SLICE("Set-Cookie"), SLICE("b=secret")},
		{SLICE("X-B"), SLICE("caf\xe9")},
	};
	struct span_builder *b = make_with(&options);
	struct exchange *ex = call(ROLE_SERVER, "GET", "/", 200);
	struct span span;

	cr_assert_not(span_keep_headers(b, ex, asked, ARRAY_SIZE(asked), false));
	cr_assert_not(span_keep_headers(b, ex, replied, ARRAY_SIZE(replied), true));
	cr_assert_null(memmem(ex->text, ex->text_used, "c2VjcmV0", 8));
	cr_assert_null(memmem(ex->text, ex->text_used, "secret", 6));
	span_build(b, ex, OFFSET, 0, &span);
	has(&span, "http.request.header.x-a", "[1, 2]");
	has(&span, "http.request.header.authorization", "[REDACTED]");
	has(&span, "http.request.header.referer", "[http://REDACTED:REDACTED@h/?token=REDACTED]");
	has(&span, "http.request.header.absent", "");
	has(&span, "http.response.header.set-cookie", "[REDACTED]");
	has(&span, "http.response.header.x-b", "[caf\xef\xbf\xbd]");

	options.request_headers.n = 1; /* a reload between the head and the end */
	span_builder_reload(b, &options);
	span_build(b, ex, OFFSET, 0, &span);
	has(&span, "http.request.header.x-a", "[1, 2]");
	has(&span, "http.request.header.referer", "");
	span_builder_free(b);
}

Test(builder, more_headers_than_an_exchange_keeps)
{
	struct span_options options = {.request_headers = {.n = 1, .v = {"x-a"}}};
	struct span_builder *b = make_with(&options);
	struct exchange *ex = call(ROLE_SERVER, "GET", "/", 200);
	struct field fields[EXCHANGE_KEPT + 1];

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		fields[i] = (struct field){SLICE("x-a"), SLICE("v")};
	cr_assert(span_keep_headers(b, ex, fields, ARRAY_SIZE(fields), false));
	cr_assert_eq(ex->kept_requests, EXCHANGE_KEPT);
	ex->kept_requests = 0;
	ex->text_used = EXCHANGE_TEXT;
	cr_assert(span_keep_headers(b, ex, fields, 1, false));
	span_builder_free(b);
}

static void all_utf8(const struct span *span)
{
	cr_assert_eq(utf8_prefix(span->name), span->name.len);
	for (unsigned i = 0; i < span->attr_count; i++)
		cr_assert_eq(utf8_prefix(span->attrs[i].str), span->attrs[i].str.len);
}

Test(builder, worst_text_fits_a_packed_span)
{
	struct span_options options = {.query = true, .max_routes = 100};
	_Alignas(8) static char packed[SPAN_PACK_MAX];
	static char state[512], text[EXCHANGE_TEXT];
	struct span_builder *b;
	unsigned notes;
	struct span span;

	options.request_headers.n = options.reply_headers.n = EXCHANGE_KEPT;
	for (unsigned i = 0; i < EXCHANGE_KEPT; i++) {
		memset(options.request_headers.v[i], 'a' + (int)i, NAMES_TEXT - 1);
		memset(options.reply_headers.v[i], 'a' + (int)i, NAMES_TEXT - 1);
	}
	b = make_with(&options);
	for (unsigned fill = 0; fill < 4; fill++) {
		memset(text, fill == 0 ? 'x' : fill == 1 ? 0xff : 0, sizeof(text));
		for (size_t i = 0; fill >= 2 && i < sizeof(text); i++)
			text[i] = fill == 2 ? "a\xff"[i % 2] : "&sig=1;"[i % 7];
		for (enum role role = ROLE_SERVER; role <= ROLE_CLIENT; role++) {
			struct exchange *ex = call(role, "GET", "/", 500);
			struct slice all = slice_of(text, sizeof(text));

			text[0] = '/';
			text[1] = fill % 2 ? '?' : 'x';
			ex->http.method = ex->http.target = ex->http.host = ex->http.user_agent =
				all;
			ex->http.forwarded_for = all;
			ex->http.reply_body = ex->http.request_body = INT64_MAX;
			ex->kept_requests = ex->kept_replies = EXCHANGE_KEPT;
			for (uint8_t i = 0; i < EXCHANGE_KEPT; i++) {
				ex->kept_request[i].name = ex->kept_reply[i].name = i;
				ex->kept_request[i].value = ex->kept_reply[i].value = all;
			}
			notes = span_build(b, ex, OFFSET, 0, &span);
			cr_assert_eq(!(notes & SPAN_NOTE_TEXT_CUT), fill == 1, "%u", fill);
			all_utf8(&span);
			span.trace_state = slice_of(state, sizeof(state));
			cr_assert_gt(span_pack(&span, packed, sizeof(packed)), 0);
		}
	}
	span_builder_free(b);
}

Test(builder, any_bytes_give_a_span)
{
	static const char *const SEEDS[] = {"http://u:p@[::1]:80/a/1?x=1&sig=2#f", "h:1",
		"/a;b/../c?d", "*", "[::1]:99999", "a@b@c", "://", "http://", "\"[::1\":", "?#?",
		"%%%"};
	struct guard guards[3] = {guard_new(), guard_new(), guard_new()};
	struct span_builder *b = make();
	uint64_t state = 88172645463325252ull;
	struct span span;

	for (int i = 0; i < 100000; i++) {
		struct exchange *ex = call(i % 2 ? ROLE_SERVER : ROLE_CLIENT,
			i % 5 ? "GET" : "CONNECT", "", i % 3 ? 200 : 404);
		struct slice *const into[] = {
			&ex->http.target, &ex->http.host, &ex->http.forwarded_for};

		for (int j = 0; j < 3; j++) {
			char buf[64];
			size_t len;

			state ^= state << 13;
			state ^= state >> 7;
			state ^= state << 17;
			len = strlen(SEEDS[state % ARRAY_SIZE(SEEDS)]);
			memcpy(buf, SEEDS[state % ARRAY_SIZE(SEEDS)], len);
			buf[(state >> 8) % len] = (char)(state >> 16);
			buf[(state >> 24) % len] = "/?#:@[]&=;"[(state >> 32) % 10];
			*into[j] = guard_put(&guards[j], slice_of(buf, (state >> 40) % (len + 1)));
		}
		span_build(b, ex, OFFSET, 0, &span);
		all_utf8(&span);
	}
	for (int j = 0; j < 3; j++)
		guard_free(&guards[j]);
	span_builder_free(b);
}

Test(builder, unix_sockets_have_a_path_and_no_ports)
{
	static const struct endpoints ends = {.path = "/run/app.sock"};
	struct span_builder *b = make();
	struct exchange *ex = call(ROLE_SERVER, "GET", "/orders/8731", 200);
	struct span span;

	ex->ends = &ends;
	ex->http.host = SLICE("app");
	span_build(b, ex, OFFSET, 0, &span);
	has(&span, "network.transport", "unix");
	has(&span, "network.local.address", "/run/app.sock");
	has(&span, "network.peer.address", "");
	has(&span, "client.address", "");
	has(&span, "server.address", "app");
	ex->role = ROLE_CLIENT;
	span_build(b, ex, OFFSET, 0, &span);
	has(&span, "network.peer.address", "/run/app.sock");
	has(&span, "network.peer.port", "");
	has(&span, "server.address", "app");
	has(&span, "server.port", "");
	has(&span, "url.full", "http://app/orders/8731");
	ex->http.host = (struct slice){NULL, 0};
	span_build(b, ex, OFFSET, 0, &span);
	has(&span, "server.address", "/run/app.sock");
	ex->role = ROLE_SERVER;
	span_build(b, ex, OFFSET, 0, &span);
	has(&span, "server.address", "/run/app.sock");
	has(&span, "server.port", "");
	span_builder_free(b);
}

/* HTTP/2 on a connection that is older than weft: what is not known is left out, and said. */
Test(builder, unknown_fields)
{
	struct span_builder *b = make();
	struct exchange *ex = call(ROLE_CLIENT, "GET", "", 200);
	struct span span;

	ex->http.major = 2;
	ex->http.unknown = true;
	ex->http.host = (struct slice){NULL, 0};
	span_build(b, ex, OFFSET, 0, &span);
	cr_assert(named(&span, "GET"));
	has(&span, "url.full", "");
	has(&span, "weft.incomplete", "headers");
	has(&span, "server.address", "10.0.0.2");
	cr_assert_eq(span.status, SPAN_UNSET);
	ex->role = ROLE_SERVER;
	ex->http.method = (struct slice){NULL, 0};
	span_build(b, ex, OFFSET, 0, &span);
	cr_assert(named(&span, "HTTP"));
	has(&span, "http.request.method", "");
	has(&span, "url.path", "");
	span_builder_free(b);
}
