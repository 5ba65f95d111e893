/* SPDX-License-Identifier: Apache-2.0 */
#include "enrich/process.h"

#include "core/cleanup.h"
#include "enrich/instrumented.h"
#include "span/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>

static const struct slice SERVICE_NAME = {"service.name", 12};
static const struct slice SERVICE_INSTANCE = {"service.instance.id", 19};

static struct attr *attr_find(struct process_attrs *attrs, struct slice key)
{
	for (unsigned i = 0; i < attrs->n; i++)
		if (slice_eq(attrs->attrs[i].key, key))
			return &attrs->attrs[i];
	return NULL;
}

/* With this much room for all attributes. */
static bool attr_set(struct process_attrs *attrs, unsigned max, size_t max_text, struct slice key,
	struct slice value)
{
	struct text text = {.buf = attrs->text, .cap = max_text, .used = attrs->used};
	struct attr *attr = attr_find(attrs, key);
	size_t from;

	if (!attr && attrs->n >= max)
		return false;
	text_put(&text, key);
	key = text_since(&text, attrs->used);
	from = text.used;
	text_put(&text, value);
	value = text_since(&text, from);
	if (text.cut)
		return false;
	if (!attr)
		attr = &attrs->attrs[attrs->n++];
	*attr = (struct attr){.key = key, .str = value, .type = ATTR_STRING};
	attrs->used = text.used;
	return true;
}

bool process_attr_set(struct process_attrs *attrs, struct slice key, struct slice value)
{
	return attr_set(attrs, RESOURCE_MAX_ATTRS, RESOURCE_TEXT, key, value);
}

/* What the process says of itself. */
static bool own_set(struct process_attrs *attrs, struct slice key, struct slice value)
{
	return attr_set(attrs, PROCESS_MAX_ATTRS, PROCESS_TEXT, key, value);
}

bool process_attr_set_int(struct process_attrs *attrs, struct slice key, int64_t value)
{
	struct attr *attr;

	if (!process_attr_set(attrs, key, (struct slice){NULL, 0}))
		return false;
	attr = attr_find(attrs, key);
	attr->type = ATTR_INT;
	attr->num = value;
	return true;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decodes into text. -EINVAL: a "%" without two digits, or no UTF-8. */
static int decode(struct text *text, struct slice s, struct slice *ret_decoded)
{
	size_t from = text->used;
	struct slice decoded;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];

		if (c == '%') {
			if (s.len - i < 3 || hex(s.ptr[i + 1]) < 0 || hex(s.ptr[i + 2]) < 0)
				return -EINVAL;
			c = (char)(hex(s.ptr[i + 1]) << 4 | hex(s.ptr[i + 2]));
			i += 2;
		}
		text_put(text, slice_of(&c, 1));
	}
	decoded = text_since(text, from);
	if (utf8_prefix(decoded) != decoded.len)
		return -EINVAL;
	*ret_decoded = decoded;
	return 0;
}

/* Checks the whole list first (set NULL), then sets what is in it. */
static int attrs_parse(struct process_attrs *set, struct slice list, bool is_extra)
{
	char buf[PROCESS_TEXT];

	while (list.len) {
		struct text text = {.buf = buf, .cap = sizeof(buf)};
		struct slice pair = slice_trim(slice_cut(&list, ','));
		struct slice key, value;
		const char *equals;

		if (!pair.len)
			continue;
		equals = memchr(pair.ptr, '=', pair.len);
		if (!equals)
			return -EINVAL;
		value = slice_of(equals + 1, pair.len - (size_t)(equals + 1 - pair.ptr));
		key = slice_trim(slice_of(pair.ptr, (size_t)(equals - pair.ptr)));
		if (decode(&text, key, &key) || decode(&text, slice_trim(value), &value) ||
			!key.len)
			return -EINVAL;
		if (!set || text.cut)
			continue;
		if (is_extra && (slice_eq(key, SERVICE_NAME) || slice_eq(key, SERVICE_INSTANCE)))
			continue;
		own_set(set, key, value);
	}
	return 0;
}

static int attrs_add(struct process_attrs *attrs, struct slice list, bool is_extra)
{
	int r = attrs_parse(NULL, list, is_extra);

	return r < 0 ? r : attrs_parse(attrs, list, is_extra);
}

int process_attrs_parse(struct process_attrs *attrs, struct slice list)
{
	return attrs_add(attrs, list, false);
}

