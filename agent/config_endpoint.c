/* SPDX-License-Identifier: Apache-2.0 */
/* From OTEL_EXPORTER_OTLP_[TRACES_]ENDPOINT to the URL in use (OpenTelemetry, "OTLP Exporter"). */
#include "config_load.h"

#include "core/url.h"

#include <ctype.h>
#include <errno.h>

struct url {
	struct slice scheme; /* empty: none given */
	struct slice authority; /* without user and password */
	struct slice path; /* from its first slash; may be empty */
	bool more; /* a query or a fragment follows */
};

static struct slice cut_at(struct slice *s, const char *set)
{
	struct slice head = {s->ptr, 0};

	while (head.len < s->len && !strchr(set, s->ptr[head.len]))
		head.len++;
	s->ptr += head.len;
	s->len -= head.len;
	return head;
}

static struct url split_url(const char *text)
{
	struct slice rest = slice_str(text);
	const char *mark = strstr(text, "://");
	struct url url = {0};
	const char *at;

	if (mark) {
		url.scheme = slice_of(text, (size_t)(mark - text));
		rest = slice_str(mark + 3);
	}
	url.authority = cut_at(&rest, "/?#");
	at = memrchr(url.authority.ptr, '@', url.authority.len);
	if (at)
		url.authority =
			slice_of(at + 1, url.authority.len - (size_t)(at + 1 - url.authority.ptr));
	url.path = cut_at(&rest, "?#");
	url.more = rest.len > 0;
	return url;
}

/* host, host:port, [v6] or [v6]:port */
static bool is_authority(struct slice s)
{
	struct slice port = {0};
	uint64_t number;
	const char *colon;

	if (s.len && s.ptr[0] == '[') {
		const char *end = memchr(s.ptr, ']', s.len);

		if (!end || end == s.ptr + 1)
			return false;
		port = slice_of(end + 1, s.len - (size_t)(end + 1 - s.ptr));
	} else {
		colon = memchr(s.ptr, ':', s.len);
		if (!s.len || colon == s.ptr)
			return false;
		if (colon)
			port = slice_of(colon, s.len - (size_t)(colon - s.ptr));
	}
	for (size_t i = 0; i < s.len; i++)
		if (isspace((unsigned char)s.ptr[i]))
			return false;
	if (!port.len)
		return true;
	return port.ptr[0] == ':' &&
	       slice_u64(slice_of(port.ptr + 1, port.len - 1), &number) == 0 && number >= 1 &&
	       number <= UINT16_MAX;
}

/* What is wrong with the URL, NULL if nothing is. */
static const char *url_fault(const struct url *url, bool grpc, bool base)
{
	bool http = slice_eq_nocase(url->scheme, SLICE("http"));
	bool https = slice_eq_nocase(url->scheme, SLICE("https"));

	if (!url->scheme.len && !grpc)
		return "has no scheme, expected http://HOST:4318 or https://HOST:4318";
	if (url->scheme.len && !http && !https)
		return "has an unknown scheme, expected http:// or https://";
	if (!is_authority(url->authority))
		return "has no valid host and port, expected http://HOST:PORT";
	if (grpc && (url->more || (url->path.len && !slice_eq(url->path, SLICE("/")))))
		return "has a path, which OTLP over gRPC does not take, expected http://HOST:4317";
	if (base && url->more)
		return "has a query or a fragment, expected http://HOST:4318";
	return NULL;
}

static int resolve(const char *given, bool grpc, bool base, bool insecure, char *ret_url,
	size_t cap, const char **ret_fault)
{
	struct url url = split_url(given);
	struct slice path = url.path;
	int n;

	*ret_fault = url_fault(&url, grpc, base);
	if (*ret_fault)
		return -EINVAL;
	if (grpc) {
		/* A scheme, if given, wins over `insecure`. */
		const char *before = url.scheme.len ? "" : insecure ? "http://" : "https://";

		n = snprintf(
			ret_url, cap, "%s%.*s", before, (int)(strlen(given) - url.path.len), given);
	} else if (base) {
		while (path.len && path.ptr[path.len - 1] == '/')
			path.len--;
		n = snprintf(
			ret_url, cap, "%.*s/v1/traces", (int)(path.ptr + path.len - given), given);
	} else {
		n = snprintf(ret_url, cap, "%s%s", given, url.path.len || url.more ? "" : "/");
	}
	if (n < 0 || (size_t)n >= cap) {
		*ret_fault = "is too long";
		return -EINVAL;
	}
	return 0;
}

void config_resolve_endpoint(struct config_load *load)
{
	struct config *c = load->config;
	struct otlp_options *otlp = &c->export.otlp_traces;
	bool grpc = otlp->protocol == OTLP_GRPC;
	unsigned base_at = (unsigned)option_by_key(SLICE("otlp.endpoint"));
	unsigned traces_at = (unsigned)option_by_key(SLICE("otlp.traces_endpoint"));
	/* The more particular one wins, unless a stronger source gave the general one. */
	bool base =
		!c->otlp_traces_endpoint[0] ||
		(c->otlp_endpoint[0] && c->origin[base_at].source > c->origin[traces_at].source);
	const char *given = base ? c->otlp_endpoint : c->otlp_traces_endpoint;
	char place[400], masked[OPTION_QUOTE_BYTES * 2], quoted[OPTION_QUOTE_BYTES];
	const char *fault;

	if (!given[0])
		given = grpc ? "http://localhost:4317" : "http://localhost:4318";
	if (resolve(given, grpc, base, otlp->insecure, otlp->endpoint, sizeof(otlp->endpoint),
		    &fault) == 0)
		return;
	url_mask(given, masked, sizeof(masked));
	config_place(c, base ? base_at : traces_at, place, sizeof(place));
	config_error(
		load->errors, "%s: %s %s", place, option_quote(slice_str(masked), quoted), fault);
}
