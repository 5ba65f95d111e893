/* SPDX-License-Identifier: Apache-2.0 */
#include "span/route.h"

#include "core/cleanup.h"
#include "guard.h"

#include <criterion/criterion.h>
#include <stdio.h>

static void cleanup_routes(struct routes **routes)
{
	routes_free(*routes);
}
#define _routes_ __attribute__((cleanup(cleanup_routes)))

static struct routes *make(unsigned max)
{
	struct routes *routes;

	cr_assert_eq(routes_new(max, &routes), 0);
	return routes;
}

/* "" if there is none, "FULL" if there is no room. */
static const char *learn_in(struct routes *routes, uint64_t scope, const char *path)
{
	static char text[ROUTE_TEXT + 1];
	struct slice route;
	enum route_found found = route_learn(routes, scope, slice_str(path), text, &route);

	if (found == ROUTE_FULL)
		return "FULL";
	text[found == ROUTE_FOUND ? route.len : 0] = '\0';
	return text;
}

static const char *learn(struct routes *routes, const char *path)
{
	return learn_in(routes, 1, path);
}

static const char *find(struct routes *routes, const char *path)
{
	static char text[ROUTE_TEXT + 1];
	struct slice route;

	if (route_find(routes, 1, slice_str(path), text, &route) != ROUTE_FOUND)
		return "";
	text[route.len] = '\0';
	return text;
}

Test(route, segments)
{
	static const struct {
		const char *segment, *name;
	} CASES[] = {
		/* words of a program */
		{"orders", "orders"},
		{"v1", "v1"},
		{"v2beta1", "v2beta1"},
		{"v1.1", "v1.1"},
		{"1.0", "1.0"},
		{"oauth2", "oauth2"},
		{"OAuth2Callback", "OAuth2Callback"},
		{"sha256", "sha256"},
		{"x86_64", "x86_64"},
		{"i18n", "i18n"},
		{"2fa", "2fa"},
		{"k8s", "k8s"},
		{"http2", "http2"},
		{"s3", "s3"},
		{"log4j", "log4j"},
		{"facade", "facade"},
		{"deadbeef", "deadbeef"},
		{"well-known", "well-known"},
		{".well-known", ".well-known"},
		{"favicon.ico", "favicon.ico"},
		{"index.html", "index.html"},
		{"jquery-3.6.0.min.js", "jquery-3.6.0.min.js"},
		{"GetCustomerAccountBalance", "GetCustomerAccountBalance"},
		{"caf%C3%A9", "caf%C3%A9"},
		{"how-to-build-a-house-in-10-days", "how-to-build-a-house-in-10-days"},
		{"@types", "@types"},
		{"users.list", "users.list"},
		{"utf-8", "utf-8"},
		{"..", ".."},
		{"items:batchGet", "items:batchGet"},
		/* values */
		{"8731", "{id}"},
		{"0", "{id}"},
		{"2024-05-01", "{id}"},
		{"12.5", "{id}"},
		{"51.50,-0.12", "{id}"},
		{"10.0.0.1", "{id}"},
		{"550e8400-e29b-41d4-a716-446655440000", "{id}"},
		{"550E8400E29B41D4A716446655440000", "{id}"},
		{"3f9c2b", "{id}"},
		{"a1b2c3", "{id}"},
		{"507f1f77bcf86cd799439011", "{id}"},
		{"abcdefabcdefabcdef", "{id}"},
		{"01ARZ3NDEKTSV4RRFFQ69G5FAV", "{id}"},
		{"dQw4w9WgXcQ", "{id}"},
		{"V1StGXR8_Z5jdHi6B-myT", "{id}"},
		{"cus_9s6XKzkNRiz8i3", "{id}"},
		{"order-87310", "{id}"},
		{"user12345", "{id}"},
		{"alice@example.org", "{id}"},
		{"a\xff", "{id}"},
		{"{name}", "{id}"},
		{"token=x", "{id}"},
		{"a\"b", "{id}"},
		{"a b", "{id}"},
		{"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkw", "{id}"},
		/* files */
		{"app.3f9c2b.js", "{id}.js"},
		{"main.a1b2c3d4.chunk.css", "{id}.css"},
		{"index-BxK3d9aQ.js", "{id}.js"},
		{"8731.png", "{id}.png"},
		{"report-20240501.pdf", "{id}.pdf"},
		{"550e8400-e29b-41d4-a716-446655440000.jpeg", "{id}.jpeg"},
		{".js", ".js"},
		{"abcdefghijklmnopqrstuvwxyzabcdefghijkl.html", "{id}.html"}, /* too long to keep */
		{"abcdefghijklmnopqrstuvwxyzabcdefghi.html",
			"abcdefghijklmnopqrstuvwxyzabcdefghi.html"},
	};
	struct guard guard = guard_new();

	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct slice in = guard_put(&guard, slice_str(CASES[i].segment));
		struct slice got = route_segment(in);

		cr_expect(slice_eq(got, slice_str(CASES[i].name)), "%s -> %.*s", CASES[i].segment,
			(int)got.len, got.ptr);
	}
	guard_free(&guard);
}

