/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Set by the agent between open and load; constants for the verifier, which removes dead branches.
 */
#pragma once
#include "kernel.h"

const volatile __u32 self_tgid; /* weft itself: never traced */
const volatile bool use_perf; /* per-CPU perf buffers in place of the ring buffer */
const volatile __u32 twins; /* of each program, where threads can preempt them; else 0: twin.h */
const volatile __u32 max_conns; /* connections whose state is kept in their sockets at a time */
const volatile __u32 wake_bytes; /* backlog that wakes a napping agent */
