/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/rules.h"
#include "core/cleanup.h"

#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>

#define PID_LIMIT (1u << 22) /* PID_MAX_LIMIT of 64-bit kernels */

static const char *const kind_names[] = {
	[RULE_EXE] = "exe",
	[RULE_PID] = "pid",
	[RULE_PORT] = "port",
	[RULE_CGROUP] = "cgroup",
	[RULE_NAMESPACE] = "namespace",
	[RULE_POD] = "pod",
	[RULE_CONTAINER] = "container",
	[RULE_OWNER] = "owner",
	[RULE_LABEL] = "label",
	[RULE_ANNOTATION] = "annotation",
};

const char *rule_kind_name(enum rule_kind kind)
{
	return kind_names[kind];
}

static int parse_number(struct rule *rule, struct slice value, uint64_t max,
	char ret_error[static RULE_ERROR_BYTES])
{
	uint64_t number;

	if (slice_u64(value, &number) < 0 || number < 1 || number > max) {
		snprintf(ret_error, RULE_ERROR_BYTES, "%s: \"%.*s\" is not a number from 1 to %u",
			kind_names[rule->kind], (int)(value.len < 64 ? value.len : 64), value.ptr,
			(unsigned)max);
		return -EINVAL;
	}
	rule->number = (uint32_t)number;
	return 0;
}

/* Of "KIND/GLOB" and "KEY=GLOB", both parts are needed: a forgotten one would match everything. */
static int check_parts(const struct rule *rule, char separator, const char *form,
	char ret_error[static RULE_ERROR_BYTES])
{
	const char *at = strchr(rule->text, separator);

	/* the key of a label can have a slash itself, that of an owner's kind cannot */
	if (at && at != rule->text && at[1])
		return 0;
	snprintf(ret_error, RULE_ERROR_BYTES, "%s: \"%.64s\" is not %s", kind_names[rule->kind],
		rule->text, form);
	return -EINVAL;
}

static int parse_glob(
	struct rule *rule, struct slice value, char ret_error[static RULE_ERROR_BYTES])
{
	const char *kind = kind_names[rule->kind];

	if (!value.len) {
		snprintf(ret_error, RULE_ERROR_BYTES, "%s: is empty", kind);
		return -EINVAL;
	}
	if (value.len >= RULE_TEXT || memchr(value.ptr, '\0', value.len)) {
		snprintf(ret_error, RULE_ERROR_BYTES, "%s: is longer than %d bytes", kind,
			RULE_TEXT - 1);
		return -EINVAL;
	}
	if (rule->kind == RULE_CGROUP && value.ptr[0] != '/' && value.ptr[0] != '*') {
		snprintf(ret_error, RULE_ERROR_BYTES,
			"cgroup: \"%.*s\" does not start with / (the path below the cgroup v2 "
			"mount)",
			(int)(value.len < 64 ? value.len : 64), value.ptr);
		return -EINVAL;
	}
	memcpy(rule->text, value.ptr, value.len);
	if (rule->kind == RULE_OWNER)
		return check_parts(rule, '/', "KIND/GLOB, such as Deployment/shop-*", ret_error);
	if (rule->kind == RULE_LABEL || rule->kind == RULE_ANNOTATION)
		return check_parts(rule, '=', "KEY=GLOB, such as app=shop or app=*", ret_error);
	return 0;
}

int rule_parse(struct slice text, bool exclude, struct rule *ret_rule,
	char ret_error[static RULE_ERROR_BYTES])
{
	struct rule rule = {.exclude = exclude};
	struct slice value = slice_trim(text);
	struct slice kind = slice_trim(slice_cut(&value, '='));
	size_t i;
	int r;

	value = slice_trim(value);
	for (i = 0; i < ARRAY_SIZE(kind_names); i++)
		if (slice_eq(kind, slice_str(kind_names[i])))
			break;
	if (i == ARRAY_SIZE(kind_names)) {
		snprintf(ret_error, RULE_ERROR_BYTES, "\"%.*s\" is not " RULE_FORMS,
			(int)(text.len < 64 ? text.len : 64), text.len ? text.ptr : "");
		return -EINVAL;
	}
	rule.kind = (enum rule_kind)i;
	switch (rule.kind) {
	case RULE_PID:
		r = parse_number(&rule, value, PID_LIMIT, ret_error);
		break;
	case RULE_PORT:
		r = parse_number(&rule, value, UINT16_MAX, ret_error);
		break;
	default:
		r = parse_glob(&rule, value, ret_error);
	}
	if (r < 0)
		return r;
	*ret_rule = rule;
	return 0;
}

