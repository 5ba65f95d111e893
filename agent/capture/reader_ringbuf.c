/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/reader.h"

#include "core/cleanup.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <sys/mman.h>

struct reader {
	struct ring_buffer *ring;
	reader_handler handler;
	void *ctx;
	/* the positions' pages, mapped once more to be read by other threads */
	const volatile unsigned long *consumer, *producer;
};

static int on_sample(void *ctx, void *data, size_t size)
{
	struct reader *r = ctx;

	r->handler(r->ctx, data, size);
	return 0;
}

static void ringbuf_close(struct reader *r)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (!r)
		return;
	if (r->consumer)
		munmap((void *)r->consumer, page);
	if (r->producer)
		munmap((void *)r->producer, page);
	ring_buffer__free(r->ring);
	free(r);
}

static int ringbuf_open(int map_fd, unsigned bytes, reader_handler handler, void *ctx, struct reader **ret_reader)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct reader *r = calloc(1, sizeof(*r));
	void *at;

	(void)bytes;
	if (!r)
		return -ENOMEM;
	r->handler = handler;
	r->ctx = ctx;
	r->ring = ring_buffer__new(map_fd, on_sample, r, NULL);
	if (!r->ring) {
		int err = -errno;

		ringbuf_close(r);
		return err;
	}
	at = mmap(NULL, page, PROT_READ, MAP_SHARED, map_fd, 0);
	r->consumer = at == MAP_FAILED ? NULL : at;
	at = mmap(NULL, page, PROT_READ, MAP_SHARED, map_fd, (off_t)page);
	r->producer = at == MAP_FAILED ? NULL : at;
	*ret_reader = r;
	return 0;
}

static int ringbuf_read(struct reader *r, bool all)
{
	(void)all; /* one ring: the order is the kernel's */
	return ring_buffer__consume(r->ring);
}

static int ringbuf_epoll_fd(const struct reader *r)
{
	return ring_buffer__epoll_fd(r->ring);
}

static uint64_t ringbuf_used(const struct reader *r)
{
	return r->consumer && r->producer ? *r->producer - *r->consumer : 0;
}

const struct reader_ops READER_RINGBUF = {
	.open = ringbuf_open,
	.close = ringbuf_close,
	.read = ringbuf_read,
	.epoll_fd = ringbuf_epoll_fd,
	.used = ringbuf_used,
	.wakes_at_first = true,
};
