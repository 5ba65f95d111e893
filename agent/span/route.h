/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes: paths with what varies taken out, few enough to name spans by.
 *
 *   /orders/8731/items/2   ->  /orders/{id}/items/{id}
 *   /users/alice/          ->  /users/{name}              (once many names were seen there)
 *   /static/app.3f9c2b.js  ->  /static/{id}.js
 *
 * A segment that looks like an identifier (digits, UUID, hash, address, …; route_segment says
 * which) is {id} from its first appearance. Every other segment stays literal until a place in the
 * tree has ROUTE_CHILDREN different ones; then the place *collapses*: literals used fewer than
 * ROUTE_POPULAR times become one {name}, what hung below them is learned again below {name}, and no
 * literal is ever added there again. So a route that was exported changes at most once per segment,
 * to a more general one, and a popular one never does. Segments past ROUTE_DEPTH become one {rest}.
 *
 * Empty segments (//, a trailing /), "." and what follows a ";" (matrix parameters) do not count.
 *
 * Each scope (one server) has a tree of its own. All trees share a number of nodes fixed at the
 * start. When none is left, new paths have no route; the scope that was used least recently is
 * forgotten if it has been idle for ROUTE_IDLE look-ups, since servers come and go.
 */
#pragma once
#include "core/slice.h"

#define ROUTE_CHILDREN 32
#define ROUTE_POPULAR  64
#define ROUTE_DEPTH    10
#define ROUTE_SEGMENT  40 /* a longer one is {id} */
#define ROUTE_SCOPES   256
#define ROUTE_IDLE     65536
#define ROUTE_TEXT     ((ROUTE_DEPTH + 1) * (ROUTE_SEGMENT + 1)) /* no route is longer */

struct routes;

/* max_nodes 0: there are no routes. */
int routes_new(unsigned max_nodes, struct routes **ret_routes);
void routes_free(struct routes *routes);

enum route_found {
	ROUTE_NONE, /* not known (route_find), or there are no routes */
	ROUTE_FOUND, /* *ret_route is set, in buf */
	ROUTE_FULL, /* it would have to be learned and there is no room */
};

/* The route of a path (without query), learned if need be: for a path that the server has. */
enum route_found route_learn(struct routes *routes, uint64_t scope, struct slice path,
	char buf[static ROUTE_TEXT], struct slice *ret_route);

/* The same, but only if it is known already: for one answered by 404, say, of which anyone can send
 * any number. */
enum route_found route_find(struct routes *routes, uint64_t scope, struct slice path,
	char buf[static ROUTE_TEXT], struct slice *ret_route);

unsigned routes_used(const struct routes *routes); /* nodes */

/* What a segment is called by itself: itself, {id}, or {id}.<ext> for a file whose name holds one.
 */
struct slice route_segment(struct slice segment);