void rule_text(const struct rule *rule, char *ret_text, size_t cap)
{
	if (rule->kind == RULE_PID || rule->kind == RULE_PORT)
		snprintf(ret_text, cap, "%s=%u", kind_names[rule->kind], rule->number);
	else
		snprintf(ret_text, cap, "%s=%s", kind_names[rule->kind], rule->text);
}

bool rules_have_include(const struct rules *rules)
{
	for (unsigned i = 0; i < rules->n; i++)
		if (!rules->v[i].exclude)
			return true;
	return false;
}

bool rules_have_pods(const struct rules *rules)
{
	for (unsigned i = 0; i < rules->n; i++)
		if (rules->v[i].kind >= RULE_NAMESPACE)
			return true;
	return false;
}

/* A replaced binary keeps running under its old name with this behind it. */
static bool match_exe(const char *glob, const char *exe)
{
	static const char deleted[] = " (deleted)";
	size_t len = strlen(exe);
	char path[PATH_MAX];
	const char *base;

	if (len >= sizeof(path))
		return false;
	memcpy(path, exe, len + 1);
	if (len > sizeof(deleted) - 1 && strcmp(path + len - (sizeof(deleted) - 1), deleted) == 0)
		path[len - (sizeof(deleted) - 1)] = '\0';
	base = strrchr(path, '/');
	return fnmatch(glob, base && !strchr(glob, '/') ? base + 1 : path, 0) == 0;
}

static bool match_text(const char *glob, const char *text)
{
	return text && fnmatch(glob, text, 0) == 0;
}

static bool match_owner(const char *text, const struct rule_pod *pod)
{
	struct slice name = slice_str(text);
	struct slice kind = slice_cut(&name, '/');

	for (unsigned i = 0; i < RULE_OWNERS; i++)
		if (pod->owners[i].kind && slice_eq_nocase(kind, slice_str(pod->owners[i].kind)) &&
			match_text(name.ptr, pod->owners[i].name))
			return true;
	return false;
}

static bool match_pod(const struct rule *rule, const struct rule_pod *pod)
{
	struct slice glob = slice_str(rule->text);
	struct slice key = slice_cut(&glob, '=');

	switch (rule->kind) {
	case RULE_NAMESPACE:
		return match_text(rule->text, pod->namespace);
	case RULE_POD:
		return match_text(rule->text, pod->name);
	case RULE_CONTAINER:
		return match_text(rule->text, pod->container);
	case RULE_OWNER:
		return match_owner(rule->text, pod);
	case RULE_LABEL:
		return pod->object && match_text(glob.ptr, pod->label(pod->object, key));
	default:
		return pod->object && match_text(glob.ptr, pod->annotation(pod->object, key));
	}
}

static bool match_process(const struct rule *rule, const struct rule_subject *subject)
{
	switch (rule->kind) {
	case RULE_EXE:
		return subject->exe && match_exe(rule->text, subject->exe);
	case RULE_PID:
		return rule->number == subject->pid;
	case RULE_CGROUP:
		return subject->cgroup &&
		       (strcmp(rule->text, "/") == 0 ||
			       fnmatch(rule->text, subject->cgroup, FNM_LEADING_DIR) == 0);
	case RULE_PORT:
		return false;
	default:
		return subject->pod && match_pod(rule, subject->pod);
	}
}

static enum rules_verdict verdict_of(const struct rule *rule)
{
	return rule->exclude ? RULES_EXCLUDE : RULES_INCLUDE;
}

enum rules_verdict rules_match_process(
	const struct rules *rules, const struct rule_subject *subject)
{
	enum rules_verdict verdict = RULES_SILENT;

	for (unsigned i = 0; i < rules->n; i++)
		if (verdict_of(&rules->v[i]) > verdict && match_process(&rules->v[i], subject))
			verdict = verdict_of(&rules->v[i]);
	return verdict;
}

enum rules_verdict rules_match_port(const struct rules *rules, uint16_t port)
{
	enum rules_verdict verdict = RULES_SILENT;

	for (unsigned i = 0; i < rules->n; i++)
		if (rules->v[i].kind == RULE_PORT && rules->v[i].number == port &&
			verdict_of(&rules->v[i]) > verdict)
			verdict = verdict_of(&rules->v[i]);
	return verdict;
}

bool rules_equal(const struct rules *a, const struct rules *b)
{
	if (a->n != b->n)
		return false;
	for (unsigned i = 0; i < a->n; i++) {
		const struct rule *x = &a->v[i], *y = &b->v[i];

		if (x->exclude != y->exclude || x->kind != y->kind || x->number != y->number ||
			strcmp(x->text, y->text) != 0)
			return false;
	}
	return true;
}
