/* SPDX-License-Identifier: Apache-2.0 */
/* Selection rules: written "kind=value", matched against a process or a listening port. */
#pragma once
#include "capture/options.h"
#include "core/slice.h"

#define RULE_ERROR_BYTES 256

/* A process has several traits (itself, each port it listens on): the greatest verdict of all
 * counts. */
enum rules_verdict { RULES_SILENT, RULES_INCLUDE, RULES_EXCLUDE };

/* What is known of a process; NULL: not known, so that no rule of that kind matches. */
struct rule_subject {
	uint32_t pid;
	const char *exe; /* as /proc/PID/exe says; " (deleted)" at its end does not count */
	const char *cgroup; /* v2 path from the mount point */
};

/* text is "exe=GLOB", "pid=N", "port=N" or "cgroup=GLOB". 0, or -EINVAL and the reason. */
int rule_parse(struct slice text, bool exclude, struct rule *ret_rule,
	char ret_error[static RULE_ERROR_BYTES]);

/* As rule_parse reads it; NUL-terminated, cut to cap. */
void rule_text(const struct rule *rule, char *ret_text, size_t cap);
const char *rule_kind_name(enum rule_kind kind);

bool rules_have_include(const struct rules *rules);
bool rules_equal(const struct rules *a, const struct rules *b);
enum rules_verdict rules_match_process(
	const struct rules *rules, const struct rule_subject *subject);
enum rules_verdict rules_match_port(const struct rules *rules, uint16_t port);
