/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/ends.h"

#include <criterion/criterion.h>

static struct end_key key(
	uint32_t seq, uint32_t opposite, uint8_t host, uint16_t port, uint32_t netns)
{
	struct end_key k = {.seq = seq, .opposite = opposite, .client_port = port, .netns = netns};

	k.client_addr[10] = k.client_addr[11] = 0xff;
	k.client_addr[12] = netns ? 127 : 10;
	k.client_addr[15] = host;
	return k;
}

static node_ref take(struct ends *e, uint32_t seq, uint32_t opposite, uint8_t host, uint16_t port,
	uint32_t netns)
{
	struct end_key k = key(seq, opposite, host, port, netns);

	return ends_take(e, &k);
}

static bool put(struct ends *e, uint32_t seq, uint32_t opposite, uint8_t host, uint16_t port,
	uint32_t netns, node_ref ref)
{
	struct end_key k = key(seq, opposite, host, port, netns);

	return ends_put(e, &k, ref);
}

Test(ends, gives_the_other_end_once)
{
	struct ends *e;

	cr_assert_eq(ends_new(8, &e), 0);
	cr_assert(put(e, 1, 2, 1, 5000, 0, 77));
	cr_assert_eq(take(e, 2, 2, 1, 5000, 0), 0);
	cr_assert_eq(take(e, 1, 2, 1, 5000, 0), 77);
	cr_assert_eq(take(e, 1, 2, 1, 5000, 0), 0);
	ends_free(e);
}

Test(ends, loopbacks_of_two_namespaces_are_two)
{
	struct ends *e;

	cr_assert_eq(ends_new(8, &e), 0);
	put(e, 1, 2, 1, 5000, 1, 11);
	put(e, 1, 2, 1, 5000, 2, 22);
	cr_assert_eq(take(e, 1, 2, 1, 5000, 3), 0);
	cr_assert_eq(take(e, 1, 2, 1, 5000, 1), 11);
	cr_assert_eq(take(e, 1, 2, 1, 5000, 2), 22);
	ends_free(e);
}

Test(ends, after_masquerading_both_numbers_tell_if_they_are_unique)
{
	struct ends *e;

	cr_assert_eq(ends_new(8, &e), 0);
	put(e, 1, 2, 1, 5000, 0, 11);
	put(e, 1, 3, 1, 5001, 0, 22);
	cr_assert_eq(take(e, 1, 9, 9, 1024, 0), 0);
	cr_assert_eq(take(e, 1, 3, 9, 1024, 0), 22);
	put(e, 1, 2, 2, 5002, 0, 33);
	cr_assert_eq(take(e, 1, 2, 9, 1024, 0), 0, "two fit");
	/* the address decides all the same */
	cr_assert_eq(take(e, 1, 2, 2, 5002, 0), 33);
	cr_assert_eq(take(e, 1, 2, 9, 1024, 0), 11);
	/* never on loopback */
	put(e, 1, 2, 1, 5000, 1, 44);
	cr_assert_eq(take(e, 1, 2, 9, 1024, 0), 0);
	ends_free(e);
}

Test(ends, forgets_the_oldest_and_says_so)
{
	struct ends *e;

	cr_assert_eq(ends_new(4, &e), 0);
	for (uint32_t i = 1; i <= 4; i++)
		cr_assert(put(e, i, 0, 1, 5000, 0, i));
	cr_assert_eq(take(e, 1, 0, 1, 5000, 0), 1);
	cr_assert(put(e, 5, 0, 1, 5000, 0, 5), "its place was free again");
	cr_assert_not(put(e, 6, 0, 1, 5000, 0, 6));
	cr_assert_eq(take(e, 2, 0, 1, 5000, 0), 0);
	for (uint32_t i = 3; i <= 6; i++)
		cr_assert_eq(take(e, i, 0, 1, 5000, 0), i);
	for (uint32_t i = 0; i < 100000; i++) {
		put(e, i, 0, 1, 5000, 0, i + 1);
		cr_assert_eq(take(e, i, 0, 1, 5000, 0), i + 1);
	}
	ends_free(e);
}
