/* SPDX-License-Identifier: Apache-2.0 */
#include "span/builder.h"

#include "core/cleanup.h"
#include "span/build.h"
#include "span/redact.h"
#include "span/route.h"
#include "span/target.h"

#include <errno.h>

#define SCRATCH         4096
#define TRACE_STATE_MAX 512
#define KEY_PREFIX_MAX  21 /* "http.response.header." */

/* The attribute keys of one list of captured headers. */
struct header_keys {
	struct slice key[NAMES_MAX];
	bool secret[NAMES_MAX];
	bool url[NAMES_MAX]; /* the value is one */
	char text[NAMES_MAX][KEY_PREFIX_MAX + NAMES_TEXT];
};

struct span_builder {
	struct span_options options;
	struct header_keys request_keys, reply_keys;
	struct routes *routes;
	struct text text; /* into scratch */
	char scratch[SCRATCH];
	char route[ROUTE_TEXT];
};

static void keys_fill(struct header_keys *keys, const char *prefix, const struct names *names)
{
	for (unsigned i = 0; i < names->n; i++) {
		struct slice name = slice_str(names->v[i]);
		struct text text = {.buf = keys->text[i], .cap = sizeof(keys->text[i])};

		text_put(&text, slice_str(prefix));
		text_put(&text, name);
		for (size_t at = 0; at < text.used; at++)
			if (text.buf[at] >= 'A' && text.buf[at] <= 'Z')
				text.buf[at] |= 0x20;
		keys->key[i] = text_since(&text, 0);
		keys->secret[i] = redact_is_secret(name);
		keys->url[i] = slice_eq_nocase(name, SLICE("location")) ||
			       slice_eq_nocase(name, SLICE("content-location")) ||
			       slice_eq_nocase(name, SLICE("referer"));
	}
}

void span_builder_reload(struct span_builder *builder, const struct span_options *options)
{
	builder->options = *options;
	keys_fill(&builder->request_keys, "http.request.header.", &options->request_headers);
	keys_fill(&builder->reply_keys, "http.response.header.", &options->reply_headers);
}

int span_builder_new(const struct span_options *options, struct span_builder **ret_builder)
{
	_free_ struct span_builder *builder = calloc(1, sizeof(*builder));
	int r;

	if (!builder)
		return -ENOMEM;
	r = routes_new(options->max_routes, &builder->routes);
	if (r < 0)
		return r;
	builder->text = (struct text){.buf = builder->scratch, .cap = SCRATCH};
	span_builder_reload(builder, options);
	*ret_builder = TAKE_PTR(builder);
	return 0;
}

void span_builder_free(struct span_builder *builder)
{
	if (!builder)
		return;
	routes_free(builder->routes);
	free(builder);
}

bool span_keep_headers(const struct span_builder *builder, struct exchange *ex,
	const struct field *fields, unsigned n, bool is_reply)
{
	const struct names *names =
		is_reply ? &builder->options.reply_headers : &builder->options.request_headers;
	const struct header_keys *keys = is_reply ? &builder->reply_keys : &builder->request_keys;
	uint8_t *kept = is_reply ? &ex->kept_replies : &ex->kept_requests;
	bool cut = false;

	for (unsigned i = 0; i < names->n; i++) {
		struct slice name = slice_str(names->v[i]);

		for (unsigned j = 0; j < n; j++) {
			if (!slice_eq_nocase(fields[j].name, name))
				continue;
			if (*kept == EXCHANGE_KEPT)
				return true;
			/* A secret is not even kept. */
			if (is_reply) {
				ex->kept_reply[*kept].name = (uint8_t)i;
				ex->kept_reply[*kept].value =
					keys->secret[i] ? SLICE("REDACTED")
							: exchange_keep(ex, fields[j].value, &cut);
			} else {
				ex->kept_request[*kept].name = (uint8_t)i;
				ex->kept_request[*kept].value =
					keys->secret[i] ? SLICE("REDACTED")
							: exchange_keep(ex, fields[j].value, &cut);
			}
			++*kept;
			if (keys->secret[i])
				break;
		}
	}
	return cut;
}

/* The methods that the conventions take as known: RFC 9110, PATCH (RFC 5789) and QUERY. The method
 * itself, or the empty slice. Methods are case-sensitive (RFC 9110, 9.1). */
static struct slice method_known(struct slice method)
{
	static const struct slice METHODS[] = {
		{"GET", 3},
		{"POST", 4},
		{"PUT", 3},
		{"DELETE", 6},
		{"HEAD", 4},
		{"PATCH", 5},
		{"OPTIONS", 7},
		{"CONNECT", 7},
		{"TRACE", 5},
		{"QUERY", 5},
	};

