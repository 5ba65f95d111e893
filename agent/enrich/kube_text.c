/* SPDX-License-Identifier: Apache-2.0 */
/* The API server's answers as text: one object after the other, so that a page of hundreds is never
 * all in memory twice. */
#include "core/cleanup.h"
#include "enrich/kube_object.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

/* Where a string ends that begins here; 0: nowhere. */
static size_t string_length(struct slice text)
{
	for (size_t i = 1; i < text.len; i++) {
		if (text.ptr[i] == '\\')
			i++;
		else if (text.ptr[i] == '"')
			return i + 1;
	}
	return 0;
}

/* The same of any value, by its brackets and strings alone: one that cannot be parsed, or is too
 * long for it, is passed over. */
static size_t value_length(struct slice text)
{
	size_t depth = 0, i = 0;

	while (i < text.len) {
		char c = text.ptr[i];

		if (c == '"') {
			size_t n = string_length(slice_of(text.ptr + i, text.len - i));

			if (!n)
				return 0;
			i += n;
		} else if (c == '{' || c == '[') {
			depth++;
			i++;
		} else if (c == '}' || c == ']') {
			if (!depth) /* of what it stands in */
				return i;
			depth--;
			i++;
		} else if (c == ',' && !depth) {
			return i;
		} else {
			i++;
			continue;
		}
		if (!depth)
			return i;
	}
	return 0;
}

/* How many values there are in it, at least: each takes memory, however short it is. */
static size_t value_count(struct slice text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (c == '"') {
			size_t len = string_length(slice_of(text.ptr + i, text.len - i));

			if (!len)
				break;
			i += len - 1;
		}
		n += c == ',' || c == '{' || c == '[';
	}
	return n;
}

/* Strings may hold a NUL: whoever reads one takes that for nothing. */
static int parse(struct slice text, json_t **ret_value)
{
	json_error_t error;

	if (text.len > KUBE_OBJECT_MAX || value_count(text) > KUBE_VALUES_MAX)
		return -E2BIG;
	*ret_value = json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
	if (*ret_value)
		return 0;
	return json_error_code(&error) == json_error_out_of_memory    ? -ENOMEM
	       : json_error_code(&error) == json_error_stack_overflow ? -E2BIG
								      : -EINVAL;
}

/* Cuts one value off the start of text. */
static int cut_value(struct slice *text, struct slice *ret_value)
{
	size_t n = value_length(*text);

	if (!n)
		return -EINVAL;
	*ret_value = slice_of(text->ptr, n);
	text->ptr += n;
	text->len -= n;
	return 0;
}

static int take_value(struct slice *text, json_t **ret_value)
{
	struct slice value;
	int r = cut_value(text, &value);

	return r < 0 ? r : parse(value, ret_value);
}

static char skip_space(struct slice *text)
{
	while (text->len && memchr(" \t\r\n", text->ptr[0], 4)) {
		text->ptr++;
		text->len--;
	}
	return text->len ? text->ptr[0] : '\0';
}

static bool take_char(struct slice *text, char c)
{
	if (skip_space(text) != c)
		return false;
	text->ptr++;
	text->len--;
	return true;
}

/* False: it does not fit. */
static bool copy_member(const json_t *object, const char *key, char *ret, size_t cap)
{
	const char *value = json_string_value(json_object_get(object, key));

	ret[0] = '\0';
	if (!value)
		return true;
	if (strlen(value) >= cap)
		return false;
	memcpy(ret, value, strlen(value) + 1);
	return true;
}

int kube_parse(struct slice text, json_t **ret_object)
{
	json_t *object;
	int r = parse(text, &object);

	if (r < 0)
		return r;
	if (!json_is_object(object)) {
		json_decref(object);
		return -EINVAL;
	}
	*ret_object = object;
	return 0;
}

/* One that makes no sense is everybody's who can make objects: the others are still good. */
static int read_item(struct slice text, kube_item_fn item, void *ctx, struct kube_page *page)
{
	json_t *object;
	int r = kube_parse(text, &object);

	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		page->unread++;
		return 0;
	}
	r = item(ctx, object);
	json_decref(object);
	return r;
}

static int read_items(struct slice *text, kube_item_fn item, void *ctx, struct kube_page *page)
{
	if (!take_char(text, '['))
		return -EINVAL;
	if (take_char(text, ']'))
		return 0;
	do {
		struct slice value;
		int r;

		skip_space(text);
		r = cut_value(text, &value);
		if (r == 0)
			r = read_item(value, item, ctx, page);
		if (r < 0)
			return r;
	} while (take_char(text, ','));
	return take_char(text, ']') ? 0 : -EINVAL;
}

/* "key": value, of a page. */
static int read_member(
	struct slice *text, kube_item_fn item, void *ctx, struct kube_page *page, bool *seen)
{
	json_t *key, *value;
	bool items, metadata;
	int r;

	if (skip_space(text) != '"')
		return -EINVAL;
	r = take_value(text, &key);
	if (r < 0)
		return r;
	items = strcmp(json_string_value(key), "items") == 0;
	metadata = strcmp(json_string_value(key), "metadata") == 0;
	json_decref(key);
	if (!take_char(text, ':'))
		return -EINVAL;
	skip_space(text);
	if (items && text->len && text->ptr[0] == '[')
		return read_items(text, item, ctx, page);
	r = take_value(text, &value);
	if (r < 0)
		return r;
	if (metadata) {
		copy_member(value, "resourceVersion", page->version, sizeof(page->version));
		/* one that does not fit would make this the last page */
		if (!copy_member(value, "continue", page->next, sizeof(page->next)))
			r = -E2BIG;
		*seen = page->version[0];
	}
	json_decref(value);
	return r;
}

int kube_page_read(struct slice text, kube_item_fn item, void *ctx, struct kube_page *ret_page)
{
	bool seen = false;
	int r;

	memset(ret_page, 0, sizeof(*ret_page));
	if (!take_char(&text, '{'))
		return -EINVAL;
	do {
		r = read_member(&text, item, ctx, ret_page, &seen);
		if (r < 0)
			return r;
	} while (take_char(&text, ','));
	/* without a version nothing could be watched from here */
	return take_char(&text, '}') && !skip_space(&text) && seen ? 0 : -EINVAL;
}

int kube_line_read(struct slice text, struct kube_line *ret_line)
{
	static const char *const EVENTS[] = {
		[KUBE_ADDED] = "ADDED",
		[KUBE_MODIFIED] = "MODIFIED",
		[KUBE_DELETED] = "DELETED",
		[KUBE_BOOKMARK] = "BOOKMARK",
		[KUBE_ERROR] = "ERROR",
	};
	const char *type;
	json_t *line, *object;
	size_t event;
	int r = kube_parse(text, &line);

	if (r < 0)
		return r;
	memset(ret_line, 0, sizeof(*ret_line));
	type = json_string_value(json_object_get(line, "type"));
	object = json_object_get(line, "object");
	for (event = 0; type && event < ARRAY_SIZE(EVENTS); event++)
		if (strcmp(type, EVENTS[event]) == 0)
			break;
	if (!type || event == ARRAY_SIZE(EVENTS) || !json_is_object(object)) {
		json_decref(line);
		return -EINVAL;
	}
	ret_line->event = (enum kube_event)event;
	if (ret_line->event == KUBE_ERROR)
		ret_line->code = (int)json_integer_value(json_object_get(object, "code"));
	else
		ret_line->object = json_incref(object);
	copy_member(json_object_get(object, "metadata"), "resourceVersion", ret_line->version,
		sizeof(ret_line->version));
	json_decref(line);
	return 0;
}