Test(route, paths)
{
	static const struct {
		const char *path, *route;
	} CASES[] = {
		{"/", "/"},
		{"//", "/"},
		{"/./", "/"},
		{"/orders/8731/items/2", "/orders/{id}/items/{id}"},
		{"/orders//8731/", "/orders/{id}"},
		{"/orders/", "/orders"},
		{"/a;x=1/b;jsessionid=9F", "/a/b"},
		{"/;x/a", "/a"},
		{"/static/app.3f9c2b.js", "/static/{id}.js"},
		{"/1/2/3/4/5/6/7/8/9/10/11/12",
			"/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{rest}"},
		{"/a/b/c/d/e/f/g/h/i/j", "/a/b/c/d/e/f/g/h/i/j"},
		{"", ""},
		{"*", ""},
		{"orders", ""},
	};
	_routes_ struct routes *routes = make(1000);

	cr_assert_str_eq(
		learn(routes, "/abcdefghijklmnopqrstuvwxyzabcdefghijkl.html"), "/{id}.html");
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < ARRAY_SIZE(CASES); i++)
			cr_expect_str_eq(
				learn(routes, CASES[i].path), CASES[i].route, "%s", CASES[i].path);
	cr_assert_leq(routes_used(routes), 60);
}

Test(route, find_teaches_nothing)
{
	_routes_ struct routes *routes = make(100);
	unsigned used;

	cr_assert_str_eq(find(routes, "/wp-admin.php"), "");
	cr_assert_eq(routes_used(routes), 0);
	learn(routes, "/orders/1/items");
	used = routes_used(routes);
	cr_assert_str_eq(find(routes, "/orders/2/items"), "/orders/{id}/items");
	cr_assert_str_eq(find(routes, "/orders/2"), "", "no path ended there");
	cr_assert_str_eq(find(routes, "/orders/2/wp-admin"), "");
	cr_assert_eq(routes_used(routes), used);
}

Test(route, crowded_place_collapses)
{
	_routes_ struct routes *routes = make(1000);
	char path[64];
	unsigned used;

	for (int i = 0; i < ROUTE_POPULAR; i++)
		cr_assert_str_eq(learn(routes, "/users/search"), "/users/search");
	for (char c = 'a'; c < 'a' + ROUTE_CHILDREN - 1 - 6; c++) {
		snprintf(path, sizeof(path), "/users/name%c/orders", c);
		learn(routes, path);
	}
	for (char c = 'A'; c < 'A' + 6; c++) {
		snprintf(path, sizeof(path), "/users/name%c", c);
		cr_assert_str_eq(learn(routes, path), path);
	}
	cr_assert_str_eq(learn(routes, "/users/alice"), "/users/{name}");
	cr_assert_str_eq(learn(routes, "/users/namea"), "/users/{name}", "changed once");
	cr_assert_str_eq(learn(routes, "/users/search"), "/users/search", "popular: stays");
	cr_assert_str_eq(learn(routes, "/users/12345"), "/users/{id}");
	cr_assert_str_eq(find(routes, "/users/nameb/orders"), "", "to be learned again");
	cr_assert_str_eq(learn(routes, "/users/nameb/orders"), "/users/{name}/orders");
	cr_assert_str_eq(find(routes, "/users/bob/orders"), "/users/{name}/orders");
	used = routes_used(routes);
	for (int i = 0; i < 1000; i++) {
		snprintf(path, sizeof(path), "/users/%c%c%c", 'g' + i % 10, 'g' + i / 10 % 10,
			'g' + i / 100);
		cr_assert_str_eq(learn(routes, path), "/users/{name}");
	}
	cr_assert_eq(routes_used(routes), used);
}

