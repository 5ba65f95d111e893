/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cpus.h"

#include <criterion/criterion.h>

Test(cpus, the_highest_number_counts)
{
	cr_assert_eq(cpus_in_list("0\n"), 1);
	cr_assert_eq(cpus_in_list("0-1\n"), 2);
	cr_assert_eq(cpus_in_list("0-3,8-11,5"), 12);
	cr_assert_eq(cpus_in_list("8191"), 8192);
}

Test(cpus, what_is_no_list_has_none)
{
	static const char *const bad[] = {
		"", "\n", "x", "0-", "-1", "0,,1", "0-x", "8192", "99999999999999999999", "0 1"};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(cpus_in_list(bad[i]), 0, "%s", bad[i]);
}

Test(cpus, this_machine_has_some)
{
	cr_assert_geq(cpus_present(), 1);
}
