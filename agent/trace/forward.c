/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/forward.h"

#include "core/cleanup.h"

#include <xxhash.h>

/* What nginx, HAProxy, Envoy and Apache add, drop or rewrite: hop-by-hop fields (RFC 9110, 7.6.1),
 * the message's framing, the trail of addresses, tracing. Lower case, sorted. */
static const char *const CHANGED[] = {
	"accept-encoding",
	"b3",
	"connection",
	"content-length",
	"expect",
	"forwarded",
	"host",
	"keep-alive",
	"max-forwards",
	"proxy-authorization",
	"proxy-connection",
	"te",
	"traceparent",
	"tracestate",
	"trailer",
	"transfer-encoding",
	"upgrade",
	"via",
};

#define NAME_MAX_LEN 64
#define SUFFIX_MIN   2 /* a rewritten target must share more than a slash */

static bool is_changed(const char *name, size_t len)
{
	/* x-forwarded-for, x-real-ip, x-request-id, x-b3-…, x-envoy-…: whatever starts so is the
	 * proxies' own */
	if (len > 2 && name[0] == 'x' && name[1] == '-') {
		static const char *const own[] = {"x-forwarded-", "x-real-ip", "x-request-id",
			"x-b3-", "x-envoy-", "x-original-", "x-scheme", "x-amzn-"};

		for (size_t i = 0; i < ARRAY_SIZE(own); i++)
			if (len >= strlen(own[i]) && memcmp(name, own[i], strlen(own[i])) == 0)
				return true;
		return false;
	}
	for (size_t i = 0; i < ARRAY_SIZE(CHANGED); i++) {
		if (CHANGED[i][0] > name[0])
			return false;
		if (strlen(CHANGED[i]) == len && memcmp(CHANGED[i], name, len) == 0)
			return true;
	}
	return false;
}

/* The method, and the target from its last slash on: a prefix taken away or put before ends at a
 * slash. */
static uint32_t head_of(const struct exchange *ex)
{
	struct slice end = ex->http.target;
	const char *slash = end.len ? memrchr(end.ptr, '/', end.len) : NULL;

	if (slash)
		end = slice_of(slash, (size_t)(end.ptr + end.len - slash));
	return (uint32_t)XXH3_64bits_withSeed(
		end.ptr, end.len, XXH3_64bits(ex->http.method.ptr, ex->http.method.len));
}

void forward_note(
	struct trace_node *node, const struct exchange *ex, const struct field *fields, unsigned n)
{
	node->head = head_of(ex);
	node->line_count = 0;
	for (unsigned i = 0; i < n; i++) {
		char name[NAME_MAX_LEN];
		size_t len = fields[i].name.len;
		XXH64_hash_t hash;

		if (!len || len > sizeof(name))
			continue;
		for (size_t k = 0; k < len; k++) {
			char c = fields[i].name.ptr[k];

			name[k] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
		}
		if (is_changed(name, len))
			continue;
		hash = XXH3_64bits_withSeed(
			fields[i].value.ptr, fields[i].value.len, XXH3_64bits(name, len));
		/* more lines than that: the last place stands for all the rest */
		if (node->line_count < NODE_LINES)
			node->lines[node->line_count++] = (uint32_t)hash;
		else
			node->lines[NODE_LINES - 1] ^= (uint32_t)hash;
	}
}

static bool has_line(const struct trace_node *node, uint32_t line)
{
	for (unsigned i = 0; i < node->line_count; i++)
		if (node->lines[i] == line)
			return true;
	return false;
}

static bool ends_with(struct slice s, struct slice end)
{
	return s.len >= end.len && end.len >= SUFFIX_MIN &&
	       memcmp(s.ptr + s.len - end.len, end.ptr, end.len) == 0;
}

bool forward_matches(const struct trace_node *in, const struct trace_node *out)
{
	struct slice a = in->ex->http.target, b = out->ex->http.target;

	if (!a.len || !b.len) /* of a head that never came to be whole */
		return false;
	if (in->head != out->head || !slice_eq(in->ex->http.method, out->ex->http.method))
		return false;
	if (!slice_eq(a, b)) {
		/* a location's prefix taken away or put before: then the lines must carry the proof
		 */
		if (!in->line_count || !(ends_with(a, b) || ends_with(b, a)))
			return false;
	}
	for (unsigned i = 0; i < in->line_count; i++)
		if (!has_line(out, in->lines[i]))
			return false;
	return true;
}