Test(route, servers_do_not_mix)
{
	_routes_ struct routes *routes = make(5000);
	char path[64];

	for (unsigned i = 0; i < 100; i++) {
		snprintf(path, sizeof(path), "/svc%c%c/x", 'a' + (int)i % 10, 'a' + (int)i / 10);
		cr_assert_str_eq(learn_in(routes, i, path), path);
	}
	cr_assert_str_eq(learn_in(routes, 0, "/svcaa/x"), "/svcaa/x");
}

Test(route, full_means_no_new_route)
{
	_routes_ struct routes *routes = make(4);

	cr_assert_str_eq(learn(routes, "/a/b/c"), "/a/b/c");
	cr_assert_str_eq(learn(routes, "/d"), "FULL");
	cr_assert_str_eq(learn(routes, "/a/b/c"), "/a/b/c");
	cr_assert_str_eq(learn(routes, "/a"), "/a", "its node is there");
	cr_assert_str_eq(learn_in(routes, 2, "/a"), "FULL");
	cr_assert_eq(routes_used(routes), 4);
}

Test(route, idle_server_makes_room)
{
	_routes_ struct routes *routes = make(4);

	learn_in(routes, 1, "/a/b/c");
	for (unsigned i = 0; i < 2 * ROUTE_IDLE; i++)
		learn_in(routes, 2, "/x");
	cr_assert_str_eq(learn_in(routes, 2, "/x"), "/x");
	cr_assert_leq(routes_used(routes), 4);
}

Test(route, more_servers_than_scopes)
{
	_routes_ struct routes *routes = make(100000);

	for (unsigned i = 0; i < ROUTE_SCOPES; i++)
		cr_assert_str_eq(learn_in(routes, i, "/a"), "/a");
	cr_assert_str_eq(learn_in(routes, 9999, "/a"), "FULL");
	for (unsigned i = 0; i < 2 * ROUTE_IDLE; i++)
		learn_in(routes, 5, "/a");
	cr_assert_str_eq(learn_in(routes, 9999, "/a"), "/a");
}

Test(route, none_wanted)
{
	_routes_ struct routes *routes = make(0);

	cr_assert_str_eq(learn(routes, "/a"), "");
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

Test(route, a_million_hostile_paths)
{
	enum { MAX = 500 };
	_routes_ struct routes *routes = make(MAX);
	uint64_t random = 88172645463325252ull;
	char text[ROUTE_TEXT], path[512];
	struct slice route;

	learn(routes, "/api/orders");
	for (int i = 0; i < ROUTE_POPULAR; i++)
		learn(routes, "/api/orders");
	for (int i = 0; i < 1000000; i++) {
		size_t len = 1 + next_random(&random) % (i % 100 ? 24 : sizeof(path) - 1);

		path[0] = '/';
		for (size_t at = 1; at < len; at++) {
			uint64_t r = next_random(&random);

			path[at] = i % 2 ? "abcdefghijklmnopqrstuvwxyz/./;%@"[r % 32] : (char)r;
		}
		if (route_learn(routes, 1 + (unsigned)i % 3, slice_of(path, len), text, &route) !=
			ROUTE_FOUND)
			continue;
		cr_assert_leq(route.len, ROUTE_TEXT);
		for (size_t at = 0; at < route.len; at++)
			cr_assert(route.ptr[at] > ' ' && route.ptr[at] < 0x7f);
	}
	cr_assert_leq(routes_used(routes), MAX);
	cr_assert_str_eq(learn(routes, "/api/orders"), "/api/orders", "popular: stays");
}
