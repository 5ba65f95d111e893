/* SPDX-License-Identifier: Apache-2.0 */
#include "conn/paths.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void paths_release(struct paths *p)
{
	for (unsigned i = 0; i < p->count; i++)
		free(p->v[i]);
	p->count = 0;
}

static bool is_plain(char c)
{
	return c > ' ' && c < 0x7f;
}

const char *paths_intern(struct paths *p, const char *path, unsigned len)
{
	char text[WEFT_PATH_LEN + 1] = "";

	if (len > WEFT_PATH_LEN)
		len = WEFT_PATH_LEN;
	/* an abstract name may hold anything */
	for (unsigned i = 0; i < len && (path[i] || !i); i++)
		text[i] = is_plain(path[i]) ? path[i] : i ? '?' : '@';
	for (unsigned i = 0; i < p->count; i++)
		if (strcmp(p->v[i], text) == 0)
			return p->v[i];
	if (!text[0] || p->count == PATHS_MAX || !(p->v[p->count] = strdup(text)))
		return "";
	return p->v[p->count++];
}
