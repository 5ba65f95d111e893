/* SPDX-License-Identifier: Apache-2.0 */
/* Reading records out of shared memory: the BPF ring buffer, or one perf buffer a CPU. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader;

typedef void (*reader_handler)(void *ctx, const void *record, size_t size);

struct reader_ops {
	int (*open)(int map_fd, unsigned bytes, reader_handler handler, void *ctx,
		struct reader **ret_reader);
	void (*close)(struct reader *reader);
	/* Hands over what is there, in time order as far as it can be known; all: to the last one.
	 * The number of records or -errno. *ret_halted: one was still being written, so that what
	 * lies behind it waits, however old it is. */
	int (*read)(struct reader *reader, bool all, bool *ret_halted);
	int (*epoll_fd)(const struct reader *reader);
	uint64_t (*used)(const struct reader *reader); /* bytes waiting; any thread */
	bool wakes_at_first; /* the producer can wake a sleeping reader at the first record */
};

extern const struct reader_ops READER_RINGBUF;
extern const struct reader_ops READER_PERF;
