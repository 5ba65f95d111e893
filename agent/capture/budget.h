/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps weft within what it may use: where it takes more, a growing share of the connections is
 * left out, whole and on both ends, until it fits; with less to do they come back. One thread.
 */
#pragma once
#include "capture/capture.h"

struct budget {
	struct budget_options options;
	struct capture *capture; /* borrowed */
	double keep; /* share of the connections that are recorded */
	uint64_t read_ns, cpu_ns, seen, emitted; /* at the latest look */
	uint64_t stats_seen, run_ns; /* while the programs' time is measured */
	int stats_fd; /* as long as it is open, the kernel measures */
	double run_ns_each; /* a call, as last measured; 0: not known */
	unsigned looks;
};

/* now_ns: CLOCK_MONOTONIC. */
void budget_init(struct budget *budget, const struct budget_options *options,
	struct capture *capture, uint64_t now_ns);

/* Call once a second. True if connections are left out, or were until now. Logs when that begins,
 * ends, or changes much. */
bool budget_tick(struct budget *budget, uint64_t now_ns);

/* The share to keep, when with the share `keep` weft took `load` times what it may. Pure. */
double budget_keep(double keep, double load);

/* For the spans: connections left out, in percent; 0 if none. */
unsigned budget_shed_percent(const struct budget *budget);

void budget_release(struct budget *budget);
