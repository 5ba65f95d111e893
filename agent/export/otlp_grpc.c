/* SPDX-License-Identifier: Apache-2.0 */
/* OTLP/gRPC: a unary call as gRPC's "PROTOCOL-HTTP2.md" frames it, one message each way. */
#include "export/exporter.h"
#include "export/gzip.h"
#include "export/http_client.h"
#include "export/otlp_encode.h"
#include "export/otlp_reply.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define METHOD "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

#define PREFIX      5 /* compressed flag, length (big-endian) */
#define MESSAGE_MAX (4u * 1024 * 1024 - 1024) /* what servers take unless told otherwise */

enum grpc_status {
	GRPC_OK = 0,
	GRPC_CANCELLED = 1,
	GRPC_UNKNOWN = 2,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_ABORTED = 10,
	GRPC_OUT_OF_RANGE = 11,
	GRPC_UNAVAILABLE = 14,
	GRPC_DATA_LOSS = 15,
};

struct otlp_grpc {
	struct otlp_encoder *encoder;
	struct gzip *gzip; /* NULL: plain */
	struct http_client *client;
	size_t frame_cap;
	char *frame; /* plain: prefix and message */
};

static void otlp_grpc_free(void *self)
{
	struct otlp_grpc *o = self;

	if (!o)
		return;
	http_client_free(o->client);
	gzip_free(o->gzip);
	otlp_encoder_free(o->encoder);
	free(o->frame);
	free(o);
}

static int headers_set(
	struct otlp_grpc *o, const struct otlp_options *options, const char **ret_why)
{
	char timeout[24];
	int r;

	/* at most 8 digits */
	snprintf(timeout, sizeof(timeout), "%um", options->timeout_ms % 100000000);
	r = http_client_header(o->client, SLICE("Content-Type"), SLICE("application/grpc"));
	if (!r)
		r = http_client_header(o->client, SLICE("TE"), SLICE("trailers"));
	if (!r)
		r = http_client_header(o->client, SLICE("grpc-timeout"), slice_str(timeout));
	if (!r && o->gzip)
		r = http_client_header(o->client, SLICE("grpc-encoding"), SLICE("gzip"));
	if (r)
		return r;
	r = http_client_header_list(o->client, options->headers);
	if (r == -EINVAL)
		*ret_why = "the OTLP headers are not of the form name=value,name=value";
	return r;
}

/* The endpoint names a server; a path, which some have, is not part of the method. */
static int url_of(const struct otlp_options *options, char *buf, size_t cap, const char **ret_why)
{
	const char *scheme = "", *end, *host = strstr(options->endpoint, "://");
	int n;

	if (host) {
		host += 3;
	} else {
		scheme = options->insecure ? "http://" : "https://";
		host = options->endpoint;
	}
	end = host + strcspn(host, "/");
	n = snprintf(buf, cap, "%s%.*s" METHOD, scheme, (int)(end - options->endpoint),
		options->endpoint);
	if (n < 0 || (size_t)n >= cap) {
		*ret_why = "the OTLP endpoint is too long";
		return -EINVAL;
	}
	return 0;
}

static int otlp_grpc_new(const struct exporter_env *env, void **ret_self, const char **ret_why)
{
	const struct otlp_options *options = &env->options->otlp_traces;
	size_t max_bytes =
		env->options->batch_bytes < MESSAGE_MAX ? env->options->batch_bytes : MESSAGE_MAX;
	char url[sizeof(options->endpoint) + 128];
	const struct http_options http = {
		.url = url,
		.http2 = true,
		.timeout_ms = options->timeout_ms,
		.certificate = options->certificate,
		.client_key = options->client_key,
		.client_certificate = options->client_certificate,
		.deadline_ns = env->deadline_ns,
	};
	struct otlp_grpc *o;
	int r = url_of(options, url, sizeof(url), ret_why);

	if (r)
		return r;
	o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	r = otlp_encoder_new(env->resources, env->options->batch_spans, max_bytes, &o->encoder);
	if (!r && options->gzip)
		r = gzip_new(max_bytes, &o->gzip);
	if (!r && !options->gzip) {
		o->frame = malloc(PREFIX + max_bytes);
		r = o->frame ? 0 : -ENOMEM;
	}
	if (!r)
		r = http_client_new(&http, &o->client, ret_why);
	if (!r)
		r = headers_set(o, options, ret_why);
	if (r) {
		otlp_grpc_free(o);
		return r;
	}
	*ret_self = o;
	return 0;
}

static struct slice frame(struct otlp_grpc *o, struct slice message)
{
	struct slice framed = slice_of(o->frame, PREFIX + message.len);
	uint8_t *prefix;
	size_t len;

	if (o->gzip)
		framed = gzip_pack(o->gzip, message, PREFIX);
	else
		memcpy(o->frame + PREFIX, message.ptr, message.len);
	prefix = (uint8_t *)framed.ptr;
	len = framed.len - PREFIX;
	prefix[0] = o->gzip != NULL;
	for (unsigned i = 0; i < 4; i++)
		prefix[1 + i] = (uint8_t)(len >> (24 - 8 * i));
	return framed;
}

/* What the reply's headers or, as a rule, trailers say. */
struct grpc_reply {
	bool has_status;
	uint64_t status;
	struct slice message, details;
	char text[2048]; /* what message and details point into */
	size_t used;
};

