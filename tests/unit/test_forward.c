/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/forward.h"

#include "core/cleanup.h"

#include <criterion/criterion.h>
#include <string.h>

struct head {
	const char *method, *target;
	const char *lines[8]; /* name, value, … */
};

static void fill(const struct head *h, struct exchange *ex, struct trace_node *n)
{
	struct field fields[4];
	unsigned count = 0;

	memset(ex, 0, sizeof(*ex));
	memset(n, 0, sizeof(*n));
	ex->http.method = slice_str(h->method);
	ex->http.target = slice_str(h->target);
	for (; count < 4 && h->lines[2 * count]; count++)
		fields[count] = (struct field){
			slice_str(h->lines[2 * count]), slice_str(h->lines[2 * count + 1])};
	n->ex = ex;
	forward_note(n, ex, fields, count);
}

static bool matches(const struct head *in, const struct head *out)
{
	static struct exchange a, b;
	static struct trace_node na, nb;

	fill(in, &a, &na);
	fill(out, &b, &nb);
	/* what an index by head would miss must not match */
	return forward_matches(&na, &nb);
}

Test(forward, what_proxies_change_does_not_count)
{
	static const struct {
		struct head in, out;
		bool match;
	} cases[] = {
		{{"GET", "/a", {NULL}}, {"GET", "/a", {NULL}}, true},
		{{"GET", "/a", {NULL}}, {"POST", "/a", {NULL}}, false},
		{{"GET", "/a", {NULL}}, {"GET", "/b", {NULL}}, false},
		{{"GET", "/a", {"Host", "x", "Accept", "*/*"}},
			{"GET", "/a",
				{"host", "back", "accept", "*/*", "X-Forwarded-For", "1.2.3.4",
					"Via", "1.1 p"}},
			true},
		{{"GET", "/a", {"Accept", "*/*"}}, {"GET", "/a", {NULL}}, false},
		{{"GET", "/a", {"Accept", "*/*"}}, {"GET", "/a", {"Accept", "text/html"}}, false},
		/* a location's prefix */
		{{"GET", "/api/users/1", {"Accept", "*/*"}}, {"GET", "/users/1", {"Accept", "*/*"}},
			true},
		{{"GET", "/users/1", {"Accept", "*/*"}}, {"GET", "/v1/users/1", {"Accept", "*/*"}},
			true},
		{{"GET", "/users/1", {NULL}}, {"GET", "/v1/users/1", {NULL}}, false},
		{{"GET", "/api/", {"Accept", "*/*"}}, {"GET", "/", {"Accept", "*/*"}}, false},
		{{"GET", "/a?x=/b/c", {"Accept", "*/*"}},
			{"GET", "/v1/a?x=/b/c", {"Accept", "*/*"}}, true},
		{{"OPTIONS", "*", {NULL}}, {"OPTIONS", "*", {NULL}}, true},
		{{"GET", "http://h/a/b", {"Accept", "*/*"}}, {"GET", "/a/b", {"Accept", "*/*"}},
			true},
		/* of a head that was not whole */
		{{"GET", "", {NULL}}, {"GET", "", {NULL}}, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		cr_expect_eq(matches(&cases[i].in, &cases[i].out), cases[i].match, "case %zu", i);
}

Test(forward, more_lines_than_are_remembered_still_count)
{
	static struct exchange a, b;
	static struct trace_node na, nb;
	struct field fields[NODE_LINES + 20];
	char names[NODE_LINES + 20][8];

	for (unsigned i = 0; i < ARRAY_SIZE(fields); i++) {
		snprintf(names[i], sizeof(names[i]), "h%u", i);
		fields[i] = (struct field){slice_str(names[i]), SLICE("v")};
	}
	a.http.method = b.http.method = SLICE("GET");
	a.http.target = b.http.target = SLICE("/");
	na.ex = &a;
	nb.ex = &b;
	forward_note(&na, &a, fields, ARRAY_SIZE(fields));
	forward_note(&nb, &b, fields, ARRAY_SIZE(fields));
	cr_assert(forward_matches(&na, &nb));
	fields[NODE_LINES + 10].value = SLICE("w");
	forward_note(&nb, &b, fields, ARRAY_SIZE(fields));
	cr_assert_not(forward_matches(&na, &nb));
}
