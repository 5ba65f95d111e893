/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/sockets.h"

#include "core/cleanup.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SPARE 16 /* the part of the most that stays */

uint64_t sockets_in_text(const char *text)
{
	const char *tcp = strstr(text, "\nTCP:"), *end = tcp ? strchr(tcp + 1, '\n') : NULL;
	const char *alloc = tcp ? strstr(tcp, " alloc ") : NULL;
	uint64_t n;

	if (!alloc || (end && alloc > end) || sscanf(alloc, " alloc %" SCNu64, &n) != 1)
		return 0;
	return n;
}

uint64_t sockets_allocated(void)
{
	_fclose_ FILE *f = fopen("/proc/net/sockstat", "re");
	char text[1024];
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	text[n] = '\0';
	return sockets_in_text(text);
}

uint64_t sockets_overcounted(uint64_t counted, uint64_t allocated, uint64_t max)
{
	uint64_t most = allocated + max / SPARE;

	return allocated && counted > max / 2 && counted > most ? counted - most : 0;
}
