/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files with code that processes map, and the probes on those that hold a TLS library. A fixed
 * number, told apart by inode; a probe goes some time after its last user, since short-lived
 * processes come again. One thread.
 */
#pragma once
#include "capture/tls.h"

struct tls_files;

#define TLS_FILES_NONE UINT16_MAX

/* Borrows capture. 0 or -ENOMEM. */
int tls_files_new(struct capture *capture, struct tls_files **ret_files);
void tls_files_free(struct tls_files *files); /* takes NULL; takes the probes off */

/* What a process maps. */
struct tls_mapped {
	uint16_t v[8]; /* files with a library, probed or refused: to be given back */
	unsigned n;
	enum tls_state state;
};

/* Looks at what the process maps and probes what is new. `mapped` is what an earlier look gave, or
 * zeroes. */
void tls_files_look(struct tls_files *files, uint32_t pid, struct tls_mapped *mapped);
void tls_files_give(struct tls_files *files, struct tls_mapped *mapped, uint64_t now_ns);

/* Takes off the probes that nobody has used for a while. */
void tls_files_age(struct tls_files *files, uint64_t now_ns);

void tls_files_count(const struct tls_files *files, unsigned *ret_probed, uint64_t *ret_refused);