struct slice process_env(struct slice env, struct slice name)
{
	while (env.len && memchr(env.ptr, '\0', env.len)) {
		struct slice s = slice_cut(&env, '\0');

		if (s.len > name.len && s.ptr[name.len] == '=' && slice_starts(s, name))
			return slice_of(s.ptr + name.len + 1, s.len - name.len - 1);
	}
	return (struct slice){NULL, 0};
}

static struct slice base_name(struct slice path)
{
	const char *slash = path.len ? memrchr(path.ptr, '/', path.len) : NULL;

	return slash ? slice_of(slash + 1, path.len - (size_t)(slash + 1 - path.ptr)) : path;
}

static void set_joined(struct process_attrs *attrs, struct slice key, struct slice a,
	struct slice sep, struct slice b)
{
	char buf[1024];
	struct text text = {.buf = buf, .cap = sizeof(buf)};

	text_put(&text, a);
	text_put(&text, sep);
	text_put(&text, b);
	own_set(attrs, key, text_since(&text, 0));
}

void process_attrs_make(const struct process_info *info, const struct process_host *host,
	struct process_attrs *ret_attrs)
{
	char buf[1024];
	struct text text = {.buf = buf, .cap = sizeof(buf)};
	struct slice name = process_env(info->environ, SLICE("OTEL_SERVICE_NAME"));
	struct slice exe = base_name(info->exe.len ? info->exe : info->comm), named;
	const struct attr *service;

	ret_attrs->n = 0;
	ret_attrs->used = 0;
	exe = text_utf8(&text, exe.len ? exe : SLICE("unknown"));
	name = text_utf8(&text, slice_trim(name));

	/* service.name first, so that it is there whatever else finds no room. */
	if (!name.len || !own_set(ret_attrs, SERVICE_NAME, name))
		set_joined(ret_attrs, SERVICE_NAME, SLICE("unknown_service"), SLICE(":"), exe);
	named = attr_find(ret_attrs, SERVICE_NAME)->str;
	attrs_add(ret_attrs, host->resource_attributes, true);
	if (host->host_name.len)
		own_set(ret_attrs, SLICE("host.name"), host->host_name);
	own_set(ret_attrs, SLICE("os.type"), SLICE("linux"));
	own_set(ret_attrs, SLICE("process.executable.name"), exe);
	process_attrs_parse(
		ret_attrs, process_env(info->environ, SLICE("OTEL_RESOURCE_ATTRIBUTES")));
	/* it wins; set as before, which takes no room */
	if (name.len)
		attr_find(ret_attrs, SERVICE_NAME)->str = named;

	service = attr_find(ret_attrs, SERVICE_NAME);
	if (!service->str.len)
		set_joined(ret_attrs, SERVICE_NAME, SLICE("unknown_service"), SLICE(":"), exe);
	ret_attrs->has_instance = attr_find(ret_attrs, SERVICE_INSTANCE);
	if (host->host_name.len && !ret_attrs->has_instance)
		set_joined(ret_attrs, SERVICE_INSTANCE, host->host_name, SLICE("."), service->str);
}

/* The path of the executable; the fallback if it cannot be read. */
static struct slice read_exe(uint32_t pid, char buf[static PATH_MAX], struct slice fallback)
{
	static const struct slice DELETED = {" (deleted)", 10};
	char path[32];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	n = readlink(path, buf, PATH_MAX);
	if (n <= 0)
		return fallback;
	if ((size_t)n > DELETED.len && memcmp(buf + n - DELETED.len, DELETED.ptr, DELETED.len) == 0)
		n -= (ssize_t)DELETED.len;
	return slice_of(buf, (size_t)n);
}

static struct slice read_environ(uint32_t pid, char *buf)
{
	_close_ int fd = -1;
	char path[32];
	size_t used = 0;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u/environ", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return (struct slice){NULL, 0};
	while (used < PROCESS_ENVIRON && (n = read(fd, buf + used, PROCESS_ENVIRON - used)) > 0)
		used += (size_t)n;
	return slice_of(buf, used);
}

bool process_describe(uint32_t pid, struct slice fallback_comm, struct slice fallback_exe,
	const struct process_host *host, struct process_attrs *ret_attrs)
{
	_free_ char *env = malloc(PROCESS_ENVIRON);
	char exe[PATH_MAX];
	struct process_info info = {
		.exe = read_exe(pid, exe, fallback_exe),
		.comm = fallback_comm,
	};

	if (env)
		info.environ = read_environ(pid, env);
	process_attrs_make(&info, host, ret_attrs);
	return instrumented_by_environ(info.environ);
}
