/* SPDX-License-Identifier: Apache-2.0 */
#include "span/span.h"

#include <assert.h>
#include <errno.h>

/* A packed span: this, attr_count packed attributes, then the text of name, trace_state and of each
 * attribute (key, then value) without gaps. */
struct packed {
	uint64_t start_ns;
	uint64_t end_ns;
	uint8_t trace_id[TRACE_ID_LEN];
	uint8_t span_id[SPAN_ID_LEN];
	uint8_t parent_id[SPAN_ID_LEN];
	uint32_t resource;
	uint32_t pid;
	uint16_t name_len;
	uint16_t trace_state_len;
	uint8_t trace_flags;
	uint8_t has_parent;
	uint8_t parent_remote;
	uint8_t link;
	uint8_t kind;
	uint8_t status;
	uint8_t attr_count;
	uint8_t unused[5]; /* attributes stand at a multiple of 8 */
};

struct packed_attr {
	int64_t num;
	uint16_t key_len;
	uint16_t str_len;
	uint8_t type;
	uint8_t unused[3];
};

static_assert(sizeof(struct packed) == SPAN_PACK_HEAD, "as the header promises");
static_assert(sizeof(struct packed_attr) == SPAN_PACK_ATTR, "as the header promises");
static_assert(SPAN_MAX_ATTRS <= UINT8_MAX, "attr_count is a byte");

const char *link_name(enum link link)
{
	static const char *const NAMES[LINK_MAX] = {
		[LINK_NONE] = "",
		[LINK_HEADER] = "header",
		[LINK_SOCKET] = "socket",
		[LINK_THREAD] = "thread",
		[LINK_FORWARD] = "forward",
	};

	return link < LINK_MAX ? NAMES[link] : "";
}

static void span_add(
	struct span *span, enum attr_type type, struct slice key, struct slice str, int64_t num)
{
	struct attr *attr;

	if (span->attr_count >= SPAN_MAX_ATTRS)
		return;
	attr = &span->attrs[span->attr_count++];
	attr->key = key;
	attr->str = str;
	attr->num = num;
	attr->type = type;
}

void span_add_str(struct span *span, struct slice key, struct slice value)
{
	span_add(span, ATTR_STRING, key, value, 0);
}

void span_add_strs(struct span *span, struct slice key, struct slice value)
{
	span_add(span, ATTR_STRINGS, key, value, 0);
}

void span_add_int(struct span *span, struct slice key, int64_t value)
{
	span_add(span, ATTR_INT, key, (struct slice){NULL, 0}, value);
}

/* The size of the packed span, 0 if a length does not fit its field. */
static size_t packed_size(const struct span *span)
{
	size_t size = sizeof(struct packed) + span->attr_count * sizeof(struct packed_attr);

	if (span->name.len > UINT16_MAX || span->trace_state.len > UINT16_MAX)
		return 0;
	size += span->name.len + span->trace_state.len;
	for (unsigned i = 0; i < span->attr_count; i++) {
		const struct attr *attr = &span->attrs[i];

		if (attr->key.len > UINT16_MAX || attr->str.len > UINT16_MAX)
			return 0;
		size += attr->key.len + attr->str.len;
	}
	return (size + 7) & ~(size_t)7;
}

static char *put(char *to, struct slice s)
{
	if (s.len)
		memcpy(to, s.ptr, s.len);
	return to + s.len;
}

int span_pack(const struct span *span, void *buf, size_t cap)
{
	struct packed *head = buf;
	struct packed_attr *attrs = (struct packed_attr *)(head + 1);
	size_t size = packed_size(span);
	char *text, *end;

	if (size == 0 || size > cap)
		return -ENOSPC;
	memset(head, 0, sizeof(*head));
	head->start_ns = span->start_ns;
	head->end_ns = span->end_ns;
	memcpy(head->trace_id, span->trace_id, TRACE_ID_LEN);
	memcpy(head->span_id, span->span_id, SPAN_ID_LEN);
	memcpy(head->parent_id, span->parent_id, SPAN_ID_LEN);
	head->resource = span->resource;
	head->pid = span->pid;
	head->name_len = (uint16_t)span->name.len;
	head->trace_state_len = (uint16_t)span->trace_state.len;
	head->trace_flags = span->trace_flags;
	head->has_parent = span->has_parent;
	head->parent_remote = span->parent_remote;
	head->link = (uint8_t)span->link;
	head->kind = (uint8_t)span->kind;
	head->status = (uint8_t)span->status;
	head->attr_count = (uint8_t)span->attr_count;

	text = put((char *)(attrs + span->attr_count), span->name);
	text = put(text, span->trace_state);
	for (unsigned i = 0; i < span->attr_count; i++) {
		const struct attr *attr = &span->attrs[i];

		attrs[i] = (struct packed_attr){
			.num = attr->num,
			.key_len = (uint16_t)attr->key.len,
			.str_len = (uint16_t)attr->str.len,
			.type = (uint8_t)attr->type,
		};
		text = put(text, attr->key);
		text = put(text, attr->str);
	}
	end = (char *)buf + size;
	memset(text, 0, (size_t)(end - text));
	return (int)size;
}

static struct slice take(const char **from, size_t len)
{
	struct slice s = {*from, len};

	*from += len;
	return s;
}

void span_unpack(const void *buf, size_t len, struct span *ret_span)
{
	const struct packed *head = buf;
	const struct packed_attr *attrs = (const struct packed_attr *)(head + 1);
	const char *text = (const char *)(attrs + head->attr_count);

	memcpy(ret_span->trace_id, head->trace_id, TRACE_ID_LEN);
	memcpy(ret_span->span_id, head->span_id, SPAN_ID_LEN);
	memcpy(ret_span->parent_id, head->parent_id, SPAN_ID_LEN);
	ret_span->has_parent = head->has_parent;
	ret_span->parent_remote = head->parent_remote;
	ret_span->trace_flags = head->trace_flags;
	ret_span->link = head->link;
	ret_span->kind = head->kind;
	ret_span->status = head->status;
	ret_span->resource = head->resource;
	ret_span->pid = head->pid;
	ret_span->start_ns = head->start_ns;
	ret_span->end_ns = head->end_ns;
	ret_span->name = take(&text, head->name_len);
	ret_span->trace_state = take(&text, head->trace_state_len);
	ret_span->attr_count = head->attr_count;
	for (unsigned i = 0; i < head->attr_count; i++) {
		struct attr *attr = &ret_span->attrs[i];

		attr->key = take(&text, attrs[i].key_len);
		attr->str = take(&text, attrs[i].str_len);
		attr->num = attrs[i].num;
		attr->type = attrs[i].type;
	}
	assert(text <= (const char *)buf + len);
	(void)len;
}

void span_packed_identify(void *buf, const uint8_t trace_id[static TRACE_ID_LEN],
	const uint8_t parent_id[static SPAN_ID_LEN], bool has_parent, bool parent_remote,
	uint8_t trace_flags, enum link link)
{
	struct packed *head = buf;

	memcpy(head->trace_id, trace_id, TRACE_ID_LEN);
	memcpy(head->parent_id, parent_id, SPAN_ID_LEN);
	head->has_parent = has_parent;
	head->parent_remote = parent_remote;
	head->trace_flags = trace_flags;
	head->link = (uint8_t)link;
}
