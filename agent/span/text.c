/* SPDX-License-Identifier: Apache-2.0 */
#include "span/text.h"

static const struct slice REPLACEMENT = {"\xef\xbf\xbd", 3};

void text_put(struct text *text, struct slice s)
{
	size_t room = text->cap - text->used;

	if (s.len > room) {
		s.len = room;
		text->cut = true;
	}
	if (s.len)
		memcpy(text->buf + text->used, s.ptr, s.len);
	text->used += s.len;
}

void text_put_u64(struct text *text, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	text_put(text, slice_of(digits + at, sizeof(digits) - at));
}

void text_put_addr(struct text *text, const uint8_t addr[static ADDR_LEN])
{
	char v6[ADDR_TEXT_LEN];

	/* inet_ntop() formats through sprintf(), too slow for twice a span; IPv4 is the common
	 * case. */
	if (!addr_is_v4(addr)) {
		addr_text(addr, v6);
		text_put(text, slice_str(v6));
		return;
	}
	for (int i = 12; i < ADDR_LEN; i++) {
		if (i > 12)
			text_put(text, SLICE("."));
		text_put_u64(text, addr[i]);
	}
}

struct slice text_since(const struct text *text, size_t from)
{
	return slice_of(text->buf + from, text->used - from);
}

/* The length of the character that s begins with, 0 if it is not one (Unicode 15, table 3-7). */
static size_t utf8_char(const unsigned char *s, size_t len)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t n;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2;
	else if ((s[0] & 0xf0) == 0xe0)
		n = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (len < n)
		return 0;
	if (s[0] == 0xe0)
		low = 0xa0;
	else if (s[0] == 0xed)
		high = 0x9f;
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xf4)
		high = 0x8f;
	if (s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

size_t utf8_prefix(struct slice s)
{
	const unsigned char *bytes = (const unsigned char *)s.ptr;
	size_t at = 0, n;
	uint64_t word;

	while (at < s.len) {
		if (s.len - at >= sizeof(word)) {
			memcpy(&word, bytes + at, sizeof(word));
			if (!(word & 0x8080808080808080ull)) {
				at += sizeof(word);
				continue;
			}
		}
		n = bytes[at] < 0x80 ? 1 : utf8_char(bytes + at, s.len - at);
		if (!n)
			break;
		at += n;
	}
	return at;
}

struct slice text_utf8(struct text *text, struct slice s)
{
	size_t good = utf8_prefix(s), from = text->used;

	if (good == s.len)
		return s;
	for (;;) {
		text_put(text, slice_of(s.ptr, good));
		s.ptr += good;
		s.len -= good;
		if (!s.len)
			break;
		text_put(text, REPLACEMENT);
		do {
			s.ptr++;
			s.len--;
		} while (s.len && !utf8_char((const unsigned char *)s.ptr, s.len));
		good = utf8_prefix(s);
	}
	/* A cut may have split a character. */
	text->used = from + utf8_prefix(text_since(text, from));
	return text_since(text, from);
}
