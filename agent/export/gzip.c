/* SPDX-License-Identifier: Apache-2.0 */
#include "export/gzip.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

#define WINDOW_GZIP (15 + 16) /* zlib.h, deflateInit2: the largest window, in a gzip wrapper */

struct gzip {
	z_stream stream;
	size_t cap;
	char buf[];
};

int gzip_new(size_t max_bytes, struct gzip **ret_gzip)
{
	size_t cap = GZIP_ROOM + compressBound(max_bytes) +
		     64; /* gzip's wrapper is larger than zlib's */
	struct gzip *g = malloc(sizeof(*g) + cap);

	if (!g)
		return -ENOMEM;
	memset(&g->stream, 0, sizeof(g->stream));
	g->cap = cap;
	if (deflateInit2(&g->stream, 1, Z_DEFLATED, WINDOW_GZIP, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
		free(g);
		return -ENOMEM;
	}
	*ret_gzip = g;
	return 0;
}

void gzip_free(struct gzip *g)
{
	if (!g)
		return;
	deflateEnd(&g->stream);
	free(g);
}

struct slice gzip_pack(struct gzip *g, struct slice in, size_t room)
{
	assert(room <= GZIP_ROOM);
	deflateReset(&g->stream);
	g->stream.next_in = (unsigned char *)in.ptr;
	g->stream.avail_in = (unsigned)in.len;
	g->stream.next_out = (unsigned char *)g->buf + room;
	g->stream.avail_out = (unsigned)(g->cap - room);
	if (deflate(&g->stream, Z_FINISH) != Z_STREAM_END)
		return (struct slice){NULL, 0};
	return slice_of(g->buf, room + g->stream.total_out);
}
