/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a process is traced, and the reason. */
#include "capture/choose.h"

#include "core/cleanup.h"

#include <criterion/criterion.h>

static const char *label(const void *object, struct slice key)
{
	return object && slice_eq(key, SLICE("app")) ? "shop" : NULL;
}

static const char *annotation(const void *object, struct slice key)
{
	return object && slice_eq(key, SLICE("example.com/team")) ? "pay" : NULL;
}

static const struct rule_pod POD = {
	.namespace = "bank",
	.name = "api-7d4b9c-x2x4z",
	.container = "app",
	.owners = {{"ReplicaSet", "api-7d4b9c"}, {"Deployment", "api"}},
	.object = "",
	.label = label,
	.annotation = annotation,
};

/* Rules as they are written, "!" in front of what is excluded. */
static struct rules rules_of(const char *const *texts)
{
	struct rules rules = {0};
	char why[RULE_ERROR_BYTES];

	for (; *texts; texts++) {
		bool exclude = **texts == '!';

		cr_assert_eq(
			rule_parse(slice_str(*texts + exclude), exclude, &rules.v[rules.n++], why),
			0, "%s: %s", *texts, why);
	}
	return rules;
}

#define choose_with(subject, ...)                                                                  \
	({                                                                                         \
		struct rules rules_ = rules_of((const char *const[]){__VA_ARGS__, NULL});          \
		choose(&rules_, (subject));                                                        \
	})

static struct choose_subject in_pod(void)
{
	return (struct choose_subject){
		.rules = {.pid = 10,
			.exe = "/usr/bin/python3",
			.cgroup = "/kubepods/x",
			.pod = &POD},
		.kubernetes = true,
		.place = PLACE_POD,
	};
}

