/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC calls by the conventions for RPC, in their stable names or in those before 1.38. */
#include "core/cleanup.h"
#include "span/build.h"

#define STATUS_UNIMPLEMENTED 12

/* gRPC's status codes, and whether each is an error to the server as well. */
static const struct {
	struct slice name;
	bool server;
} STATUS[] = {
	{{"OK", 2}, false},
	{{"CANCELLED", 9}, false},
	{{"UNKNOWN", 7}, true},
	{{"INVALID_ARGUMENT", 16}, false},
	{{"DEADLINE_EXCEEDED", 17}, true},
	{{"NOT_FOUND", 9}, false},
	{{"ALREADY_EXISTS", 14}, false},
	{{"PERMISSION_DENIED", 17}, false},
	{{"RESOURCE_EXHAUSTED", 18}, false},
	{{"FAILED_PRECONDITION", 19}, false},
	{{"ABORTED", 7}, false},
	{{"OUT_OF_RANGE", 12}, false},
	{{"UNIMPLEMENTED", 13}, true},
	{{"INTERNAL", 8}, true},
	{{"UNAVAILABLE", 11}, true},
	{{"DATA_LOSS", 9}, true},
	{{"UNAUTHENTICATED", 15}, false},
};

static struct slice status_name(struct build *b, uint32_t status)
{
	size_t from = b->text->used;

	if (status < ARRAY_SIZE(STATUS))
		return STATUS[status].name;
	text_put_u64(b->text, status);
	return text_since(b->text, from);
}

static bool is_error(enum role role, uint32_t status)
{
	if (role != ROLE_SERVER)
		return status;
	return status >= ARRAY_SIZE(STATUS) || STATUS[status].server;
}

static bool stable(const struct build *b)
{
	return b->options->rpc != RPC_OLD;
}

static bool old(const struct build *b)
{
	return b->options->rpc != RPC_STABLE;
}

/* Whether a call's path is a method's name. What a server did not answer as a call, or says that it
 * does not have, may be anything, and names have to stay few. */
static bool is_method(const struct exchange *ex, struct slice path)
{
	if (!path.len || ex->role != ROLE_SERVER)
		return path.len;
	return ex->http.has_rpc_status ? ex->http.rpc_status != STATUS_UNIMPLEMENTED
				       : ex->http.status == 200;
}

static void add_method(struct build *b, struct slice path)
{
	bool known = is_method(b->ex, path);
	const char *slash = path.len ? memrchr(path.ptr, '/', path.len) : NULL;

	b->span->name = known ? build_fit(b, path) : slice_of("grpc", build_room(b, 4));
	if (stable(b)) {
		build_own(b, SLICE("rpc.system.name"), SLICE("grpc"));
		if (known) {
			build_str(b, SLICE("rpc.method"), path);
		} else if (path.len) {
			build_own(b, SLICE("rpc.method"), SLICE("_OTHER"));
			build_str(b, SLICE("rpc.method_original"), path);
		}
	}
	if (old(b)) {
		build_own(b, SLICE("rpc.system"), SLICE("grpc"));
		if (!slash)
			return;
		build_str(b, SLICE("rpc.service"), slice_of(path.ptr, (size_t)(slash - path.ptr)));
		/* where both are given, the stable name's meaning wins */
		if (!stable(b))
			build_str(b, SLICE("rpc.method"),
				slice_of(slash + 1, (size_t)(path.ptr + path.len - slash - 1)));
	}
}

static void add_outcome(struct build *b)
{
	const struct http_call *http = &b->ex->http;
	struct slice error = build_end_error(b->ex->end);

	if (http->has_rpc_status) {
		struct slice name = status_name(b, http->rpc_status);

		if (is_error(b->ex->role, http->rpc_status))
			error = name;
		if (stable(b))
			build_own(b, SLICE("rpc.response.status_code"), name);
		if (old(b))
			build_int(b, SLICE("rpc.grpc.status_code"), http->rpc_status);
	}
	if (http->status && http->status != 200) { /* not the call's server that answered */
		size_t from = b->text->used;

		build_int(b, SLICE("http.response.status_code"), http->status);
		text_put_u64(b->text, http->status);
		if (!http->has_rpc_status && http->status >= 400)
			error = text_since(b->text, from);
	}
	build_end(b, error);
}

static void add_messages(struct build *b)
{
	const struct http_messages *m = b->ex->http.messages;

	if (b->ex->http.rpc != HTTP_RPC_GRPC)
		return;
	if (!m[0].unknown)
		build_int(b, SLICE("weft.rpc.request.messages"), m[0].count);
	if (!m[1].unknown)
		build_int(b, SLICE("weft.rpc.response.messages"), m[1].count);
}

void build_rpc(struct build *b, struct slice path)
{
	if (path.len && *path.ptr == '/')
		path = slice_of(path.ptr + 1, path.len - 1);
	b->span->kind = b->ex->role == ROLE_SERVER ? SPAN_SERVER : SPAN_CLIENT;
	add_method(b, path);
	add_outcome(b);
	add_messages(b);
}
