/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The BPF ring buffer. Mapped by ourselves: libbpf maps the data twice, one behind the other, so
 * that no record is ever in two parts, and every page of it then counts twice in our resident
 * memory. Here the rare record across the end is put together in a buffer. The format is the
 * kernel's user-space contract (Documentation/bpf/ringbuf.rst).
 */
#include "capture/reader.h"

#include "core/cleanup.h"
#include "weft/budget.h"
#include "weft/record.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#define SAMPLE_MAX (sizeof(struct weft_data) + WEFT_CAPTURE_BYTES)
#define STEP       64 /* records between two words to the kernel that their space is free */

struct reader {
	reader_handler handler;
	void *ctx;
	_Atomic unsigned long *consumer; /* a page of its own, written by us */
	const _Atomic unsigned long
		*producer; /* then a page that the kernel writes, then the data */
	const char *data;
	size_t mask, mapped;
	int epoll_fd;
	_Alignas(8) char whole[SAMPLE_MAX + 8];
};

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static void ringbuf_close(struct reader *r)
{
	if (!r)
		return;
	if (r->consumer)
		munmap((void *)r->consumer, page_size());
	if (r->producer)
		munmap((void *)r->producer, r->mapped);
	if (r->epoll_fd >= 0)
		close(r->epoll_fd);
	free(r);
}

static int ringbuf_map(struct reader *r, int map_fd, unsigned bytes)
{
	struct epoll_event event = {.events = EPOLLIN};
	size_t page = page_size();
	void *at = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);

	if (at == MAP_FAILED)
		return -errno;
	r->consumer = at;
	r->mapped = page + bytes;
	at = mmap(NULL, r->mapped, PROT_READ, MAP_SHARED, map_fd, (off_t)page);
	if (at == MAP_FAILED)
		return -errno;
	r->producer = at;
	r->data = (const char *)at + page;
	r->mask = bytes - 1;
	r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (r->epoll_fd < 0 || epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, map_fd, &event))
		return -errno;
	return 0;
}

static int ringbuf_open(
	int map_fd, unsigned bytes, reader_handler handler, void *ctx, struct reader **ret_reader)
{
	struct reader *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->handler = handler;
	r->ctx = ctx;
	r->epoll_fd = -1;
	err = ringbuf_map(r, map_fd, bytes);
	if (err) {
		ringbuf_close(r);
		return err;
	}
	*ret_reader = r;
	return 0;
}

/* The sample of n bytes at position at, in one part. */
static const void *sample(struct reader *r, unsigned long at, uint32_t n)
{
	size_t from = at & r->mask, first = r->mask + 1 - from;

	if (n <= first || n > sizeof(r->whole))
		return r->data + from;
	memcpy(r->whole, r->data + from, first);
	memcpy(r->whole + first, r->data, n - first);
	return r->whole;
}

static int ringbuf_read(struct reader *r, bool all, bool *ret_halted)
{
	unsigned long at = atomic_load_explicit(r->consumer, memory_order_relaxed);
	unsigned long end = atomic_load_explicit(r->producer, memory_order_acquire);
	int n = 0;

	(void)all; /* one ring: the order is the kernel's */
	while (at < end) {
		const _Atomic uint32_t *header =
			(const _Atomic uint32_t *)(r->data + (at & r->mask));
		uint32_t word = atomic_load_explicit(header, memory_order_acquire);
		uint32_t len = word & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);

		if (word & BPF_RINGBUF_BUSY_BIT)
			break; /* still being written */
		if (!(word & BPF_RINGBUF_DISCARD_BIT) && len <= SAMPLE_MAX)
			r->handler(r->ctx, sample(r, at + BPF_RINGBUF_HDR_SZ, len), len);
		at += (len + BPF_RINGBUF_HDR_SZ + 7) & ~7ul;
		if (++n % STEP == 0)
			atomic_store_explicit(r->consumer, at, memory_order_release);
	}
	atomic_store_explicit(r->consumer, at, memory_order_release);
	*ret_halted = at < end;
	return n;
}

static int ringbuf_epoll_fd(const struct reader *r)
{
	return r->epoll_fd;
}

static uint64_t ringbuf_used(const struct reader *r)
{
	return atomic_load_explicit(r->producer, memory_order_acquire) -
	       atomic_load_explicit(r->consumer, memory_order_acquire);
}

const struct reader_ops READER_RINGBUF = {
	.open = ringbuf_open,
	.close = ringbuf_close,
	.read = ringbuf_read,
	.epoll_fd = ringbuf_epoll_fd,
	.used = ringbuf_used,
	.wakes_at_first = true,
};
