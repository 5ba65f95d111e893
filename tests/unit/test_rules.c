/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/rules.h"
#include "core/cleanup.h"

#include <criterion/criterion.h>

static struct rules rules_of(const char *const *texts, unsigned n)
{
	struct rules rules = {0};

	for (unsigned i = 0; i < n; i++) {
		bool exclude = texts[i][0] == '!';
		char error[RULE_ERROR_BYTES] = "";

		cr_assert_eq(rule_parse(slice_str(texts[i] + exclude), exclude, &rules.v[rules.n++],
				     error),
			0, "%s: %s", texts[i], error);
	}
	return rules;
}

#define RULES(...)                                                                                 \
	rules_of((const char *const[]){__VA_ARGS__},                                               \
		(unsigned)ARRAY_SIZE(((const char *const[]){__VA_ARGS__})))

Test(rules, good)
{
	static const struct {
		const char *text, *again;
	} cases[] = {
		{"exe=/usr/sbin/nginx", "exe=/usr/sbin/nginx"},
		{" exe = python3* ", "exe=python3*"},
		{"pid=1", "pid=1"},
		{"pid=4194304", "pid=4194304"},
		{"port=65535", "port=65535"},
		{"cgroup=/system.slice/a=b.service", "cgroup=/system.slice/a=b.service"},
		{"cgroup=*pod1*", "cgroup=*pod1*"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rule rule;
		char error[RULE_ERROR_BYTES], text[300];

		cr_assert_eq(rule_parse(slice_str(cases[i].text), true, &rule, error), 0);
		cr_assert(rule.exclude);
		rule_text(&rule, text, sizeof(text));
		cr_assert_str_eq(text, cases[i].again);
	}
}

Test(rules, bad)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{"", "\"\" is not " RULE_FORMS},
		{"nginx", "\"nginx\" is not " RULE_FORMS},
		{"name=x", "\"name=x\" is not " RULE_FORMS},
		{"owner=web", "owner: \"web\" is not KIND/GLOB, such as Deployment/shop-*"},
		{"owner=/web", "owner: \"/web\" is not KIND/GLOB, such as Deployment/shop-*"},
		{"label=app", "label: \"app\" is not KEY=GLOB, such as app=shop or app=*"},
		{"label=app=", "label: \"app=\" is not KEY=GLOB, such as app=shop or app=*"},
		{"annotation==x", "annotation: \"=x\" is not KEY=GLOB, such as app=shop or app=*"},
		{"namespace=", "namespace: is empty"},
		{"exe=", "exe: is empty"},
		{"pid=0", "pid: \"0\" is not a number from 1 to 4194304"},
		{"pid=-1", "pid: \"-1\" is not a number from 1 to 4194304"},
		{"port=65536", "port: \"65536\" is not a number from 1 to 65535"},
		{"port=http", "port: \"http\" is not a number from 1 to 65535"},
		{"port=99999999999999999999",
			"port: \"99999999999999999999\" is not a number from 1 to 65535"},
		{"cgroup=a/b", "cgroup: \"a/b\" does not start with / (the path below the cgroup "
			       "v2 mount)"},
	};
	char longest[RULE_TEXT + 8] = "exe=";
	char error[RULE_ERROR_BYTES];
	struct rule rule = {.number = 77};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cr_assert_lt(rule_parse(slice_str(cases[i].text), false, &rule, error), 0);
		cr_assert_str_eq(error, cases[i].error);
		cr_assert_eq(rule.number, 77, "the output is untouched");
	}
	memset(longest + 4, 'x', RULE_TEXT);
	cr_assert_lt(rule_parse(slice_str(longest), false, &rule, error), 0);
	cr_assert_str_eq(error, "exe: is longer than 255 bytes");
	longest[4 + RULE_TEXT - 1] = '\0';
	cr_assert_eq(rule_parse(slice_str(longest), false, &rule, error), 0);
}