	for (size_t i = 0; i < ARRAY_SIZE(METHODS); i++)
		if (slice_eq(method, METHODS[i]))
			return METHODS[i];
	return (struct slice){NULL, 0};
}

static void add_method(struct build *b, struct slice known)
{
	if (known.len) {
		build_own(b, SLICE("http.request.method"), known);
		return;
	}
	if (!b->ex->http.method.len) /* not known */
		return;
	build_own(b, SLICE("http.request.method"), SLICE("_OTHER"));
	build_str(b, SLICE("http.request.method_original"), b->ex->http.method);
}

static void add_outcome(struct build *b)
{
	const struct exchange *ex = b->ex;
	unsigned status = ex->http.status;
	struct slice error = build_end_error(ex->end);
	size_t from = b->text->used;

	if (status)
		build_int(b, SLICE("http.response.status_code"), status);
	if (status >= (ex->role == ROLE_SERVER ? 500 : 400)) {
		text_put_u64(b->text, status);
		error = text_since(b->text, from);
	}
	build_end(b, error);
}

/* What is known of the TLS below (semantic conventions, registry: tls). */
static void add_secure(struct build *b)
{
	const struct secure *secure = b->ex->secure;

	if (!secure)
		return;
	if (secure->version >= 0x0301 && secure->version <= 0x0304)
		build_own(b, SLICE("tls.protocol.version"),
			secure->version == 0x0304   ? SLICE("1.3")
			: secure->version == 0x0303 ? SLICE("1.2")
			: secure->version == 0x0302 ? SLICE("1.1")
						    : SLICE("1.0"));
	if (secure->alpn[0])
		build_str(b, SLICE("tls.next_protocol"), slice_str(secure->alpn));
	if (secure->server_name)
		build_str(b, SLICE("tls.client.server_name"), slice_str(secure->server_name));
}

static void add_version(struct build *b)
{
	build_own(b, SLICE("network.protocol.version"),
		b->ex->http.major == 2 ? SLICE("2")
		: b->ex->http.minor    ? SLICE("1.1")
				       : SLICE("1.0"));
}

/* Sizes are those on the wire; of a message that did not end, or of a tunnel, they say nothing. */
static void add_sizes(struct build *b)
{
	const struct http_call *http = &b->ex->http;

	if (b->ex->end != END_PAIRED || http->tunnelled || http->rpc)
		return;
	if (http->request_body && http->request_body <= INT64_MAX)
		build_int(b, SLICE("http.request.body.size"), (int64_t)http->request_body);
	if (http->reply_body && http->reply_body <= INT64_MAX)
		build_int(b, SLICE("http.response.body.size"), (int64_t)http->reply_body);
}

static struct slice kept_value(const struct exchange *ex, bool is_reply, unsigned i)
{
	return is_reply ? ex->kept_reply[i].value : ex->kept_request[i].value;
}

static unsigned kept_name(const struct exchange *ex, bool is_reply, unsigned i)
{
	return is_reply ? ex->kept_reply[i].name : ex->kept_request[i].name;
}

/* One attribute a name; the values of several fields are joined (RFC 9110, 5.3), as the conventions
 * allow. Fields of one name stand together, see span_keep_headers(). */
static void add_headers(struct build *b, bool is_reply)
{
	const struct header_keys *keys =
		is_reply ? &b->builder->reply_keys : &b->builder->request_keys;
	const struct names *names =
		is_reply ? &b->options->reply_headers : &b->options->request_headers;
	unsigned n = is_reply ? b->ex->kept_replies : b->ex->kept_requests;

	for (unsigned i = 0, next; i < n; i = next) {
		unsigned name = kept_name(b->ex, is_reply, i);
		struct slice value = kept_value(b->ex, is_reply, i);
		size_t from = b->text->used;

		for (next = i + 1; next < n && kept_name(b->ex, is_reply, next) == name; next++) {
			if (next == i + 1)
				text_put(b->text, value);
			text_put(b->text, SLICE(", "));
			text_put(b->text, kept_value(b->ex, is_reply, next));
			value = text_since(b->text, from);
		}
		/* The lists may have changed since the field was kept. */
		if (name >= names->n || !build_attr_room(b, keys->key[name]))
			continue;
		if (keys->secret[name])
			value = SLICE("REDACTED");
		else if (keys->url[name])
			value = redact_url(b->text, value, &b->options->redact_query);
		span_add_strs(b->span, keys->key[name], build_fit(b, value));
	}
}

/* The scheme, in lower case if it is one of HTTP's; if none is named, by what carries it. */
static struct slice call_scheme(const struct exchange *ex, const struct target *target)
{
	const struct http_call *http = &ex->http;
	struct slice scheme = target->scheme.len ? target->scheme : http->scheme;

