/* SPDX-License-Identifier: Apache-2.0 */
/* The BPF objects: one a hook set (of fentry two), each in a file of its own that alone includes
 * its skeleton. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bpf_object;

/* What the programs take as constants; see bpf/knobs.h. */
struct hookset_knobs {
	uint32_t self_tgid;
	uint32_t wake_bytes;
	uint32_t max_conns; /* where conns_by_address is false */
	bool use_perf;
	unsigned twins; /* see capture_open() */
};

/* Sets those that every object has, in its skeleton's rodata. */
#define HOOKSET_SET_KNOBS(rodata, knobs)                                                           \
	((rodata)->self_tgid = (knobs)->self_tgid, (rodata)->wake_bytes = (knobs)->wake_bytes,     \
		(rodata)->use_perf = (knobs)->use_perf, (rodata)->twins = (knobs)->twins)

struct hookset {
	const char *name;
	bool conns_by_address; /* the table of connections has a size to set */
	/* Opens the object and sets the knobs. *ret_skeleton owns *ret_object. 0 or -errno. */
	int (*open)(const struct hookset_knobs *knobs, void **ret_skeleton,
		struct bpf_object **ret_object);
	void (*close)(void *skeleton); /* takes NULL */
};

extern const struct hookset HOOKSET_FENTRY;
extern const struct hookset HOOKSET_SOCK;
extern const struct hookset HOOKSET_SYSCALLS;
