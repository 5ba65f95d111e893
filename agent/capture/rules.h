/* SPDX-License-Identifier: Apache-2.0 */
/* Selection rules: written "kind=value", matched against a process or a listening port. */
#pragma once
#include "capture/options.h"
#include "core/slice.h"

#define RULE_ERROR_BYTES 256

/* A process has several traits (itself, each port it listens on): the greatest verdict of all
 * counts. */
enum rules_verdict { RULES_SILENT, RULES_INCLUDE, RULES_EXCLUDE };

#define RULE_OWNERS 2

/* A pod as rules see it; NULL: not known, so that no rule of that kind matches. */
struct rule_pod {
	const char *namespace, *name, *container;
	struct {
		const char *kind, *name;
	} owners[RULE_OWNERS]; /* a ReplicaSet and its Deployment are both its owners */
	const void *object; /* whose labels and annotations these tell; NULL if there is none */
	const char *(*label)(const void *object, struct slice key);
	const char *(*annotation)(const void *object, struct slice key);
};

/* What is known of a process; NULL: not known, so that no rule of that kind matches. */
struct rule_subject {
	uint32_t pid;
	const char *exe; /* as /proc/PID/exe says; " (deleted)" at its end does not count */
	const char *cgroup; /* v2 path from the mount point */
	const struct rule_pod *pod;
};

/* text is a kind, "=" and what it is to match, as RULE_FORMS has it. 0, or -EINVAL and the reason.
 */
#define RULE_FORMS                                                                                 \
	"exe=GLOB, pid=N, port=N, cgroup=GLOB, namespace=GLOB, pod=GLOB, container=GLOB, "         \
	"owner=KIND/GLOB, label=KEY=GLOB or annotation=KEY=GLOB"
int rule_parse(struct slice text, bool exclude, struct rule *ret_rule,
	char ret_error[static RULE_ERROR_BYTES]);

/* As rule_parse reads it; NUL-terminated, cut to cap. */
void rule_text(const struct rule *rule, char *ret_text, size_t cap);
const char *rule_kind_name(enum rule_kind kind);

bool rules_have_include(const struct rules *rules);
bool rules_have_pods(const struct rules *rules); /* any that asks for something of a pod */
bool rules_equal(const struct rules *a, const struct rules *b);
enum rules_verdict rules_match_process(
	const struct rules *rules, const struct rule_subject *subject);
enum rules_verdict rules_match_port(const struct rules *rules, uint16_t port);