Test(choose, by_what_is_known_of_the_pod)
{
	static const struct {
		const char *rule;
		bool matches;
	} CASES[] = {
		{"namespace=bank", true},
		{"namespace=ba*", true},
		{"namespace=shop", false},
		{"pod=api-*", true},
		{"pod=web-*", false},
		{"container=app", true},
		{"container=istio-proxy", false},
		{"owner=Deployment/api", true},
		{"owner=deployment/a*", true},
		{"owner=ReplicaSet/api-*", true},
		{"owner=StatefulSet/api", false},
		{"owner=Deployment/web", false},
		{"label=app=shop", true},
		{"label=app=*", true},
		{"label=app=bank", false},
		{"label=tier=*", false},
		{"annotation=example.com/team=pay", true},
		{"annotation=example.com/team=ops", false},
		{"exe=python3", true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct choose_subject subject = in_pod();
		char excluded[128] = "!";

		cr_expect_eq(choose_with(&subject, CASES[i].rule),
			CASES[i].matches ? CHOICE_RULE : CHOICE_NO_RULE, "%s", CASES[i].rule);
		strcat(excluded, CASES[i].rule);
		cr_expect_eq(choose_with(&subject, excluded),
			CASES[i].matches ? CHOICE_EXCLUDED : CHOICE_IN_POD, "%s", excluded);
	}
}

Test(choose, rules_about_pods_do_not_match_what_is_in_none)
{
	struct choose_subject subject = in_pod();

	subject.place = PLACE_HOST;
	subject.rules.pod = NULL;
	cr_expect_eq(choose_with(&subject, "namespace=*"), CHOICE_NO_RULE);
	cr_expect_eq(choose_with(&subject, "!namespace=*"), CHOICE_OUTSIDE);
	cr_expect_eq(choose_with(&subject, "exe=python3"), CHOICE_RULE, "a host's process by name");
}

Test(choose, without_rules_every_pod_but)
{
	struct choose_subject subject = in_pod();
	struct rules none = {0};

	cr_expect_eq(choose(&none, &subject), CHOICE_IN_POD);
	subject.left_out = LEFT_OUT_SYSTEM;
	cr_expect_eq(choose(&none, &subject), CHOICE_SYSTEM);
	subject.left_out = LEFT_OUT_INSTRUMENTED;
	cr_expect_eq(choose(&none, &subject), CHOICE_INSTRUMENTED);
	cr_expect_eq(choose_with(&subject, "namespace=bank"), CHOICE_RULE, "asked for by name");
	subject.left_out = LEFT_OUT_SELF;
	cr_expect_eq(choose(&none, &subject), CHOICE_SELF);
}

Test(choose, the_pods_own_word_is_last)
{
	struct choose_subject subject = in_pod();

	subject.wish = POD_NO;
	cr_expect_eq(choose_with(&subject, "namespace=bank"), CHOICE_REFUSED);
	subject.wish = POD_YES;
	subject.left_out = LEFT_OUT_SYSTEM;
	cr_expect_eq(choose_with(&subject, "!namespace=bank"), CHOICE_ANNOTATED);
}

Test(choose, a_pod_that_is_not_known_yet)
{
	struct choose_subject subject = in_pod();
	struct rules none = {0};

	subject.place = PLACE_WAITS;
	subject.rules.pod = NULL;
	cr_expect_eq(choose(&none, &subject), CHOICE_WAITS);
	cr_expect_eq(choose_with(&subject, "namespace=shop"), CHOICE_WAITS);
	cr_expect_eq(choose_with(&subject, "!exe=python3"), CHOICE_EXCLUDED, "that is known");
	subject.place = PLACE_LOST;
	cr_expect_eq(choose(&none, &subject), CHOICE_IN_POD);
	cr_expect_eq(choose_with(&subject, "!namespace=shop"), CHOICE_LOST,
		"it may be what must not be traced");
	cr_expect_eq(choose_with(&subject, "exe=nginx"), CHOICE_NO_RULE);
}

Test(choose, an_exclude_rule_that_may_match_wins_over_an_include_rule)
{
	static const enum place UNKNOWN[] = {PLACE_WAITS, PLACE_LOST};
	static const enum choice UNSURE[] = {CHOICE_WAITS, CHOICE_LOST};
	struct choose_subject subject = in_pod();
	uint16_t port = 80;

	subject.rules.pod = NULL;
	subject.ports = &port;
	subject.port_count = 1;
	for (size_t i = 0; i < ARRAY_SIZE(UNKNOWN); i++) {
		subject.place = UNKNOWN[i];
		cr_expect_eq(choose_with(&subject, "exe=python3", "!namespace=secret"), UNSURE[i]);
		cr_expect_eq(choose_with(&subject, "port=80", "!label=app=x"), UNSURE[i]);
		cr_expect_eq(choose_with(&subject, "exe=python3", "!exe=nginx"), CHOICE_RULE);
		cr_expect_eq(choose_with(&subject, "exe=python3", "namespace=shop"), CHOICE_RULE,
			"nothing can leave it out");
	}
	subject.place = PLACE_HOST;
	cr_expect_eq(choose_with(&subject, "exe=python3", "!namespace=secret"), CHOICE_RULE);
}

Test(choose, children_follow_where_nothing_is_said)
{
	struct choose_subject subject = in_pod();

	subject.inherited = true;
	cr_expect_eq(choose_with(&subject, "exe=nginx"), CHOICE_PARENT);
	subject.wish = POD_NO;
	cr_expect_eq(choose_with(&subject, "exe=nginx"), CHOICE_REFUSED);
}

Test(choose, a_plain_host)
{
	struct choose_subject subject = {.rules = {.pid = 10, .exe = "/bin/server"}};
	struct rules none = {0};
	uint16_t ports[] = {80, 443};

	cr_expect_eq(choose(&none, &subject), CHOICE_QUIET);
	subject.ports = ports;
	subject.port_count = 2;
	cr_expect_eq(choose(&none, &subject), CHOICE_SERVES);
	cr_expect_eq(choose_with(&subject, "!port=80"), CHOICE_SERVES, "one of two");
	cr_expect_eq(choose_with(&subject, "!port=80", "!port=443"), CHOICE_EXCLUDED);
	cr_expect_eq(choose_with(&subject, "port=443", "exe=x"), CHOICE_RULE);
	cr_expect_eq(choose_with(&subject, "exe=x"), CHOICE_NO_RULE);
	cr_expect_not(choice_traced(CHOICE_NO_RULE));
	cr_expect_str_eq(choice_text(CHOICE_NO_RULE), "no include rule matches");
}
