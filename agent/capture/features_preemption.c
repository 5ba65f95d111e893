/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/features.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_one_of(const char *word, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(word, *words) == 0)
			return true;
	return false;
}

void features_preemption(struct features *f, const char *version, const char *chosen)
{
	static const char *const preempting[] = {"full", "lazy", "rt", NULL};
	static const char *const never[] = {"none", "voluntary", NULL};
	bool seven = strtol(f->release, NULL, 10) >= 7;
	const char *name;

	if (strstr(version, "PREEMPT_RT"))
		name = "rt";
	else if (!strstr(version, "PREEMPT"))
		name = "voluntary";
	else if (!strstr(version, "PREEMPT_DYNAMIC"))
		name = "full";
	else if (!chosen[0] || (seven && is_one_of(chosen, never))) /* a word that it ignores */
		name = "dynamic";
	else
		name = chosen;
	snprintf(f->preemption, sizeof(f->preemption), "%s", name);
	/* what is dynamic can change while weft runs */
	f->may_preempt = !is_one_of(name, never) || strstr(version, "PREEMPT_DYNAMIC");
	f->preempts_tracepoints = seven && f->may_preempt;
	f->preempts = !seven && is_one_of(name, preempting);
}
