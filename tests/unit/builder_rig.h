/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges to make spans of, and what is in those. */
#pragma once
#include "core/cleanup.h"
#include "span/builder.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define OFFSET 1700000000000000000ull

static const struct endpoints ENDS = {
	.local_addr = {[10] = 0xff, [11] = 0xff, 10, 0, 0, 1},
	.remote_addr = {[10] = 0xff, [11] = 0xff, 10, 0, 0, 2},
	.local_port = 8080,
	.remote_port = 40000,
	.netns = 1,
};

static inline struct span_builder *make_with(const struct span_options *options)
{
	struct span_builder *builder;

	cr_assert_eq(span_builder_new(options, &builder), 0);
	return builder;
}

static inline struct span_builder *make(void)
{
	struct span_options options = {.query = true, .max_routes = 1000};

	return make_with(&options);
}

/* A whole exchange; one at a time. */
static inline struct exchange *call(
	enum role role, const char *method, const char *target, unsigned status)
{
	static struct exchange ex;

	memset(&ex, 0, sizeof(ex));
	ex.role = role;
	ex.ends = &ENDS;
	ex.pid = 42;
	ex.request_start_ns = 100;
	ex.request_end_ns = 110;
	ex.reply_start_ns = 190;
	ex.reply_end_ns = 200;
	ex.end = END_PAIRED;
	ex.http.method = slice_str(method);
	ex.http.target = slice_str(target);
	ex.http.host = SLICE("bank.example:8443");
	ex.http.major = ex.http.minor = 1;
	ex.http.status = (uint16_t)status;
	return &ex;
}

static inline const struct attr *find(const struct span *span, const char *key)
{
	for (unsigned i = 0; i < span->attr_count; i++)
		if (slice_eq(span->attrs[i].key, slice_str(key)))
			return &span->attrs[i];
	return NULL;
}

/* An attribute as text; "" if there is none. */
static inline const char *text_of(const struct span *span, const char *key)
{
	static char text[9000];
	const struct attr *attr = find(span, key);

	if (!attr)
		return "";
	if (attr->type == ATTR_INT)
		snprintf(text, sizeof(text), "%lld", (long long)attr->num);
	else
		snprintf(text, sizeof(text), attr->type == ATTR_STRINGS ? "[%.*s]" : "%.*s",
			(int)attr->str.len, attr->str.ptr);
	return text;
}

#define has(span, key, text)                                                                       \
	cr_assert_str_eq(text_of(span, key), text, "%s = %s", key, text_of(span, key))

static inline bool named(const struct span *span, const char *name)
{
	return slice_eq(span->name, slice_str(name));
}