static struct slice reply_keep(struct grpc_reply *reply, struct slice s)
{
	char *to = reply->text + reply->used;

	if (s.len > sizeof(reply->text) - reply->used)
		return (struct slice){NULL, 0};
	memcpy(to, s.ptr, s.len);
	reply->used += s.len;
	return slice_of(to, s.len);
}

static void on_header(void *arg, struct slice name, struct slice value)
{
	struct grpc_reply *reply = arg;

	if (slice_eq_nocase(name, SLICE("grpc-status")))
		reply->has_status = slice_u64(value, &reply->status) == 0;
	else if (slice_eq_nocase(name, SLICE("grpc-message")))
		reply->message = reply_keep(reply, value);
	else if (slice_eq_nocase(name, SLICE("grpc-status-details-bin")))
		reply->details = reply_keep(reply, value);
}

/* Base64 (RFC 4648, 4), padded or not. The bytes written, 0 if it is none. */
static size_t base64_decode(struct slice in, uint8_t *out, size_t cap)
{
	static const char ALPHABET[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t bits = 0;
	unsigned held = 0;
	size_t n = 0;

	while (in.len && in.ptr[in.len - 1] == '=')
		in.len--;
	for (size_t i = 0; i < in.len; i++) {
		const char *digit = memchr(ALPHABET, in.ptr[i], sizeof(ALPHABET) - 1);

		if (!digit || n == cap)
			return 0;
		bits = bits << 6 | (uint32_t)(digit - ALPHABET);
		held += 6;
		if (held >= 8) {
			held -= 8;
			out[n++] = (uint8_t)(bits >> held);
		}
	}
	return n;
}

/* The call's status; where the reply is not gRPC's, as "http-grpc-status-mapping.md" has it. */
static uint64_t status_of(const struct http_reply *http, const struct grpc_reply *reply)
{
	if (reply->has_status)
		return reply->status;
	switch (http->status) {
	case 429:
	case 502:
	case 503:
	case 504:
		return GRPC_UNAVAILABLE;
	default:
		return GRPC_UNKNOWN;
	}
}

/* OTLP, "OTLP/gRPC": what may be sent again. */
static bool is_temporary(uint64_t status, bool has_retry_info)
{
	switch (status) {
	case GRPC_CANCELLED:
	case GRPC_DEADLINE_EXCEEDED:
	case GRPC_ABORTED:
	case GRPC_OUT_OF_RANGE:
	case GRPC_UNAVAILABLE:
	case GRPC_DATA_LOSS:
		return true;
	case GRPC_RESOURCE_EXHAUSTED:
		return has_retry_info;
	default:
		return false;
	}
}

static void read_failure(
	const struct http_reply *http, const struct grpc_reply *reply, struct outcome *out)
{
	uint8_t details[sizeof(reply->text)];
	uint64_t status = status_of(http, reply), delay = 0;
	size_t len = base64_decode(reply->details, details, sizeof(details));
	char what[48];

	if (reply->has_status)
		snprintf(what, sizeof(what), "gRPC status %llu", (unsigned long long)status);
	else
		snprintf(what, sizeof(what), "HTTP %d without a gRPC status", http->status);
	if (!len || !otlp_reply_status(slice_of(details, len), what, out, &delay))
		otlp_reply_error(out, what, reply->message);
	out->verdict = is_temporary(status, delay != 0) ? VERDICT_RETRY : VERDICT_FAIL;
	out->retry_after_ns = delay ? delay : http->retry_after_ns;
}

static void read_success(struct slice body, struct outcome *out)
{
	out->verdict = VERDICT_SENT;
	/* no compression was offered, so the flag is 0 */
	if (body.len > PREFIX && body.ptr[0] == 0)
		otlp_reply_partial(slice_of(body.ptr + PREFIX, body.len - PREFIX), out);
}

static void otlp_grpc_send(void *self, const struct slice *spans, unsigned n, struct outcome *ret)
{
	struct otlp_grpc *o = self;
	struct outcome out = {.verdict = VERDICT_FAIL};
	struct grpc_reply reply = {0};
	struct slice message, framed;
	struct http_reply http;

	out.taken = otlp_encode(o->encoder, spans, n, &message);
	if (!out.taken) {
		out.taken = 1;
		otlp_reply_error(&out, "a span is larger than a request may be", (struct slice){0});
		*ret = out;
		return;
	}
	framed = frame(o, message);
	http_client_post(o->client, framed, on_header, &reply, &http);
	out.bytes = framed.len;
	if (!http.status) {
		otlp_reply_error(&out, http.error, (struct slice){0});
		if (!http.hopeless)
			out.verdict = VERDICT_RETRY;
	} else if (http.status == 200 && reply.has_status && reply.status == GRPC_OK) {
		read_success(http.body, &out);
	} else {
		read_failure(&http, &reply, &out);
	}
	*ret = out;
}

static const char *otlp_grpc_target(const void *self)
{
	return http_client_target(((const struct otlp_grpc *)self)->client);
}

const struct exporter exporter_otlp_grpc = {
	.name = "otlp",
	.thread = "weft-otlp",
	.new = otlp_grpc_new,
	.send = otlp_grpc_send,
	.target = otlp_grpc_target,
	.free = otlp_grpc_free,
};
