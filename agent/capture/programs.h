/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The programs of a BPF object: which are loaded, on their hooks, and what the kernel says of them.
 * Some have twins: bpf/twin.h.
 */
#pragma once
#include "weft/control.h"

#include <stdbool.h>
#include <stdint.h>

struct bpf_link;
struct bpf_object;

#define PROGRAMS_MAX 96 /* on hooks */

struct programs {
	struct bpf_object *object; /* borrowed */
	volatile struct weft_control *control; /* borrowed; set before they are attached */
	unsigned twins; /* that each has, where threads can preempt them: 1 or 2; else 0 */
	struct bpf_link *links[PROGRAMS_MAX];
	unsigned n; /* of links */
	uint64_t before; /* runs that the kernel left out while they were put on their hooks */
	_Atomic uint64_t missed;
};

/* Leaves out the twins that have nothing to do. After the hook set has left out what this kernel
 * has no hooks for, and before the object is loaded. */
void programs_choose(struct programs *programs);

/* Puts them on their hooks, but for those of libraries (probes.h). 0, or -errno and in ret_why a
 * sentence for the log. */
int programs_attach(struct programs *programs, char ret_why[static 256]);
void programs_detach(struct programs *programs);

/* Time that they took, in nanoseconds, as far as the kernel measured it (bpf_enable_stats). */
uint64_t programs_run_ns(const struct programs *programs);

/* Any thread. Runs that the kernel left out, for the program was under way on that CPU, and that no
 * twin made up for. */
uint64_t programs_missed(struct programs *programs);
