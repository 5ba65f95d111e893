/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/http2_streams.h"

static unsigned bucket_of(uint32_t stream)
{
	return stream >> 1 & (HTTP2_BUCKETS - 1);
}

void http2_streams_add(struct http2_streams *s, struct exchange *ex)
{
	struct exchange **bucket = &s->bucket[bucket_of(ex->stream)];

	ex->next = *bucket;
	*bucket = ex;
	s->count++;
}

struct exchange *http2_streams_find(const struct http2_streams *s, uint32_t stream)
{
	struct exchange *ex = s->bucket[bucket_of(stream)];

	while (ex && ex->stream != stream)
		ex = ex->next;
	return ex;
}

void http2_streams_remove(struct http2_streams *s, struct exchange *ex)
{
	struct exchange **at = &s->bucket[bucket_of(ex->stream)];

	while (*at != ex)
		at = &(*at)->next;
	*at = ex->next;
	ex->next = NULL;
	s->count--;
}

struct exchange *http2_streams_above(const struct http2_streams *s, uint32_t after)
{
	for (unsigned i = 0; i < HTTP2_BUCKETS; i++)
		for (struct exchange *ex = s->bucket[i]; ex; ex = ex->next)
			if (ex->stream > after)
				return ex;
	return NULL;
}
