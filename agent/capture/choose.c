/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/choose.h"

static const struct {
	bool traced;
	const char *text;
} choices[] = {
#define X(id, traced, text) [CHOICE_##id] = {traced, text},
	CHOICES(X)
#undef X
};

bool choice_traced(enum choice choice)
{
	return choices[choice].traced;
}

const char *choice_text(enum choice choice)
{
	return choices[choice].text;
}

/* What rules say of the process and of the ports it listens on. */
static enum rules_verdict match(const struct rules *rules, const struct choose_subject *s)
{
	enum rules_verdict verdict = rules_match_process(rules, &s->rules);
	unsigned excluded_ports = 0;

	if (verdict == RULES_EXCLUDE)
		return verdict;
	for (unsigned i = 0; i < s->port_count; i++) {
		enum rules_verdict port = rules_match_port(rules, s->ports[i]);

		excluded_ports += port == RULES_EXCLUDE;
		if (port == RULES_INCLUDE)
			verdict = RULES_INCLUDE;
	}
	/* one of several ports excluded leaves out its connections, not the process */
	if (s->port_count && excluded_ports == s->port_count && verdict != RULES_INCLUDE)
		return RULES_EXCLUDE;
	return verdict;
}

static bool exclude_pods(const struct rules *rules)
{
	for (unsigned i = 0; i < rules->n; i++)
		if (rules->v[i].exclude && rules->v[i].kind >= RULE_NAMESPACE)
			return true;
	return false;
}

static enum choice choose_pod(const struct rules *rules, const struct choose_subject *s)
{
	if (s->left_out == LEFT_OUT_SELF)
		return CHOICE_SELF;
	if (s->left_out == LEFT_OUT_SYSTEM)
		return CHOICE_SYSTEM;
	if (s->left_out == LEFT_OUT_INSTRUMENTED)
		return CHOICE_INSTRUMENTED;
	if (s->inherited)
		return CHOICE_PARENT;
	return rules_have_include(rules) ? CHOICE_NO_RULE : CHOICE_IN_POD;
}

enum choice choose(const struct rules *rules, const struct choose_subject *s)
{
	enum rules_verdict verdict = match(rules, s);
	bool in_pod = s->kubernetes && s->place == PLACE_POD;
	bool unknown = s->kubernetes && (s->place == PLACE_WAITS || s->place == PLACE_LOST);

	if (in_pod && s->wish != POD_SILENT)
		return s->wish == POD_YES ? CHOICE_ANNOTATED : CHOICE_REFUSED;
	if (verdict == RULES_EXCLUDE)
		return CHOICE_EXCLUDED;
	/* an exclude rule wins: not until it is certain that none matches */
	if (verdict == RULES_INCLUDE && !(unknown && exclude_pods(rules)))
		return CHOICE_RULE;
	if (in_pod)
		return choose_pod(rules, s);
	if (s->kubernetes && s->place == PLACE_WAITS)
		return CHOICE_WAITS;
	if (s->kubernetes && s->place == PLACE_LOST)
		return rules_have_pods(rules)      ? CHOICE_LOST
		       : rules_have_include(rules) ? CHOICE_NO_RULE
						   : CHOICE_IN_POD;
	if (s->inherited)
		return CHOICE_PARENT;
	if (rules_have_include(rules))
		return CHOICE_NO_RULE;
	if (s->kubernetes)
		return CHOICE_OUTSIDE;
	return s->port_count || s->local_client ? CHOICE_SERVES : CHOICE_QUIET;
}
