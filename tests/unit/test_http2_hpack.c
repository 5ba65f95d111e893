/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/http2_hpack.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

static void decode(struct http2_hpack *hpack, const char *hex, struct http2_block *block, int want)
{
	unsigned char bytes[512];
	size_t n = 0;

	for (; *hex; hex++) {
		unsigned byte;

		if (*hex == ' ')
			continue;
		cr_assert_eq(sscanf(hex, "%2x", &byte), 1);
		bytes[n++] = (unsigned char)byte;
		hex++;
	}
	http2_block_init(block);
	cr_assert_eq(http2_hpack_decode(hpack, slice_of(bytes, n), true, block), want);
}

static void is(struct slice s, const char *want)
{
	cr_assert(
		slice_eq(s, slice_str(want)), "%.*s, not %s", (int)s.len, s.ptr ? s.ptr : "", want);
}

/* RFC 7541, appendix C.3, C.4 (with Huffman), C.5 and C.6. */
Test(http2_hpack, published_examples)
{
	static const char *const REQUESTS[2][3] = {
		{"8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
			"8286 84be 5808 6e6f 2d63 6163 6865",
			"8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65"},
		{"8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", "8286 84be 5886 a8eb 1064 9cbf",
			"8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf"},
	};
	static const char *const REPLIES[2][3] = {
		{"4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 "
		 "2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 "
		 "6c65 2e63 6f6d",
			"4803 3330 37c1 c0bf",
			"88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 "
			"3220 "
			"474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f "
			"5157 "
			"454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b "
			"2076 "
			"6572 7369 6f6e 3d31"},
		{"4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 "
		 "2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
			"4883 640e ffc1 c0bf",
			"88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a "
			"839b "
			"d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 "
			"ab27 "
			"0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07"},
	};

	for (int huffman = 0; huffman < 2; huffman++) {
		struct http2_hpack ask = {0}, answer = {0};
		static struct http2_block b;

		for (int i = 0; i < 3; i++) {
			decode(&ask, REQUESTS[huffman][i], &b, 0);
			is(b.method, "GET");
			is(b.authority, "www.example.com");
			is(b.path, i == 2 ? "/index.html" : "/");
			is(b.scheme, i == 2 ? "https" : "http");
			cr_assert_eq(b.fields.n, i ? 1 : 0);
		}
		is(b.fields.v[0].name, "custom-key");
		is(b.fields.v[0].value, "custom-value");
		for (int i = 0; i < 3; i++) {
			decode(&answer, REPLIES[huffman][i], &b, 0);
			cr_assert_eq(b.status, i == 0 ? 302 : i == 1 ? 307 : 200);
			is(b.fields.v[0].value, "private");
			is(b.fields.v[1].value, i == 2 ? "Mon, 21 Oct 2013 20:13:22 GMT"
						       : "Mon, 21 Oct 2013 20:13:21 GMT");
			is(b.fields.v[2].value, "https://www.example.com");
		}
		cr_assert_eq(b.fields.n, 5);
		cr_assert_not(b.unknown || b.malformed);
		http2_hpack_release(&ask);
		http2_hpack_release(&answer);
	}
}

/* What was in the table before is known to be unknown; what comes is known. */
Test(http2_hpack, unknown_entries)
{
	struct http2_hpack h = {.unknown = true};
	static struct http2_block b;

	decode(&h, "8286 84be", &b, 0); /* :authority was there before */
	cr_assert(b.unknown);
	is(b.method, "GET");
	cr_assert_eq(b.authority.ptr, NULL);
	/* :authority once more, and with a value under a name that is not known */
	decode(&h, "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d 7f01 0178", &b, 0);
	cr_assert(b.unknown);
	is(b.authority, "www.example.com");
	cr_assert_eq(b.fields.n, 0);
	decode(&h, "8286 84bf", &b, 0);
	cr_assert_not(b.unknown);
	is(b.authority, "www.example.com");
	decode(&h, "8286 84ff 80ff 7f", &b, -EBADMSG); /* far behind the table's end */
	http2_hpack_forget(&h);
	decode(&h, "8286 84bf", &b, 0);
	cr_assert(b.unknown);
	http2_hpack_release(&h);
}
