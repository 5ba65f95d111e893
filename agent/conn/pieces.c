/* SPDX-License-Identifier: Apache-2.0 */
/* Connections whose frames the programs follow (bpf/frames.h): what to tell them, and what they
 * copy. */
#include "capture/capture.h"
#include "conn/state.h"

static bool can_follow(const struct conn *c, enum weft_direction dir)
{
	return !c->followed[dir] && c->proto && c->proto->aligned &&
	       c->proto->aligned(c->state, conn_side(c, dir));
}

void conn_follow(struct conn *c, enum weft_direction dir, bool followed)
{
	enum weft_direction tell = !dir;

	c->followed[dir] = followed;
	if (!can_follow(c, tell))
		tell = dir;
	if (can_follow(c, tell))
		capture_want_frames(c->all->capture, c->id, tell,
			(uint32_t)(c->streams[tell].pos + c->streams[tell].skip));
	else
		capture_want(c->all->capture, c->id, WEFT_WANT_CALLS);
}

void conn_push(
	struct conn *c, const struct weft_data *rec, struct segment *seg, struct stream_io *io)
{
	struct stream *stream =
		&c->streams[rec->head.flags & WEFT_SEND_BIT ? WEFT_SEND : WEFT_RECV];
	struct slice rest = seg->caught;
	struct weft_piece piece, next;
	uint32_t at = 0;

	if (!(rec->head.flags & WEFT_PIECES)) {
		stream_push(stream, seg, io);
		return;
	}
	next = (struct weft_piece){0};
	seg->off = 0;
	seg->caught.len = 0;
	while (at < rec->len) {
		piece = next;
		next = (struct weft_piece){.at = rec->len};
		if (rest.len >= sizeof(next))
			memcpy(&next, rest.ptr, sizeof(next));
		if (next.at < at + piece.len || next.at > rec->len ||
			(next.at < rec->len && (next.len > rest.len - sizeof(next) ||
						       next.len > rec->len - next.at))) {
			count(c->all->counters, COUNT_RECORDS_BAD);
			return;
		}
		seg->seq = rec->seq + at;
		seg->len = next.at - at;
		if (seg->len)
			stream_push(stream, seg, io);
		at = next.at;
		if (at == rec->len)
			break;
		seg->caught = slice_of(rest.ptr + sizeof(next), next.len);
		rest.ptr += sizeof(next) + next.len;
		rest.len -= sizeof(next) + next.len;
	}
}
