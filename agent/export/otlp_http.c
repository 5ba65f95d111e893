/* SPDX-License-Identifier: Apache-2.0 */
/* OTLP/HTTP with protobuf bodies (opentelemetry.io/docs/specs/otlp, "OTLP/HTTP"). */
#include "export/exporter.h"
#include "export/gzip.h"
#include "export/http_client.h"
#include "export/otlp_encode.h"
#include "export/otlp_reply.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct otlp_http {
	struct otlp_encoder *encoder;
	struct gzip *gzip; /* NULL: plain */
	struct http_client *client;
};

static void otlp_http_free(void *self)
{
	struct otlp_http *o = self;

	if (!o)
		return;
	http_client_free(o->client);
	gzip_free(o->gzip);
	otlp_encoder_free(o->encoder);
	free(o);
}

static int headers_set(
	struct otlp_http *o, const struct otlp_options *options, const char **ret_why)
{
	int r = http_client_header(
		o->client, SLICE("Content-Type"), SLICE("application/x-protobuf"));

	if (!r && o->gzip)
		r = http_client_header(o->client, SLICE("Content-Encoding"), SLICE("gzip"));
	if (r)
		return r;
	r = http_client_header_list(o->client, options->headers);
	if (r == -EINVAL)
		*ret_why = "the OTLP headers are not of the form name=value,name=value";
	return r;
}

static int otlp_http_new(const struct exporter_env *env, void **ret_self, const char **ret_why)
{
	const struct otlp_options *options = &env->options->otlp_traces;
	const struct http_options http = {
		.url = options->endpoint,
		.timeout_ms = options->timeout_ms,
		.certificate = options->certificate,
		.client_key = options->client_key,
		.client_certificate = options->client_certificate,
		.deadline_ns = env->deadline_ns,
	};
	struct otlp_http *o = calloc(1, sizeof(*o));
	int r;

	if (!o)
		return -ENOMEM;
	r = otlp_encoder_new(
		env->resources, env->options->batch_spans, env->options->batch_bytes, &o->encoder);
	if (!r && options->gzip)
		r = gzip_new(env->options->batch_bytes, &o->gzip);
	if (!r)
		r = http_client_new(&http, &o->client, ret_why);
	if (!r)
		r = headers_set(o, options, ret_why);
	if (r) {
		otlp_http_free(o);
		return r;
	}
	*ret_self = o;
	return 0;
}

/* "Failures": what may be sent again. */
static bool is_temporary(int status)
{
	return status == 429 || status == 502 || status == 503 || status == 504;
}

static void otlp_http_send(void *self, const struct slice *spans, unsigned n, struct outcome *ret)
{
	struct otlp_http *o = self;
	struct outcome out = {.verdict = VERDICT_FAIL, .taken = 1};
	struct slice message, body;
	struct http_reply reply;
	uint64_t unused;
	char what[32];

	out.taken = otlp_encode(o->encoder, spans, n, &message);
	if (!out.taken) {
		out.taken = 1;
		otlp_reply_error(&out, "a span is larger than a request may be", (struct slice){0});
		*ret = out;
		return;
	}
	body = o->gzip ? gzip_pack(o->gzip, message, 0) : message;
	http_client_post(o->client, body, NULL, NULL, &reply);
	out.bytes = body.len;
	if (reply.status >= 200 && reply.status < 300) {
		out.verdict = VERDICT_SENT;
		otlp_reply_partial(reply.body, &out);
	} else if (reply.status) {
		snprintf(what, sizeof(what), "HTTP %d", reply.status);
		/* the reply's body should be a Status, and its text is of use then */
		if (!otlp_reply_status(reply.body, what, &out, &unused))
			otlp_reply_error(&out, what, (struct slice){0});
		if (is_temporary(reply.status))
			out.verdict = VERDICT_RETRY;
		out.retry_after_ns = reply.retry_after_ns;
	} else {
		otlp_reply_error(&out, reply.error, (struct slice){0});
		if (!reply.hopeless)
			out.verdict = VERDICT_RETRY;
	}
	*ret = out;
}

static const char *otlp_http_target(const void *self)
{
	return http_client_target(((const struct otlp_http *)self)->client);
}

const struct exporter exporter_otlp_http = {
	.name = "otlp",
	.thread = "weft-otlp",
	.new = otlp_http_new,
	.send = otlp_http_send,
	.target = otlp_http_target,
	.free = otlp_http_free,
};
