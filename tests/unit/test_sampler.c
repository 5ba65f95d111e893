/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/sampler.h"

#include "core/cleanup.h"

#include <criterion/criterion.h>
#include <math.h>

static const struct sampler_parent NONE = {false, false};
static const struct sampler_parent SAMPLED = {true, true};
static const struct sampler_parent DROPPED = {true, false};

/* Ids whose low 8 bytes are the smallest and the largest. */
static const uint8_t LOW[TRACE_ID_LEN] = {0xff, [7] = 0xff};
static const uint8_t HIGH[TRACE_ID_LEN] = {[8] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

Test(sampler, decides_by_the_specification)
{
	static const struct {
		enum sampler sampler;
		double ratio;
		const uint8_t *id;
		bool none, sampled, dropped;
	} CASES[] = {
		{SAMPLER_ALWAYS_ON, 0, HIGH, true, true, true},
		{SAMPLER_ALWAYS_OFF, 1, LOW, false, false, false},
		{SAMPLER_RATIO, 0.5, LOW, true, true, true},
		{SAMPLER_RATIO, 0.5, HIGH, false, false, false},
		{SAMPLER_PARENT_ALWAYS_ON, 0, HIGH, true, true, false},
		{SAMPLER_PARENT_ALWAYS_OFF, 1, LOW, false, true, false},
		{SAMPLER_PARENT_RATIO, 0.5, LOW, true, true, false},
		{SAMPLER_PARENT_RATIO, 0.5, HIGH, false, true, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct sampler_options options = {CASES[i].sampler, CASES[i].ratio};

		cr_assert_eq(sampler_decide(&options, NONE, CASES[i].id), CASES[i].none, "%zu", i);
		cr_assert_eq(
			sampler_decide(&options, SAMPLED, CASES[i].id), CASES[i].sampled, "%zu", i);
		cr_assert_eq(
			sampler_decide(&options, DROPPED, CASES[i].id), CASES[i].dropped, "%zu", i);
	}
}

static bool ratio(double r, const uint8_t *id)
{
	struct sampler_options options = {SAMPLER_RATIO, r};

	return sampler_decide(&options, NONE, id);
}

Test(sampler, ratio_bounds)
{
	cr_assert(ratio(1, HIGH));
	cr_assert(ratio(7, HIGH));
	cr_assert_not(ratio(0, LOW));
	cr_assert_not(ratio(-1, LOW));
	cr_assert_not(ratio((double)NAN, LOW));
	cr_assert(ratio(1e-18, LOW));
	cr_assert_not(ratio(1e-30, LOW), "below one of 2^63");
}

/* Decisions of opentelemetry-go's TraceIDRatioBased: the bound of 0.25 is 0x2000000000000000 >> 0.
 */
Test(sampler, ratio_compares_the_low_eight_bytes)
{
	uint8_t id[TRACE_ID_LEN] = {[8] = 0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	cr_assert(ratio(0.25, id));
	id[8] = 0x40;
	memset(id + 9, 0, 7);
	cr_assert_not(ratio(0.25, id));
}

Test(sampler, ratio_is_met_and_nested)
{
	uint64_t state = 88172645463325252ull;
	unsigned tenth = 0, half = 0;

	for (int i = 0; i < 100000; i++) {
		uint8_t id[TRACE_ID_LEN];

		for (int j = 0; j < TRACE_ID_LEN; j++) {
			state ^= state << 13;
			state ^= state >> 7;
			state ^= state << 17;
			id[j] = (uint8_t)(state >> 32);
		}
		tenth += ratio(0.1, id);
		half += ratio(0.5, id);
		cr_assert(!ratio(0.1, id) || ratio(0.5, id));
	}
	cr_assert(tenth > 9500 && tenth < 10500, "%u", tenth);
	cr_assert(half > 49000 && half < 51000, "%u", half);
}
