/* SPDX-License-Identifier: Apache-2.0 */
/* The input is a list of segments of one stream whose bytes are known; the model aborts at a wrong
 * one. */
#include "../unit/stream_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct model m = {.base = (1ull << 32) + 0xfffffff0u, .seed = size};
	struct stream_pool *pool;
	struct stream_io io;
	struct stream s = {0};
	uint64_t at = 0, now = 0;

	if (stream_pool_new(2, &pool) < 0)
		abort();
	io = model_io(&m, pool);
	m.pos = m.base;
	stream_start(&s, (uint32_t)m.base);
	for (; size >= 4; data += 4, size -= 4) {
		uint32_t len = data[1] | (data[0] & 64 ? data[2] << 8 : 0);
		uint32_t caught = data[0] & 32 ? data[3] : len;
		uint64_t from = at;

		now += data[0] & 16 ? STREAM_HELD_NS / 2 : 1;
		switch (data[0] & 7) {
		case 0: /* lost */
			at += len;
			continue;
		case 1: /* early */
			from += data[2];
			break;
		case 2: /* again, or late */
			from -= from < data[2] ? from : data[2];
			break;
		case 3:
			stream_flush(&s, now, &io);
			continue;
		case 4:
			m.greedy = data[1] & 1;
			continue;
		default:
			at += len;
			break;
		}
		if (caught > len || caught > 16384)
			caught = len < 16384 ? len : 16384;
		model_push(&s, &io, &m, from, len, data[0] & 8 ? STREAM_OFF_TAIL : 0, caught, now);
	}
	stream_fin(&s, (uint32_t)(m.base + at), &io);
	stream_settle(&s, now, &io);
	if (s.mute || m.ended != 1 || s.pos < m.base + at)
		abort();
	if (io.tally.fed_bytes + io.tally.hole_bytes + io.tally.skipped_bytes > s.pos - m.base)
		abort();
	stream_release(&s, pool);
	if (stream_pool_used(pool))
		abort();
	stream_pool_free(pool);
	return 0;
}
