/* SPDX-License-Identifier: Apache-2.0 */
/* Processes whose TLS cannot be read, as far as that shows in what they map: Java virtual machines
 * and programs in Rust, without a library that weft probes. */
#include "capture/features.h"

#include "capture/proc_files.h"
#include "capture/tls_symbols.h"
#include "core/cleanup.h"

#include <fcntl.h>
#include <string.h>

enum runtime { OTHER, JAVA, RUST, RUNTIMES };

static const char *const NAMES[RUNTIMES] = {
	[JAVA] = "Java's (JSSE)",
	[RUST] = "Rust's (rustls)",
};

static bool is_rust(uint32_t pid)
{
	_close_ int fd = -1;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && tls_symbols_rust(fd);
}

static enum runtime runtime_of(uint32_t pid)
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
			return OTHER;
	}
	if (java)
		return JAVA;
	return maps && is_rust(pid) ? RUST : OTHER;
}

/* Those of one kind, as many as fit. */
struct found {
	unsigned n;
	char pids[24];
};

static void note(struct found *f, uint32_t pid)
{
	size_t at = strlen(f->pids);

	f->n++;
	if (at + 12 < sizeof(f->pids))
		snprintf(f->pids + at, sizeof(f->pids) - at, " %u", pid);
}

void features_look_for_tls(struct features *f)
{
	struct feature_state *state = &f->v[FEATURE_TLS];
	struct found found[RUNTIMES] = {0};
	struct proc_walk *walk = NULL;
	uint32_t pid;
	size_t at = 0;

	*state = (struct feature_state){
		.ok = true, .detail = "no process of Java or Rust without OpenSSL"};
	if (proc_walk_new(&walk))
		return;
	while ((pid = proc_walk_next(walk)))
		note(&found[runtime_of(pid)], pid);
	proc_walk_free(walk);
	for (enum runtime i = JAVA; i < RUNTIMES; i++) {
		if (!found[i].n)
			continue;
		state->ok = false;
		at += (size_t)snprintf(state->detail + at, sizeof(state->detail) - at,
			"%s%s in pid%s", at ? "; " : "maybe ", NAMES[i], found[i].pids);
	}
}
