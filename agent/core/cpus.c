/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cpus.h"

#include "core/cleanup.h"

#include <stdio.h>
#include <stdlib.h>

#define PRESENT  "/sys/devices/system/cpu/present"
#define CPUS_MAX 8192 /* the kernel's own limit on the architectures here */

unsigned cpus_in_list(const char *list)
{
	unsigned long highest = 0, n;
	char *end;

	for (;;) {
		if (*list < '0' || *list > '9')
			return 0;
		n = strtoul(list, &end, 10);
		if (n >= CPUS_MAX)
			return 0;
		if (n >= highest)
			highest = n + 1;
		if (!*end || *end == '\n')
			return (unsigned)highest;
		if (*end != '-' && *end != ',')
			return 0;
		list = end + 1;
	}
}

unsigned cpus_present(void)
{
	_fclose_ FILE *f = fopen(PRESENT, "re");
	char list[1024] = "";

	return f && fgets(list, sizeof(list), f) ? cpus_in_list(list) : 0;
}