Test(rules, process)
{
	static const struct {
		const char *rule;
		struct rule_subject subject;
		enum rules_verdict verdict;
	} cases[] = {
		{"exe=nginx", {.exe = "/usr/sbin/nginx"}, RULES_INCLUDE},
		{"exe=nginx", {.exe = "/usr/sbin/nginx (deleted)"}, RULES_INCLUDE},
		{"exe=nginx", {.exe = "/usr/sbin/nginx2"}, RULES_SILENT},
		{"exe=nginx", {.exe = NULL}, RULES_SILENT},
		{"exe=python3*", {.exe = "/usr/bin/python3.11"}, RULES_INCLUDE},
		{"exe=/usr/bin/*", {.exe = "/usr/bin/python3.11"}, RULES_INCLUDE},
		{"exe=/opt/*/java", {.exe = "/opt/jdk/bin/java"}, RULES_INCLUDE},
		{"exe=/usr/bin/*", {.exe = "/usr/local/bin/node"}, RULES_SILENT},
		{"!exe=nginx", {.exe = "/usr/sbin/nginx"}, RULES_EXCLUDE},
		{"pid=12", {.pid = 12}, RULES_INCLUDE},
		{"pid=12", {.pid = 123}, RULES_SILENT},
		{"cgroup=/a/b", {.cgroup = "/a/b"}, RULES_INCLUDE},
		{"cgroup=/a/b", {.cgroup = "/a/b/c"}, RULES_INCLUDE},
		{"cgroup=/a/b", {.cgroup = "/a/bc"}, RULES_SILENT},
		{"cgroup=/a/b", {.cgroup = "/a"}, RULES_SILENT},
		{"cgroup=/", {.cgroup = "/x/y"}, RULES_INCLUDE},
		{"cgroup=/a", {.cgroup = NULL}, RULES_SILENT},
		{"cgroup=*pod-1f*", {.cgroup = "/kubepods.slice/pod-1f00.slice/x"}, RULES_INCLUDE},
		{"port=80", {.pid = 80}, RULES_SILENT},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rules rules = RULES(cases[i].rule);

		cr_assert_eq(rules_match_process(&rules, &cases[i].subject), cases[i].verdict,
			"case %zu: %s", i, cases[i].rule);
	}
}

Test(rules, exclude_wins_in_any_order)
{
	struct rule_subject nginx = {.pid = 5, .exe = "/usr/sbin/nginx"};
	struct rules a = RULES("exe=nginx", "!pid=5");
	struct rules b = RULES("!pid=5", "exe=nginx");

	cr_assert_eq(rules_match_process(&a, &nginx), RULES_EXCLUDE);
	cr_assert_eq(rules_match_process(&b, &nginx), RULES_EXCLUDE);
}

Test(rules, ports)
{
	struct rules rules = RULES("port=8080", "!port=22", "exe=x");
	struct rules excludes = RULES("!port=22");

	cr_assert_eq(rules_match_port(&rules, 8080), RULES_INCLUDE);
	cr_assert_eq(rules_match_port(&rules, 22), RULES_EXCLUDE);
	cr_assert_eq(rules_match_port(&rules, 80), RULES_SILENT);
	cr_assert(rules_have_include(&rules));
	cr_assert_not(rules_have_include(&excludes));
}

Test(rules, equality)
{
	char why[RULE_ERROR_BYTES];
	struct rules a = {.n = 2}, b = {.n = 2};

	cr_assert_eq(rule_parse(SLICE("exe=nginx"), false, &a.v[0], why), 0);
	cr_assert_eq(rule_parse(SLICE("port=80"), true, &a.v[1], why), 0);
	b = a;
	cr_expect(rules_equal(&a, &b));
	b.v[1].number = 81;
	cr_expect_not(rules_equal(&a, &b));
	b = a;
	b.n = 1;
	cr_expect_not(rules_equal(&a, &b));
	b = a;
	b.v[0].text[0] = 'N';
	cr_expect_not(rules_equal(&a, &b));
}
