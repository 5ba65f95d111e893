/* SPDX-License-Identifier: Apache-2.0 */
/* Asks the weft that runs on this host, over its HTTP port. */
#pragma once
#include <stdio.h>

/* What it traces: prints its answer. listen as in the configuration; filter "" for all. 0, or the
 * exit status of a command that failed, with the reason in err. */
int query_status(const char *listen, const char *filter, FILE *out, FILE *err);
