/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/budget.h"

#include <criterion/criterion.h>

/* A machine on which every connection costs the same: with all of them recorded, `all` times the
 * limit. The share after n seconds. */
static double after(double keep, double all, unsigned n)
{
	while (n--)
		keep = budget_keep(keep, all * keep);
	return keep;
}

Test(budget, what_fits_is_kept)
{
	cr_assert_eq(after(1, 0, 100), 1);
	cr_assert_eq(after(1, 1, 100), 1);
}

Test(budget, what_does_not_is_left_out_at_once_and_no_more_than_needed)
{
	cr_assert_float_eq(after(1, 2, 1), 0.5, 0.001);
	cr_assert_float_eq(after(1, 10, 1), 0.1, 0.001);
	for (double all = 1.1; all < 200; all *= 1.3) {
		double keep = after(1, all, 50);

		cr_assert_leq(keep * all, 1.001, "%f of %f", keep, all);
		cr_assert_geq(keep * all, 0.79, "%f of %f", keep, all);
	}
}

Test(budget, it_comes_back_by_itself_and_does_not_swing)
{
	double keep = after(1, 100, 10), last;

	cr_assert_lt(keep, 0.011);
	cr_assert_eq(after(keep, 0.5, 40), 1);
	/* half the load: twice the share, and then it stays */
	keep = after(keep, 50, 40);
	for (unsigned i = 0; i < 20; i++) {
		last = keep;
		keep = after(keep, 50, 1);
		cr_assert_float_eq(keep, last, 0.0001);
	}
	cr_assert_geq(keep * 50, 0.79);
}

Test(budget, some_connections_are_always_kept)
{
	cr_assert_gt(after(1, 1e9, 1000), 0);
}

Test(budget, what_is_left_out_is_never_nothing)
{
	struct budget b = {.keep = 1};

	cr_assert_eq(budget_shed_percent(&b), 0);
	b.keep = 0.999;
	cr_assert_eq(budget_shed_percent(&b), 1);
	b.keep = 0.25;
	cr_assert_eq(budget_shed_percent(&b), 75);
}