	if (!scheme.len && ex->secure)
		return SLICE("https");
	if (!scheme.len || slice_eq_nocase(scheme, SLICE("http")))
		return SLICE("http");
	if (slice_eq_nocase(scheme, SLICE("https")))
		return SLICE("https");
	return scheme;
}

static void parse_target(const struct http_call *http, struct target *ret_target)
{
	bool authority = slice_eq(http->method, SLICE("CONNECT")) && !http->extended_connect;

	target_parse(http->target, authority, ret_target);
}

static uint16_t scheme_port(struct slice scheme)
{
	if (slice_eq(scheme, SLICE("http")))
		return 80;
	return slice_eq(scheme, SLICE("https")) ? 443 : 0;
}

/* Which server the request is for: by its target, else its Host. */
static struct authority call_authority(const struct http_call *http, const struct target *target)
{
	struct authority authority = {0};

	if (target->authority.len)
		authority = authority_parse(target->authority);
	if (!authority.host.len)
		authority = authority_parse(http->host);
	return authority;
}

/* A route of the server's tree; servers are told apart by where they listen. */
static struct slice find_route(struct build *b, struct slice path, unsigned *notes)
{
	const struct exchange *ex = b->ex;
	uint64_t scope = ex->ends->path ? (uint64_t)ex->ends->path_hash << 32 | UINT16_MAX
					: (uint64_t)ex->ends->netns << 16 | ex->ends->local_port;
	bool learn = ex->http.status && ex->http.status != 404;
	struct slice route = {NULL, 0};
	enum route_found found = (learn ? route_learn : route_find)(
		b->builder->routes, scope, path, b->builder->route, &route);

	if (found == ROUTE_FULL)
		*notes |= SPAN_NOTE_ROUTES_FULL;
	return route;
}

static void name_server(struct build *b, struct slice method, struct slice route)
{
	size_t from = b->text->used;

	if (!route.len) {
		b->span->name = method;
	} else {
		text_put(b->text, method);
		text_put(b->text, SLICE(" "));
		text_put(b->text, route);
		b->span->name = text_since(b->text, from);
	}
	b->span->name.len = build_room(b, b->span->name.len);
}

/* What a server was asked for. */
static void build_asked(struct build *b, struct slice method, const struct target *target,
	struct slice scheme, unsigned *notes)
{
	struct slice route = {NULL, 0};

	if (target->path.len && (target->form == TARGET_ORIGIN || target->form == TARGET_ABSOLUTE))
		route = find_route(b, target->path, notes);
	b->span->kind = SPAN_SERVER;
	name_server(b, method.len ? method : SLICE("HTTP"), route);
	add_method(b, method);
	add_outcome(b);
	if (route.len)
		build_own(b, SLICE("http.route"), route);
	if (b->ex->http.target.len) /* else it never came to be whole, or is not known */
		build_str(b, SLICE("url.path"),
			redact_path(b->text, target->path, &b->options->redact_query));
	build_str(b, SLICE("url.scheme"), scheme);
	if (target->query.len && b->options->query)
		build_str(b, SLICE("url.query"),
			redact_query(b->text, target->query, &b->options->redact_query));
}

static void build_server(struct build *b, unsigned *notes)
{
	const struct exchange *ex = b->ex;
	struct slice method = method_known(ex->http.method);
	struct slice scheme, peer, client;
	struct authority server;
	struct target target;

	parse_target(&ex->http, &target);
	scheme = call_scheme(ex, &target);
	server = call_authority(&ex->http, &target);
	if (ex->http.rpc)
		build_rpc(b, target.path);
	else
		build_asked(b, method, &target, scheme, notes);
	if (server.host.len) {
		uint16_t port = server.port ? server.port : scheme_port(scheme);

		build_str(b, SLICE("server.address"), server.host);
		if (port)
			build_int(b, SLICE("server.port"), port);
	} else if (ex->ends->path) { /* HTTP/1.0 */
		build_own(b, SLICE("server.address"), slice_str(ex->ends->path));
	} else {
		build_own(b, SLICE("server.address"), build_addr(b, ex->ends->local_addr));
		build_int(b, SLICE("server.port"), ex->ends->local_port);
	}
	peer = build_peer(b);
	client = forwarded_address(ex->http.forwarded_for);
	if (client.len || !ex->ends->path)
		build_str(b, SLICE("client.address"), client.len ? client : peer);
	build_network(b, peer);
	add_version(b);
	add_secure(b);
	if (ex->http.user_agent.len)
		build_str(b, SLICE("user_agent.original"), ex->http.user_agent);
	add_sizes(b);
}

/* The effective request URI (RFC 9110, 7.1). CONNECT has only an authority. */
static struct slice build_url(struct build *b, const struct target *target, struct slice scheme,
	struct slice host, uint16_t port)
{
	const struct span_options *options = b->options;
	bool v6 = host.len && memchr(host.ptr, ':', host.len);
	size_t from;

