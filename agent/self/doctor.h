/* SPDX-License-Identifier: Apache-2.0 */
/* `weft doctor`: what works here, what does not, what that costs and how to grant it. */
#pragma once
#include "capture/features.h"
#include "config.h"
#include "self/doctor_cluster.h"

#include <stdio.h>

enum { DOCTOR_GOOD = 0, DOCTOR_LIMITED = 3, DOCTOR_CANNOT = 4 };

/* Probes and prints. The exit status. */
int doctor_run(const struct config *config, bool json, FILE *out);

/* Prints what was probed. The exit status. */
int doctor_print(const struct features *features, const struct findings *findings, enum hooks hooks,
	enum transport transport, bool json, FILE *out);
