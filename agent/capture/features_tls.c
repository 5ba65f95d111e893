/* SPDX-License-Identifier: Apache-2.0 */
/* Processes whose TLS cannot be read, as far as that shows in what they map: Java virtual machines
 * without a library that weft probes. */
#include "capture/features.h"

#include "capture/proc_files.h"
#include "core/cleanup.h"

#include <string.h>

static bool is_java_only(uint32_t pid)
{
	_fclose_ FILE *maps = NULL;
	_free_ char *line = NULL;
	bool java = false;
	char path[32];
	size_t cap = 0;

	snprintf(path, sizeof(path), "/proc/%u/maps", pid);
	maps = fopen(path, "re");
	while (maps && getline(&line, &cap, maps) > 0) {
		java |= strstr(line, "/libjvm.so") != NULL;
		if (strstr(line, "/libssl.so"))
			return false;
	}
	return java;
}

void features_look_for_tls(struct features *f)
{
	struct feature_state *state = &f->v[FEATURE_TLS];
	struct proc_walk *walk = NULL;
	unsigned n = 0;
	uint32_t pid;
	size_t at;

	*state = (struct feature_state){
		.ok = true, .detail = "no Java virtual machine uses its own"};
	if (proc_walk_new(&walk))
		return;
	at = (size_t)snprintf(
		state->detail, sizeof(state->detail), "Java's own (JSSE), maybe, in pid");
	while ((pid = proc_walk_next(walk))) {
		if (!is_java_only(pid))
			continue;
		n++;
		if (at + 12 < sizeof(state->detail))
			at += (size_t)snprintf(
				state->detail + at, sizeof(state->detail) - at, " %u", pid);
	}
	proc_walk_free(walk);
	state->ok = !n;
	if (!n)
		snprintf(state->detail, sizeof(state->detail),
			"no Java virtual machine uses its own");
}
