/* SPDX-License-Identifier: Apache-2.0 */
/* The API server's answers as text: one object after the other, so that a page of hundreds is never
 * all in memory twice. */
#include "core/cleanup.h"
#include "enrich/kube_object.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

/* Parses one value at the start of text and cuts it off. NUL bytes inside of strings are refused:
 * what follows one would be lost silently. */
static int take_value(struct slice *text, json_t **ret_value)
{
	bool long_ = text->len > KUBE_OBJECT_MAX;
	json_error_t error;
	json_t *value = json_loadb(text->ptr, long_ ? KUBE_OBJECT_MAX : text->len,
		JSON_DISABLE_EOF_CHECK | JSON_DECODE_ANY, &error);

	if (!value)
		return json_error_code(&error) == json_error_out_of_memory ? -ENOMEM
		       : json_error_code(&error) == json_error_stack_overflow ||
				       (long_ && error.position >= (int)KUBE_OBJECT_MAX)
			       ? -E2BIG
			       : -EINVAL;
	text->ptr += error.position;
	text->len -= (size_t)error.position;
	*ret_value = value;
	return 0;
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

static void copy_member(const json_t *object, const char *key, char *ret, size_t cap)
{
	const char *value = json_string_value(json_object_get(object, key));

	ret[0] = '\0';
	if (value && strlen(value) < cap)
		memcpy(ret, value, strlen(value) + 1);
}

int kube_parse(struct slice text, json_t **ret_object)
{
	json_t *object;
	int r = take_value(&text, &object);

	if (r < 0)
		return r;
	if (!json_is_object(object) || skip_space(&text)) {
		json_decref(object);
		return -EINVAL;
	}
	*ret_object = object;
	return 0;
}

static int read_items(struct slice *text, kube_item_fn item, void *ctx)
{
	if (!take_char(text, '['))
		return -EINVAL;
	if (take_char(text, ']'))
		return 0;
	do {
		json_t *object;
		int r = take_value(text, &object);

		if (r < 0)
			return r;
		r = json_is_object(object) ? item(ctx, object) : -EINVAL;
		json_decref(object);
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
		return read_items(text, item, ctx);
	r = take_value(text, &value);
	if (r < 0)
		return r;
	if (metadata) {
		copy_member(value, "resourceVersion", page->version, sizeof(page->version));
		copy_member(value, "continue", page->next, sizeof(page->next));
		*seen = page->version[0];
	}
	json_decref(value);
	return 0;
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
