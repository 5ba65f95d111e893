/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 OR BSD-2-Clause */
/* What the agent and the BPF programs tell each other in shared memory, and the verdict on a
 * process. */
#pragma once
#include "record.h"

enum weft_sleep {
	WEFT_AWAKE = 0, /* the agent is reading: wake nobody */
	WEFT_NAP = 1, /* it looks again within milliseconds: wake it only when the backlog grows */
	WEFT_ASLEEP = 2, /* nothing was going on: wake it at the first record */
};

/* Places of a CPU where records are put together, if no thread can preempt a program: a send's, a
 * receive's, and two for plaintext. */
#define WEFT_SLOTS 4

struct weft_control {
	uint64_t next_conn; /* numbers given to connections so far; counted up by the programs */
	uint64_t conns; /* connections whose state lies in their sockets; counted by the programs */
	uint64_t unix_lost; /* not 0: calls on Unix sockets were missed; of one that is first seen
			       later nothing says whether that was its first */
	uint64_t lost; /* records lost so far; counted up by the programs, so that a record that
			  came after a loss finds it counted */
	uint32_t
		sleep; /* enum weft_sleep; set by the agent, cleared by the program that wakes it */
	uint32_t shed; /* connections whose key is below are left out: the share of them that is,
			  times 2^32 */
	uint32_t local_clients; /* processes that connect to this very host are to be decided on */
	uint64_t
		ends_kept; /* records put beside the full ring so far; counted up by the programs */
	uint64_t ends_taken; /* of those: handled; set by the agent */
	uint32_t attached; /* all programs are on their hooks; set by the agent */
	uint64_t made_up; /* runs of programs that were skipped, and that their twins did; counted
			     up by them */
};

/* Values of the map of processes. */
enum weft_verdict {
	WEFT_UNDECIDED =
		1, /* recorded; the agent has yet to decide, and drops the records if it says no */
	WEFT_TRACED = 2,
	WEFT_LOOKING = 3, /* the same, but it may hold connections that the agent has yet to look
			     at: what is first seen of one is not known to be its beginning */
};
