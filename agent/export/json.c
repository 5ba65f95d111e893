/* SPDX-License-Identifier: Apache-2.0 */
#include "export/json.h"

#include "enrich/resource.h"
#include "export/exporter.h"
#include "export/output.h"
#include "span/span.h"
#include "span/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* RFC 8259, 7. What is not UTF-8 is mended. */
static void put_string(FILE *to, struct slice s)
{
	char mended[SPAN_PACK_MAX];
	struct text text = {.buf = mended, .cap = sizeof(mended)};

	s = text_utf8(&text, s);
	putc_unlocked('"', to);
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if (c == '"' || c == '\\')
			putc_unlocked('\\', to);
		if (c < ' ' || c == 0x7f)
			fprintf(to, "\\u%04x", c);
		else
			putc_unlocked(c, to);
	}
	putc_unlocked('"', to);
}

static void put_hex(FILE *to, const char *key, const uint8_t *bytes, size_t len)
{
	fprintf(to, "\"%s\":\"", key);
	for (size_t i = 0; i < len; i++) {
		putc_unlocked("0123456789abcdef"[bytes[i] >> 4], to);
		putc_unlocked("0123456789abcdef"[bytes[i] & 15], to);
	}
	fputs("\",", to);
}

static void put_text(FILE *to, const char *key, struct slice s)
{
	fprintf(to, "\"%s\":", key);
	put_string(to, s);
	putc_unlocked(',', to);
}

static void put_attrs(FILE *to, const char *key, const struct attr *attrs, unsigned n)
{
	fprintf(to, "\"%s\":{", key);
	for (unsigned i = 0; i < n; i++) {
		const struct attr *attr = &attrs[i];

		if (i)
			putc_unlocked(',', to);
		put_string(to, attr->key);
		putc_unlocked(':', to);
		switch (attr->type) {
		case ATTR_STRING:
			put_string(to, attr->str);
			break;
		case ATTR_INT:
			fprintf(to, "%" PRId64, attr->num);
			break;
		case ATTR_STRINGS:
			putc_unlocked('[', to);
			put_string(to, attr->str);
			putc_unlocked(']', to);
			break;
		}
	}
	putc_unlocked('}', to);
}

void json_span(FILE *to, const struct span *span, const struct resource *resource)
{
	static const char *const KINDS[] = {
		[SPAN_INTERNAL] = "internal", [SPAN_SERVER] = "server", [SPAN_CLIENT] = "client"};
	static const char *const STATUSES[] = {
		[SPAN_UNSET] = "unset", [SPAN_OK] = "ok", [SPAN_ERROR] = "error"};

	putc_unlocked('{', to);
	put_hex(to, "trace_id", span->trace_id, TRACE_ID_LEN);
	put_hex(to, "span_id", span->span_id, SPAN_ID_LEN);
	if (span->has_parent)
		put_hex(to, "parent_id", span->parent_id, SPAN_ID_LEN);
	else
		fputs("\"parent_id\":null,", to);
	fprintf(to, "\"parent_remote\":%s,", span->parent_remote ? "true" : "false");
	put_text(to, "name", span->name);
	put_text(to, "service", resource_service(resource));
	put_text(to, "kind", slice_str(KINDS[span->kind]));
	put_text(to, "status", slice_str(STATUSES[span->status]));
	if (span->link != LINK_NONE)
		put_text(to, "link", slice_str(link_name(span->link)));
	else
		fputs("\"link\":null,", to);
	fprintf(to, "\"start_unix_ns\":%" PRIu64 ",\"end_unix_ns\":%" PRIu64 ",", span->start_ns,
		span->end_ns);
	fprintf(to, "\"trace_flags\":%u,\"pid\":%u,", span->trace_flags, span->pid);
	put_text(to, "trace_state", span->trace_state);
	put_attrs(to, "attributes", span->attrs, span->attr_count);
	putc_unlocked(',', to);
	put_attrs(to, "resource", resource->attrs, resource->n);
	fputs("}\n", to);
}

struct json {
	const struct resource_table *resources;
	const _Atomic uint64_t *deadline_ns;
	FILE *memory; /* a batch's lines */
	char *buf;
	size_t len;
};

static void exporter_json_free(void *self)
{
	struct json *j = self;

	if (j->memory)
		fclose(j->memory);
	free(j->buf);
	free(j);
}

static int exporter_json_new(const struct exporter_env *env, void **ret_self, const char **ret_why)
{
	struct json *j = calloc(1, sizeof(*j));

	(void)ret_why;
	if (!j)
		return -ENOMEM;
	j->resources = env->resources;
	j->deadline_ns = env->deadline_ns;
	j->memory = open_memstream(&j->buf, &j->len);
	if (!j->memory) {
		exporter_json_free(j);
		return -ENOMEM;
	}
	*ret_self = j;
	return 0;
}

static void exporter_json_send(
	void *self, const struct slice *spans, unsigned n, struct outcome *ret)
{
	struct outcome out = {.verdict = VERDICT_SENT, .taken = n};
	struct json *j = self;
	struct span span;
	char text[64];
	int r = 0;

	rewind(j->memory);
	for (unsigned i = 0; i < n; i++) {
		span_unpack(spans[i].ptr, spans[i].len, &span);
		json_span(j->memory, &span, resource_get(j->resources, span.resource));
	}
	if (fflush(j->memory) || ferror(j->memory))
		r = -ENOMEM;
	else
		r = output_write(STDOUT_FILENO, j->buf, j->len, j->deadline_ns);
	if (r) {
		out.verdict = VERDICT_FAIL;
		snprintf(out.error, sizeof(out.error), "%s", strerror_r(-r, text, sizeof(text)));
	} else {
		out.bytes = j->len;
	}
	*ret = out;
}

static const char *exporter_json_target(const void *self)
{
	(void)self;
	return "stdout";
}

const struct exporter exporter_json = {
	.name = "json",
	.thread = "weft-json",
	.max_delay_ms = 100,
	.new = exporter_json_new,
	.send = exporter_json_send,
	.target = exporter_json_target,
	.free = exporter_json_free,
};
