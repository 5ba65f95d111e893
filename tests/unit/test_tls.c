/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/tls.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

/* OpenSSL 3.0's, of a client that asks for shop.example.com and offers h2. */
static const char CLIENT_12[] =
	"16030100c8010000c40303e12eaf5c50e9047747591dbe0dea54435ee74a0c94fd003e949c5b1c909fbc5c0000"
	"1ec02cc030c02bc02fcca9cca8c024c028c023c027009f009e006b006700ff0100007d00000015001300001073"
	"686f702e6578616d706c652e636f6d000b000403000102000a000c000a001d0017001e00190018002300000010"
	"000e000c02683208687474702f312e310016000000170000000d002a0028040305030603080708080809080a08"
	"0b080408050806040105010601030303010302040205020602";
static const char SERVER_12[] =
	"160303004a0200004603033c1cb4df4ed15ebdd351c8c04d83155df99d8e17f47d4e7a444f574e4752440100c0"
	"2c00001eff01000100000b0004030001020023000000100005000302683200170000";
static const char SERVER_13[] =
	"160303007a020000760303ff0fe37901cdf1428442e2a7c657b78e14ab529a894476b3ddafb8fd617e3f352088"
	"1c39c22437feb129c12c12d40bc5a582c22a9759c7a59df5f03e4f82dbde0f130200002e002b00020304003300"
	"24001d00204e103c28ed6f1835dec04c95982a5a0ada2c96a809a3d32947088475da4d8773";

struct bytes {
	unsigned char v[512];
	size_t n;
};

static struct bytes of_hex(const char *hex)
{
	struct bytes b = {.n = 0};
	unsigned byte;

	for (; sscanf(hex, "%2x", &byte) == 1; hex += 2)
		b.v[b.n++] = (unsigned char)byte;
	return b;
}

static struct slice message(const struct bytes *b)
{
	return slice_of(b->v + 5, b->n - 5);
}

Test(tls, hellos)
{
	struct bytes client = of_hex(CLIENT_12), server = of_hex(SERVER_12);
	struct bytes newer = of_hex(SERVER_13);
	struct tls_hellos h = {0};

	cr_assert(tls_begins(slice_of(client.v, client.n)));
	cr_assert(tls_read_hello(message(&client), &h));
	cr_assert_str_eq(h.server_name, "shop.example.com");
	cr_assert_str_eq(h.alpn, ""); /* offered is not chosen */
	cr_assert(h.offers_h2);
	cr_assert_eq(h.version, 0);
	cr_assert(tls_read_hello(message(&server), &h));
	cr_assert_eq(h.version, 0x0303);
	cr_assert_str_eq(h.alpn, "h2");
	cr_assert(tls_read_hello(message(&newer), &h));
	cr_assert_eq(h.version, 0x0304, "what the extension says, not the field");
}

/* Cut anywhere: never more is read than there is, which a copy of that size shows to the sanitizer.
 */
Test(tls, cut)
{
	const char *const all[] = {CLIENT_12, SERVER_12, SERVER_13};

	for (unsigned i = 0; i < 3; i++) {
		struct bytes b = of_hex(all[i]);

		for (size_t n = 0; n < b.n - 5; n++) {
			struct tls_hellos h = {0};
			char *copy = malloc(n ? n : 1);

			memcpy(copy, b.v + 5, n);
			cr_assert_not(tls_read_hello(slice_of(copy, n), &h), "%u cut at %zu", i, n);
			free(copy);
		}
	}
}

/* A length that lies. */
Test(tls, each_byte_changed)
{
	struct bytes b = of_hex(CLIENT_12);

	for (size_t at = 5; at < b.n; at++)
		for (unsigned by = 1; by < 256; by += 37) {
			struct tls_hellos h = {0};
			struct bytes other = b;

			other.v[at] ^= (unsigned char)by;
			tls_read_hello(message(&other), &h);
			cr_assert_lt(strnlen(h.server_name, sizeof(h.server_name)),
				sizeof(h.server_name));
		}
}

Test(tls, records)
{
	static const struct {
		const char *bytes;
		bool is;
	} cases[] = {
		{"\x16\x03\x01\x02\x00", true},
		{"\x17\x03\x03\x00\x45", true},
		{"\x15\x03\x03\x00\x02", true},
		{"\x18\x03\x03\x00\x02", false},
		{"\x16\x04\x01\x02\x00", false},
		{"\x16\x03\x00\x02\x00", false}, /* SSL 3.0 */
		{"\x17\x03\x03\x50\x00", false}, /* longer than any */
		{"\x17\x03\x03\x00\x00", false},
		{"GET /", false},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_eq(tls_begins(slice_of(cases[i].bytes, 5)), cases[i].is, "%u", i);
	cr_expect_not(tls_begins(slice_of("\x16\x03\x01\x02", 4)));
}

static size_t feed(void *state, const unsigned char *bytes, size_t n, enum parse want)
{
	struct feed in = {.bytes = slice_of(bytes, n)};
	struct parsed parsed = {0};

	cr_assert_eq(tls_protocol.feed(state, NULL, SIDE_REQUEST, &in, &parsed), want);
	return parsed.used;
}

/* As a server reads it: the header, then the rest. */
Test(tls, in_two_calls)
{
	struct bytes b = of_hex(CLIENT_12);
	void *state = calloc(1, tls_protocol.state_size);

	cr_assert_eq(feed(state, b.v, 3, PARSE_MORE), 0);
	cr_assert_eq(feed(state, b.v, 5, PARSE_MORE), 0);
	cr_assert_eq(feed(state, b.v, b.n, PARSE_CONSUMED), b.n);
	cr_assert_str_eq(tls_hellos(state)->server_name, "shop.example.com");
	free(state);
}

/* A connection that was joined has no hello, whatever its bytes look like. */
Test(tls, joined)
{
	struct bytes b = of_hex(CLIENT_12);
	void *state = calloc(1, tls_protocol.state_size);

	tls_protocol.join(state);
	cr_assert_eq(feed(state, b.v, b.n, PARSE_CONSUMED), b.n);
	cr_assert_str_eq(tls_hellos(state)->server_name, "");
	free(state);
}