	/* Only what is whole may follow what is whole, so a host is made UTF-8 beforehand. */
	host = text_utf8(b->text, host);
	from = b->text->used;
	if (target->form != TARGET_AUTHORITY) {
		text_put(b->text, scheme);
		text_put(b->text, SLICE("://"));
		if (target->has_user)
			text_put(b->text, SLICE("REDACTED:REDACTED@"));
	}
	text_put(b->text, v6 ? SLICE("[") : SLICE(""));
	text_put(b->text, host);
	text_put(b->text, v6 ? SLICE("]") : SLICE(""));
	if (target->form == TARGET_AUTHORITY || port != scheme_port(scheme)) {
		text_put(b->text, SLICE(":"));
		text_put_u64(b->text, port);
	}
	if (target->form == TARGET_ASTERISK)
		return text_since(b->text, from);
	redact_put_path(b->text, target->path, &options->redact_query);
	if (target->query.len && options->query) {
		text_put(b->text, SLICE("?"));
		redact_put_query(b->text, target->query, &options->redact_query);
	}
	return text_since(b->text, from);
}

static void build_client(struct build *b)
{
	const struct exchange *ex = b->ex;
	struct slice method = method_known(ex->http.method);
	struct authority server;
	struct slice scheme, peer;
	struct target target;

	parse_target(&ex->http, &target);
	scheme = call_scheme(ex, &target);
	server = call_authority(&ex->http, &target);
	peer = build_peer(b);
	/* Of a proxied request the peer is the proxy, so there the scheme's port is the server's.
	 */
	if (!server.port && server.host.len && target.form == TARGET_ABSOLUTE)
		server.port = scheme_port(scheme);
	if (!server.port)
		server.port = ex->ends->remote_port;
	if (!server.host.len && ex->secure && ex->secure->server_name)
		server.host = slice_str(ex->secure->server_name);
	if (!server.host.len)
		server.host = peer;
	if (ex->http.rpc) {
		build_rpc(b, target.path);
	} else {
		b->span->kind = SPAN_CLIENT;
		b->span->name = method.len ? method : SLICE("HTTP");
		build_room(b, b->span->name.len);
		add_method(b, method);
		add_outcome(b);
	}
	build_str(b, SLICE("server.address"), server.host);
	if (server.port)
		build_int(b, SLICE("server.port"), server.port);
	if (!ex->http.rpc && (ex->http.target.len || !ex->http.unknown))
		build_str(b, SLICE("url.full"),
			build_url(b, &target, scheme, server.host,
				server.port ? server.port : scheme_port(scheme)));
	build_network(b, peer);
	add_version(b);
	add_secure(b);
	add_sizes(b);
}

static void build_connect(struct build *b)
{
	struct slice peer = build_addr(b, b->ex->ends->remote_addr);

	b->span->kind = SPAN_CLIENT;
	b->span->name = SLICE("connect");
	build_room(b, b->span->name.len);
	add_outcome(b);
	build_own(b, SLICE("server.address"), peer);
	build_int(b, SLICE("server.port"), b->ex->ends->remote_port);
	build_network(b, peer);
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void set_times(struct span *span, const struct exchange *ex, uint64_t unix_offset_ns)
{
	uint64_t start = ex->request_start_ns ? ex->request_start_ns : ex->connect_ns;
	uint64_t end = ex->reply_end_ns;

	if (!end)
		end = later(ex->request_end_ns, ex->reply_start_ns);
	span->start_ns = start + unix_offset_ns;
	span->end_ns = later(start, end) + unix_offset_ns;
}

unsigned span_build(struct span_builder *builder, const struct exchange *ex,
	uint64_t unix_offset_ns, unsigned shed_percent, struct span *ret_span)
{
	struct build b = {
		.builder = builder,
		.options = &builder->options,
		.text = &builder->text,
		.ex = ex,
		.span = ret_span,
		.room = SPAN_PACK_MAX - SPAN_PACK_HEAD - TRACE_STATE_MAX - 8,
	};
	unsigned notes = 0;

	builder->text.used = 0;
	builder->text.cut = false;
	memset(ret_span, 0, offsetof(struct span, attrs));
	ret_span->pid = ex->pid;
	set_times(ret_span, ex, unix_offset_ns);
	if (ex->kind == EXCHANGE_CONNECT)
		build_connect(&b);
	else if (ex->role == ROLE_SERVER)
		build_server(&b, &notes);
	else
		build_client(&b);
	if (shed_percent)
		build_int(&b, SLICE("weft.shed_percent"), shed_percent);
	add_headers(&b, false);
	add_headers(&b, true);
	if (b.cut || builder->text.cut)
		notes |= SPAN_NOTE_TEXT_CUT;
	return notes;
}
