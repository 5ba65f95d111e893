/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/http2_hpack.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stddef.h>

#define TABLE_DEFAULT 4096u
#define TABLE_MAX     (16u * 1024) /* a peer that uses more has its entries not known */
#define STAND_IN      "?" /* no field can have this name (RFC 9110, 5.6.2) */
#define STAND_IN_SIZE 33 /* RFC 7541, 4.1: 32, name and value */

void http2_hpack_release(struct http2_hpack *h)
{
	if (h->inflater)
		nghttp2_hd_inflate_del(h->inflater);
	h->inflater = NULL;
}

void http2_hpack_forget(struct http2_hpack *h)
{
	http2_hpack_release(h);
	h->unknown = true;
}

/* RFC 7541, 6.2.1: literal fields that enter the table. */
static int fill(nghttp2_hd_inflater *inflater)
{
	uint8_t entry[] = {0x40, 1, STAND_IN[0], 0};
	nghttp2_nv nv;
	int flags;

	for (unsigned i = 0; i < TABLE_DEFAULT / STAND_IN_SIZE; i++) {
		if (nghttp2_hd_inflate_hd2(inflater, &nv, &flags, entry, sizeof(entry), 1) < 0)
			return -ENOMEM;
		/* once more, for the block's end */
		if (nghttp2_hd_inflate_hd2(inflater, &nv, &flags, entry, 0, 1) < 0)
			return -ENOMEM;
		nghttp2_hd_inflate_end_headers(inflater);
	}
	return 0;
}

static int start(struct http2_hpack *h)
{
	if (h->inflater)
		return 0;
	if (nghttp2_hd_inflate_new(&h->inflater) || (h->unknown && fill(h->inflater))) {
		http2_hpack_release(h);
		return -ENOMEM;
	}
	return 0;
}

int http2_hpack_allow(struct http2_hpack *h, uint32_t bytes)
{
	int err = start(h);

	/* less than before binds the sender; being told twice what holds is no harm */
	if (err || bytes <= TABLE_DEFAULT)
		return err;
	return nghttp2_hd_inflate_change_table_size(
		       h->inflater, bytes < TABLE_MAX ? bytes : TABLE_MAX)
		       ? -ENOMEM
		       : 0;
}

void http2_block_init(struct http2_block *b)
{
	memset(b, 0, offsetof(struct http2_block, fields.v));
	b->text_used = 0;
}

/* A copy; false: there is no room. */
static bool keep(struct http2_block *b, const uint8_t *from, size_t len, struct slice *ret_copy)
{
	char *to = b->text + b->text_used;

	if (len > HTTP2_TEXT - b->text_used)
		return false;
	memcpy(to, from, len);
	b->text_used += (uint32_t)len;
	*ret_copy = slice_of(to, len);
	return true;
}

static void set_pseudo(struct http2_block *b, struct slice *to, struct slice value)
{
	b->malformed |= to->ptr || b->fields.n;
	*to = value;
}

static void set_status(struct http2_block *b, struct slice value)
{
	uint64_t status;

	b->malformed |= b->status || b->fields.n || value.len != 3 || slice_u64(value, &status) ||
			status < 100;
	if (!b->malformed)
		b->status = (uint16_t)status;
}

static void note_pseudo(struct http2_block *b, struct field field)
{
	if (slice_eq(field.name, SLICE(":method")))
		set_pseudo(b, &b->method, field.value);
	else if (slice_eq(field.name, SLICE(":path")))
		set_pseudo(b, &b->path, field.value);
	else if (slice_eq(field.name, SLICE(":scheme")))
		set_pseudo(b, &b->scheme, field.value);
	else if (slice_eq(field.name, SLICE(":authority")))
		set_pseudo(b, &b->authority, field.value);
	else if (slice_eq(field.name, SLICE(":protocol")))
		set_pseudo(b, &b->protocol, field.value);
	else if (slice_eq(field.name, SLICE(":status")))
		set_status(b, field.value);
	else
		b->malformed = true;
}

static void note(struct http2_block *b, const nghttp2_nv *nv)
{
	struct field field;

	if (nv->namelen == 1 && nv->name[0] == STAND_IN[0]) {
		b->unknown = true;
		return;
	}
	if (!nv->namelen) {
		b->malformed = true;
		return;
	}
	if (b->fields.n == HTTP_FIELDS || !keep(b, nv->name, nv->namelen, &field.name) ||
		!keep(b, nv->value, nv->valuelen, &field.value)) {
		b->fields.cut = true;
		return;
	}
	if (*field.name.ptr == ':') {
		note_pseudo(b, field);
		return;
	}
	http_fields_add(&b->fields, field);
}

int http2_hpack_decode(
	struct http2_hpack *h, struct slice fragment, bool last, struct http2_block *b)
{
	const uint8_t *at = (const uint8_t *)fragment.ptr;
	size_t left = fragment.len;
	int err = start(h);

	if (err)
		return err;
	for (;;) {
		nghttp2_nv nv;
		int flags = 0;
		ssize_t used = nghttp2_hd_inflate_hd2(h->inflater, &nv, &flags, at, left, last);

		if (used < 0)
			return used == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EBADMSG;
		at += used;
		left -= (size_t)used;
		if (flags & NGHTTP2_HD_INFLATE_EMIT)
			note(b, &nv);
		if (flags & NGHTTP2_HD_INFLATE_FINAL) {
			nghttp2_hd_inflate_end_headers(h->inflater);
			return left ? -EBADMSG : 0;
		}
		if (!left && !last && !(flags & NGHTTP2_HD_INFLATE_EMIT))
			return 0;
	}
}
