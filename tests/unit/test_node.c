/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/claims.h"
#include "trace/node.h"

#include <criterion/criterion.h>
#include <string.h>

Test(node, a_stale_reference_finds_nothing)
{
	struct node_pool *p;
	struct trace_node *n;
	node_ref old;

	cr_assert_eq(node_pool_new(1, &p), 0);
	cr_assert_null(node_deref(p, 0));
	n = node_take(p);
	old = node_ref_of(p, n);
	cr_assert_eq(node_deref(p, old), n);
	cr_assert_null(node_take(p));
	node_unref(p, n);
	cr_assert_null(node_deref(p, old));
	cr_assert_eq(node_take(p), n);
	cr_assert_null(node_deref(p, old));
	cr_assert_null(node_deref(p, old + 1));
	node_pool_free(p);
}

Test(node, a_parent_lives_as_long_as_its_children)
{
	struct trace_node *a, *b, *c;
	struct node_pool *p;
	node_ref ref;

	cr_assert_eq(node_pool_new(3, &p), 0);
	a = node_take(p);
	b = node_take(p);
	c = node_take(p);
	ref = node_ref_of(p, a);
	cr_assert(node_set_parent(p, b, a, LINK_THREAD));
	cr_assert(node_set_parent(p, c, b, LINK_SOCKET));
	cr_assert_not(node_set_parent(p, a, c, LINK_SOCKET), "a circle");
	cr_assert_not(node_set_parent(p, a, a, LINK_SOCKET), "a circle");
	cr_assert_eq(node_root(c), a);
	node_unref(p, a);
	node_unref(p, b);
	cr_assert_eq(node_deref(p, ref), a);
	node_unref(p, c);
	cr_assert_null(node_deref(p, ref));
	for (unsigned i = 0; i < 3; i++)
		cr_assert_not_null(node_take(p));
	node_pool_free(p);
}

Test(node, taking_a_link_back_lets_the_parent_go)
{
	struct trace_node *a, *b;
	struct node_pool *p;
	node_ref ref;

	cr_assert_eq(node_pool_new(2, &p), 0);
	a = node_take(p);
	b = node_take(p);
	ref = node_ref_of(p, a);
	node_set_parent(p, b, a, LINK_THREAD);
	node_unref(p, a);
	cr_assert(node_set_parent(p, b, NULL, LINK_NONE));
	cr_assert_null(node_deref(p, ref));
	cr_assert_eq(b->link, LINK_NONE);
	node_pool_free(p);
}

Test(node, a_chain_that_is_too_long_is_not_made_longer)
{
	struct trace_node *last, *n;
	struct node_pool *p;
	unsigned made = 1;

	cr_assert_eq(node_pool_new(1000, &p), 0);
	last = node_take(p);
	while (made < 1000 && (n = node_take(p)) && node_set_parent(p, n, last, LINK_THREAD)) {
		last = n;
		made++;
	}
	cr_assert(made > 100 && made < 1000, "%u", made);
	node_pool_free(p);
}

Test(node, ids_are_valid_and_differ)
{
	static const uint8_t zero[TRACE_ID_LEN];
	struct trace_node *a, *b;
	struct node_pool *p;

	cr_assert_eq(node_pool_new(2, &p), 0);
	a = node_take(p);
	b = node_take(p);
	cr_assert(memcmp(a->trace_id, zero, TRACE_ID_LEN) && memcmp(a->span_id, zero, SPAN_ID_LEN));
	cr_assert(memcmp(a->trace_id, b->trace_id, TRACE_ID_LEN) &&
		  memcmp(a->span_id, b->span_id, SPAN_ID_LEN));
	node_pool_free(p);
}

Test(claims, the_first_has_it_until_it_is_forgotten)
{
	uint8_t id[SPAN_ID_LEN] = {1};
	struct claims *c;

	cr_assert_eq(claims_new(4, &c), 0);
	cr_assert(claims_take(c, id));
	cr_assert_not(claims_take(c, id));
	for (uint8_t i = 2; i < 6; i++) {
		id[0] = i;
		cr_assert(claims_take(c, id));
		cr_assert_not(claims_take(c, id));
	}
	id[0] = 1;
	cr_assert(claims_take(c, id));
	claims_free(c);
}
