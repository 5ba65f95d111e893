/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Whether a process is traced. */
#pragma once
#include "knobs.h"
#include "maps.h"

static __always_inline bool is_self(void)
{
	return bpf_get_current_pid_tgid() >> 32 == self_tgid;
}

static __always_inline bool tgid_traced(__u32 tgid)
{
	return tgid != self_tgid && bpf_map_lookup_elem(&procs, &tgid);
}

static __always_inline bool current_traced(void)
{
	return tgid_traced(bpf_get_current_pid_tgid() >> 32);
}
