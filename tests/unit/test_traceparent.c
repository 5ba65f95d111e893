/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/traceparent.h"

#include "core/cleanup.h"
#include "guard.h"

#include <criterion/criterion.h>
#include <errno.h>

#define TID "4bf92f3577b34da6a3ce929d0e0e4736"
#define SID "00f067aa0ba902b7"

static const struct {
	const char *in;
	int flags; /* -1: not valid */
} CASES[] = {
	{"00-" TID "-" SID "-01", 1},
	{"00-" TID "-" SID "-00", 0},
	{"00-" TID "-" SID "-ff", 0xff},
	{" 00-" TID "-" SID "-01\t", 1},
	{"01-" TID "-" SID "-03", 1},
	{"cc-" TID "-" SID "-00-what-the-future-will-be-like", 0},
	{"cc-" TID "-" SID "-01-", 1},
	{"cc-" TID "-" SID "-01.what", -1},
	{"cc-" TID "-" SID "-0", -1},
	{"00-" TID "-" SID "-01-", -1},
	{"00-" TID "-" SID "-01x", -1},
	{"ff-" TID "-" SID "-01", -1},
	{"0-" TID "-" SID "-01", -1},
	{"FF-" TID "-" SID "-01", -1},
	{"00-4BF92F3577B34DA6A3CE929D0E0E4736-" SID "-01", -1},
	{"00-" TID "-00F067AA0BA902B7-01", -1},
	{"00-00000000000000000000000000000000-" SID "-01", -1},
	{"00-" TID "-0000000000000000-01", -1},
	{"00-" TID "-" SID "-0g", -1},
	{"00-" TID "-" SID "-0A", -1},
	{"00_" TID "-" SID "-01", -1},
	{"00-" TID "_" SID "-01", -1},
	{"00-" TID "-" SID "_01", -1},
	{"00-4bf92f3577b34da6a3ce929d0e0e473.-" SID "-01", -1},
	{"", -1},
	{"   ", -1},
};

Test(traceparent, parses_by_the_specification)
{
	struct guard guard = guard_new();

	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct slice in = slice_str(CASES[i].in);
		struct traceparent got = {.flags = 0x77};
		int r = traceparent_parse(guard_put(&guard, in), &got);

		cr_assert_eq(r, CASES[i].flags < 0 ? -EINVAL : 0, "%s", CASES[i].in);
		cr_assert_eq(got.flags, r ? 0x77 : CASES[i].flags, "%s", CASES[i].in);
		if (r == 0) {
			cr_assert_eq(got.trace_id[0], 0x4b);
			cr_assert_eq(got.trace_id[15], 0x36);
			cr_assert_eq(got.parent_id[7], 0xb7);
		}
		for (size_t n = 0; n < in.len && n < TRACEPARENT_LEN; n++)
			cr_assert_eq(
				traceparent_parse(guard_put(&guard, slice_of(in.ptr, n)), &got),
				-EINVAL);
	}
	guard_free(&guard);
}

Test(traceparent, formats_what_it_parses)
{
	struct slice text = SLICE("00-" TID "-" SID "-01");
	struct traceparent t;
	char got[TRACEPARENT_LEN];

	cr_assert_eq(traceparent_parse(text, &t), 0);
	traceparent_format(&t, got);
	cr_assert(slice_eq(slice_of(got, sizeof(got)), text));
}

Test(traceparent, tracestate)
{
	static const struct {
		const char *in;
		bool valid;
	} STATES[] = {
		{"", false},
		{" ,\t, ", false},
		{"a=1", true},
		{" a=1 , b=2 ", true},
		{"a=1,,b=2", true},
		{"t@v=x y", true},
		{"0a-_*/=!~", true},
		{"1=1", true},
		{"A=1", false},
		{"a", false},
		{"a=", false},
		{"=1", false},
		{"a=1=2", false},
		{"a=\x01", false},
		{"a=\xc3\xbc", false},
		{"a b=1", false},
		{"-a=1", false},
		{"a=1,b", false},
	};
	struct guard guard = guard_new();

	for (size_t i = 0; i < ARRAY_SIZE(STATES); i++) {
		struct slice in = slice_str(STATES[i].in);
		struct slice got = tracestate_check(guard_put(&guard, in));

		cr_assert_eq(got.len > 0, STATES[i].valid, "%s", STATES[i].in);
		if (STATES[i].valid)
			cr_assert(slice_eq(got, slice_trim(in)));
	}
	guard_free(&guard);
}

Test(traceparent, tracestate_bounds)
{
	char text[600];
	size_t n = 0;

	memset(text, 'x', sizeof(text));
	memcpy(text, "a=", 2);
	cr_assert_eq(tracestate_check(slice_of(text, 2 + 256)).len, 258);
	cr_assert_eq(tracestate_check(slice_of(text, 2 + 257)).len, 0);
	text[258] = ',';
	memcpy(text + 259, "b=", 2);
	cr_assert_eq(tracestate_check(slice_of(text, TRACESTATE_MAX)).len, TRACESTATE_MAX);
	memcpy(text + 500, ",c=", 3);
	cr_assert_eq(tracestate_check(slice_of(text, TRACESTATE_MAX + 1)).len, 0);

	for (int i = 0; i < 33; i++) {
		memcpy(text + n, "a=1,", 4);
		n += 4;
	}
	cr_assert_eq(tracestate_check(slice_of(text, n)).len, 0);
	cr_assert_eq(tracestate_check(slice_of(text, n - 4)).len, n - 4);
}
