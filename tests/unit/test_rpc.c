/* SPDX-License-Identifier: Apache-2.0 */
#include "builder_rig.h"

static struct exchange *grpc(enum role role, unsigned status)
{
	struct exchange *ex = call(role, "POST", "/shop.Cart/Add", 200);

	ex->http.major = 2;
	ex->http.rpc = HTTP_RPC_GRPC;
	ex->http.has_rpc_status = true;
	ex->http.rpc_status = status;
	ex->http.messages[0].count = 1;
	ex->http.messages[1].count = 3;
	return ex;
}

/* What is an error is not the same to both ends. */
Test(rpc, status)
{
	static const struct {
		unsigned status;
		const char *name;
		bool client, server;
	} CASES[] = {
		{0, "OK", false, false},
		{5, "NOT_FOUND", true, false},
		{14, "UNAVAILABLE", true, true},
		{16, "UNAUTHENTICATED", true, false},
		{99, "99", true, true},
	};
	struct span_builder *b = make();
	struct span span;

	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++)
		for (int server = 0; server < 2; server++) {
			bool bad = server ? CASES[i].server : CASES[i].client;

			span_build(b, grpc(server ? ROLE_SERVER : ROLE_CLIENT, CASES[i].status),
				OFFSET, 0, &span);
			cr_assert(named(&span, "shop.Cart/Add"));
			cr_assert_eq(span.kind, server ? SPAN_SERVER : SPAN_CLIENT);
			cr_assert_eq(span.status, bad ? SPAN_ERROR : SPAN_UNSET);
			has(&span, "rpc.system.name", "grpc");
			has(&span, "rpc.method", "shop.Cart/Add");
			has(&span, "rpc.response.status_code", CASES[i].name);
			has(&span, "error.type", bad ? CASES[i].name : "");
			has(&span, "weft.rpc.request.messages", "1");
			has(&span, "weft.rpc.response.messages", "3");
			has(&span, "server.address", "bank.example");
			has(&span, "http.request.method", "");
			has(&span, "network.protocol.version", "2");
		}
	span_builder_free(b);
}

/* A server's span is named by what it has, a client's by what it asks for. */
Test(rpc, no_method)
{
	struct span_builder *b = make();
	struct exchange *ex;
	struct span span;

	span_build(b, grpc(ROLE_CLIENT, 12), OFFSET, 0, &span);
	cr_assert(named(&span, "shop.Cart/Add"));
	span_build(b, grpc(ROLE_SERVER, 12), OFFSET, 0, &span);
	cr_assert(named(&span, "grpc"));
	has(&span, "rpc.method", "_OTHER");
	has(&span, "rpc.method_original", "shop.Cart/Add");
	ex = grpc(ROLE_SERVER, 0);
	ex->http.has_rpc_status = false;
	ex->http.status = 404;
	span_build(b, ex, OFFSET, 0, &span);
	cr_assert(named(&span, "grpc"));
	has(&span, "error.type", "404");
	has(&span, "http.response.status_code", "404");
	ex->http.status = 200;
	ex->http.rpc = HTTP_RPC_GRPC_WEB; /* whose status is in the body */
	span_build(b, ex, OFFSET, 0, &span);
	cr_assert(named(&span, "shop.Cart/Add"));
	has(&span, "error.type", "");
	has(&span, "weft.rpc.request.messages", "");
	span_builder_free(b);
}

Test(rpc, conventions)
{
	struct span_options options = {.query = true, .max_routes = 1000, .rpc = RPC_OLD};
	struct span_builder *b = make_with(&options);
	struct span span;

	span_build(b, grpc(ROLE_SERVER, 5), OFFSET, 0, &span);
	has(&span, "rpc.system", "grpc");
	has(&span, "rpc.service", "shop.Cart");
	has(&span, "rpc.method", "Add");
	has(&span, "rpc.grpc.status_code", "5");
	has(&span, "rpc.system.name", "");
	has(&span, "rpc.response.status_code", "");
	options.rpc = RPC_BOTH;
	span_builder_reload(b, &options);
	span_build(b, grpc(ROLE_SERVER, 5), OFFSET, 0, &span);
	has(&span, "rpc.method", "shop.Cart/Add");
	has(&span, "rpc.service", "shop.Cart");
	has(&span, "rpc.response.status_code", "NOT_FOUND");
	has(&span, "rpc.grpc.status_code", "5");
	span_builder_free(b);
}
