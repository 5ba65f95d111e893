/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "k=v,k2=v2" of OTEL_EXPORTER_OTLP_HEADERS and OTEL_RESOURCE_ATTRIBUTES: W3C Baggage without
 * properties, values percent-encoded. Headers are kept decoded, attributes as they are. Header
 * values stand in no message.
 */
#include "config_table.h"

#include <ctype.h>
#include <errno.h>

static bool is_token(struct slice s) /* RFC 9110, 5.6.2 */
{
	for (size_t i = 0; i < s.len; i++)
		if (!s.ptr[i] ||
			(!isalnum((unsigned char)s.ptr[i]) && !strchr("!#$%&'*+-.^_`|~", s.ptr[i])))
			return false;
	return s.len > 0;
}

/* Decodes %XX; a % that starts none is an error. The length, or -EINVAL. */
static int percent_decode(struct slice value, char *ret_text, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < value.len; i++) {
		uint64_t byte = (unsigned char)value.ptr[i];

		if (byte == '%') {
			if (value.len - i < 3 ||
				slice_hex_u64(slice_of(value.ptr + i + 1, 2), &byte) < 0)
				return -EINVAL;
			i += 2;
		}
		if (n + 1 >= cap)
			return -EINVAL;
		ret_text[n++] = (char)byte;
	}
	return (int)n;
}

static size_t percent_encode(struct slice value, char *ret_text, size_t cap)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t n = 0;

	for (size_t i = 0; i < value.len && n + 3 < cap; i++) {
		unsigned char c = (unsigned char)value.ptr[i];

		if (isalnum(c) || (c && strchr("-._~/:@+", c))) {
			ret_text[n++] = (char)c;
		} else {
			ret_text[n++] = '%';
			ret_text[n++] = hex[c >> 4];
			ret_text[n++] = hex[c & 15];
		}
	}
	return n;
}

static int append(char *field, size_t size, struct slice name, struct slice value)
{
	size_t len = strlen(field);
	int n = snprintf(field + len, size - len, "%s%.*s=%.*s", len ? "," : "", (int)name.len,
		name.ptr, (int)value.len, value.len ? value.ptr : "");

	if (n < 0 || (size_t)n >= size - len) {
		field[len] = '\0';
		return -ENOSPC;
	}
	return 0;
}

static int add_header(const struct option *o, char *field, struct slice name, struct slice value,
	char ret_reason[static OPTION_REASON_BYTES])
{
	char quoted[OPTION_QUOTE_BYTES];

	if (!is_token(name)) {
		snprintf(ret_reason, OPTION_REASON_BYTES, "%s is not a header name",
			option_quote(name, quoted));
		return -EINVAL;
	}
	for (size_t i = 0; i < value.len; i++) {
		if (value.ptr[i] != ',' && !iscntrl((unsigned char)value.ptr[i]))
			continue;
		snprintf(ret_reason, OPTION_REASON_BYTES,
			"the value of %s holds a %s, which cannot be sent",
			option_quote(name, quoted),
			value.ptr[i] == ',' ? "comma" : "control character");
		return -EINVAL;
	}
	if (append(field, o->size, name, value) < 0) {
		snprintf(ret_reason, OPTION_REASON_BYTES, "is longer than %zu bytes", o->size - 1);
		return -EINVAL;
	}
	return 0;
}

int option_set_pair(const struct option *o, struct config *config, struct slice name,
	struct slice value, char ret_reason[static OPTION_REASON_BYTES])
{
	char *field = (char *)config + o->offset;
	char encoded[2048];
	size_t n;

	if (o->type == OPT_HEADERS)
		return add_header(o, field, name, value, ret_reason);
	if (!is_token(name)) {
		char quoted[OPTION_QUOTE_BYTES];

		snprintf(ret_reason, OPTION_REASON_BYTES, "%s is not an attribute name",
			option_quote(name, quoted));
		return -EINVAL;
	}
	n = percent_encode(value, encoded, sizeof(encoded));
	if (append(field, o->size, name, slice_of(encoded, n)) < 0) {
		snprintf(ret_reason, OPTION_REASON_BYTES, "is longer than %zu bytes", o->size - 1);
		return -EINVAL;
	}
	return 0;
}

static int add_encoded(const struct option *o, char *field, unsigned index, struct slice item,
	char ret_reason[static OPTION_REASON_BYTES])
{
	struct slice value = item;
	struct slice name = slice_trim(slice_cut(&value, '='));
	char decoded[4096];
	int n;

	if (!value.ptr || !name.len) {
		snprintf(ret_reason, OPTION_REASON_BYTES, "item %u is not name=value", index);
		return -EINVAL;
	}
	value = slice_trim(value);
	n = percent_decode(value, decoded, sizeof(decoded));
	if (n < 0) {
		snprintf(ret_reason, OPTION_REASON_BYTES,
			"item %u: a %% is not followed by two hexadecimal digits (write %%25)",
			index);
		return -EINVAL;
	}
	if (o->type == OPT_HEADERS)
		return add_header(o, field, name, slice_of(decoded, (size_t)n), ret_reason);
	if (append(field, o->size, name, value) < 0) {
		snprintf(ret_reason, OPTION_REASON_BYTES, "is longer than %zu bytes", o->size - 1);
		return -EINVAL;
	}
	return 0;
}

int option_set_pairs(const struct option *o, struct config *config, struct slice text,
	char ret_reason[static OPTION_REASON_BYTES])
{
	char *field = (char *)config + o->offset;
	unsigned index = 0;

	field[0] = '\0';
	while (text.len) {
		struct slice item = slice_trim(slice_cut(&text, ','));
		int r;

		index++;
		if (!item.len)
			continue;
		r = add_encoded(o, field, index, item, ret_reason);
		if (r < 0)
			return r;
	}
	return 0;
}
