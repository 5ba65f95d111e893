/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 OR BSD-2-Clause */
/*
 * What the BPF programs count, one slot each in a per-CPU array. The books:
 *   seen = filtered + unwanted + coalesced + shed + emitted + lost_full +
 *          lost_map + lost_cpu + encrypted
 */
#pragma once

/* X(identifier, name in the metrics, help) */
#define WEFT_KERNEL_COUNTERS(X)                                                                    \
	X(SEEN, "seen", "socket calls that moved bytes, before any filter")                        \
	X(FILTERED, "filtered", "of processes or connections that are not traced")                 \
	X(UNWANTED, "unwanted", "of connections whose bytes are not understood")                   \
	X(COALESCED, "coalesced", "inside a body: the call that ends it tells of them")            \
	X(SHED, "shed", "of connections left out to stay within the budget")                       \
	X(ENCRYPTED, "encrypted", "of TLS: what it carries is told of by its library's calls")     \
	X(EMITTED, "emitted", "records of socket calls handed to the agent")                       \
	X(LOST_FULL, "lost_full", "records lost: the ring buffer was full")                        \
	X(LOST_MAP, "lost_map", "calls lost: the connection table was full")                       \
	X(LOST_CPU, "lost_cpu", "calls lost: the CPU has no buffer (added later) or no free one")  \
	X(LIFE_EMITTED, "life_emitted", "records about sockets and processes handed to the agent") \
	X(LIFE_KEPT, "life_kept", "of those: ends that waited beside the full ring buffer")        \
	X(LIFE_LOST, "life_lost", "records about sockets and processes lost: ring buffer full")    \
	X(NO_COPY_FILE, "no_copy_file", "calls whose bytes came from a file or a pipe")            \
	X(NO_COPY_COMPAT, "no_copy_compat", "calls of 32-bit processes")                           \
	X(NO_COPY_URING, "no_copy_uring", "calls through io_uring or by the kernel")               \
	X(NO_COPY_TRUNC, "no_copy_trunc", "receives that discarded their bytes (MSG_TRUNC)")       \
	X(NO_COPY_BATCH, "no_copy_batch", "sendmmsg or recvmmsg of several messages")              \
	X(NO_COPY_OOB, "no_copy_oob", "sends with out-of-band data")                               \
	X(NO_COPY_FAULT, "no_copy_fault", "buffers that could not be read")                        \
	X(SKIPPED_PEEK, "skipped_peek", "receives that left the bytes in place (MSG_PEEK)")        \
	X(SKIPPED_OOB, "skipped_oob", "receives from beside the stream (MSG_OOB, MSG_ERRQUEUE)")   \
	X(TLS_UNMATCHED, "tls_unmatched",                                                          \
		"calls of TLS libraries whose connection was not known yet, or never")             \
	X(UNNUMBERED, "unnumbered", "calls on kTLS, sockmap or MPTCP sockets")

enum weft_kernel_counter {
#define X(id, name, help) WEFT_COUNT_##id,
	WEFT_KERNEL_COUNTERS(X)
#undef X
		WEFT_COUNT_MAX,
};
