/* SPDX-License-Identifier: Apache-2.0 */
/* Where the servers of Unix sockets listen: each path is kept once, and for good, since spans that
 * are being built point to it. */
#pragma once
#include "weft/record.h"

#define PATHS_MAX 512

struct paths {
	unsigned count;
	char *v[PATHS_MAX];
};

void paths_release(struct paths *paths);

/* The path as text, an abstract one (unix(7)) with an @ in front; "" if there is none, or no room:
 * then its text is not known. */
const char *paths_intern(struct paths *paths, const char *path, unsigned len);
