/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"

#include <criterion/criterion.h>

Test(clock, a_reading_moves_no_span_against_another)
{
	uint64_t known = clock_unix_offset(0), now;
	unsigned changes = 0;

	for (int i = 0; i < 100000; i++) {
		now = clock_unix_offset(known);
		changes += now != known;
		known = now;
	}
	/* the first one can have been interrupted, and those that mend it as well */
	cr_assert_leq(changes, 5);
}

Test(clock, one_that_was_set_is_followed)
{
	uint64_t known = clock_unix_offset(0);

	for (int step = -1; step <= 1; step += 2) {
		uint64_t now = clock_unix_offset(known + (uint64_t)step * 10 * NS_PER_SEC);

		cr_assert_lt(now - (known - NS_PER_SEC), 2 * NS_PER_SEC);
	}
}
