/* SPDX-License-Identifier: Apache-2.0 */
#include "span/route.h"

#include "core/cleanup.h"

#include <assert.h>
#include <errno.h>

#define NONE 0u /* index 0 is no node */

/* One segment of at least one route; fits a cache line. */
struct route_node {
	uint32_t child; /* the first; a free node's next free one stands in sibling */
	uint32_t sibling;
	uint32_t hash;
	uint32_t uses; /* as far as ROUTE_POPULAR */
	uint8_t literals; /* children that are */
	uint8_t len;
	bool ends : 1; /* a path ended here */
	bool collapsed : 1;
	bool literal : 1;
	char text[ROUTE_SEGMENT];
};

struct route_scope {
	uint64_t key;
	uint64_t used; /* routes->clock then */
	uint32_t root; /* NONE: free */
};

struct routes {
	struct route_scope scopes[ROUTE_SCOPES];
	uint64_t clock; /* look-ups */
	uint64_t try_again; /* when full: no sooner is an idle scope looked for */
	unsigned max; /* nodes */
	unsigned fresh; /* nodes from here on were never used */
	unsigned used;
	uint32_t free;
	unsigned last; /* scope */
	struct route_node nodes[];
};

static const struct slice NAME = {"{name}", 6};
static const struct slice REST = {"{rest}", 6};

int routes_new(unsigned max_nodes, struct routes **ret_routes)
{
	struct routes *routes =
		calloc(1, sizeof(*routes) + ((size_t)max_nodes + 1) * sizeof(routes->nodes[0]));

	if (!routes)
		return -ENOMEM;
	routes->max = max_nodes;
	routes->fresh = 1;
	*ret_routes = routes;
	return 0;
}

void routes_free(struct routes *routes)
{
	free(routes);
}

unsigned routes_used(const struct routes *routes)
{
	return routes->used;
}

/* FNV-1a: segments are short. */
static uint32_t segment_hash(struct slice s)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < s.len; i++)
		hash = (hash ^ (uint8_t)s.ptr[i]) * 16777619u;
	return hash;
}

static void node_free(struct routes *routes, uint32_t i)
{
	routes->nodes[i].sibling = routes->free;
	routes->free = i;
	routes->used--;
}

/* Frees a node and all below it. Depth is bounded by ROUTE_DEPTH. */
static void tree_free(struct routes *routes, uint32_t top)
{
	uint32_t child = routes->nodes[top].child;

	while (child) {
		uint32_t next = routes->nodes[child].sibling;

		tree_free(routes, child);
		child = next;
	}
	node_free(routes, top);
}

/* Forgets the scope used least recently, if that is long ago. */
static bool scope_evict(struct routes *routes)
{
	struct route_scope *oldest = NULL;

	if (routes->clock < routes->try_again)
		return false;
	routes->try_again = routes->clock + ROUTE_IDLE / 64;
	for (unsigned i = 0; i < ROUTE_SCOPES; i++) {
		struct route_scope *scope = &routes->scopes[i];

		if (scope->root && (!oldest || scope->used < oldest->used))
			oldest = scope;
	}
	if (!oldest || routes->clock - oldest->used < ROUTE_IDLE)
		return false;
	tree_free(routes, oldest->root);
	oldest->root = NONE;
	return true;
}

static uint32_t node_new(struct routes *routes)
{
	uint32_t i;

	if (!routes->free && routes->fresh > routes->max && !scope_evict(routes))
		return NONE;
	if (routes->free) {
		i = routes->free;
		routes->free = routes->nodes[i].sibling;
	} else {
		i = routes->fresh++;
	}
	routes->nodes[i] = (struct route_node){0};
	routes->used++;
	return i;
}

/* The scope's root; NONE if it has none and none is made. */
static uint32_t scope_root(struct routes *routes, uint64_t key, bool learn, bool *ret_full)
{
	struct route_scope *scope = &routes->scopes[routes->last];
	struct route_scope *empty = NULL;

	routes->clock++;
	if (!scope->root || scope->key != key) {
		scope = NULL;
		for (unsigned i = 0; i < ROUTE_SCOPES && !scope; i++) {
			struct route_scope *s = &routes->scopes[i];

			if (s->root && s->key == key)
				scope = s;
			else if (!s->root && !empty)
				empty = s;
		}
	}
	if (!scope) {
		uint32_t root;

		if (!learn)
			return NONE;
		if (!empty && !scope_evict(routes)) {
			*ret_full = true;
			return NONE;
		}
		for (unsigned i = 0; !empty; i++)
			if (!routes->scopes[i].root)
				empty = &routes->scopes[i];
		root = node_new(routes);
		if (!root) {
			*ret_full = true;
			return NONE;
		}
		scope = empty;
		scope->key = key;
		scope->root = root;
	}
	scope->used = routes->clock;
	routes->last = (unsigned)(scope - routes->scopes);
	return scope->root;
}

static uint32_t child_find(
	const struct routes *routes, uint32_t parent, struct slice s, uint32_t hash)
{
	uint32_t i = routes->nodes[parent].child;

	while (i) {
		const struct route_node *node = &routes->nodes[i];

		if (node->hash == hash && slice_eq(slice_of(node->text, node->len), s))
			return i;
		i = node->sibling;
	}
	return NONE;
}

static uint32_t child_add(
	struct routes *routes, uint32_t parent, struct slice s, uint32_t hash, bool literal)
{
	uint32_t i = node_new(routes);
	struct route_node *node = &routes->nodes[i], *above = &routes->nodes[parent];

	if (!i)
		return NONE;
	node->hash = hash;
	assert(s.len <= ROUTE_SEGMENT); /* see route_segment */
	node->len = (uint8_t)s.len;
	memcpy(node->text, s.ptr, s.len);
	node->literal = literal;
	node->sibling = above->child;
	above->child = i;
	above->literals += literal;
	return i;
}

/* Makes room for {name} by giving up the literals that are used little. */
static void node_collapse(struct routes *routes, uint32_t at)
{
	struct route_node *node = &routes->nodes[at];
	uint32_t *link = &node->child;

	node->collapsed = true;
	while (*link) {
		struct route_node *child = &routes->nodes[*link];
		uint32_t i = *link;

		if (!child->literal || child->uses >= ROUTE_POPULAR) {
			link = &child->sibling;
			continue;
		}
		*link = child->sibling;
		node->literals--;
		tree_free(routes, i);
	}
}

/* From a node to the child of that name; NONE if there is none and none is made. */
static uint32_t step(
	struct routes *routes, uint32_t at, struct slice name, bool literal, bool learn)
{
	uint32_t hash = segment_hash(name);
	uint32_t next = child_find(routes, at, name, hash);

	if (next)
		return next;
	if (literal && learn && routes->nodes[at].literals >= ROUTE_CHILDREN)
		node_collapse(routes, at);
	if (literal && routes->nodes[at].collapsed) {
		name = NAME;
		literal = false;
		hash = segment_hash(name);
		next = child_find(routes, at, name, hash);
	}
	if (!next && learn)
		next = child_add(routes, at, name, hash, literal);
	return next;
}

/* The next segment that counts; false at the end. */
static bool segment_next(struct slice *path, struct slice *ret_segment)
{
	while (path->len) {
		struct slice segment = slice_cut(path, '/');

		segment = slice_cut(&segment, ';');
		if (segment.len && !slice_eq(segment, SLICE("."))) {
			*ret_segment = segment;
			return true;
		}
	}
	return false;
}

static enum route_found route_walk(struct routes *routes, uint64_t scope, struct slice path,
	bool learn, char buf[static ROUTE_TEXT], struct slice *ret_route)
{
	struct slice segment, rest = path;
	unsigned depth = 0;
	size_t used = 0;
	bool full = false;
	uint32_t at;

	if (!routes->max || !path.len || path.ptr[0] != '/')
		return ROUTE_NONE;
	at = scope_root(routes, scope, learn, &full);
	while (at && segment_next(&rest, &segment)) {
		struct slice name = ++depth > ROUTE_DEPTH ? REST : route_segment(segment);
		struct route_node *node;

		at = step(routes, at, name, name.ptr == segment.ptr, learn);
		if (!at)
			break;
		node = &routes->nodes[at];
		node->uses += node->uses < ROUTE_POPULAR;
		buf[used++] = '/';
		memcpy(buf + used, node->text, node->len);
		used += node->len;
		if (depth > ROUTE_DEPTH)
			break;
	}
	if (!at)
		return full || learn ? ROUTE_FULL : ROUTE_NONE;
	if (learn)
		routes->nodes[at].ends = true;
	else if (!routes->nodes[at].ends)
		return ROUTE_NONE;
	if (!used)
		buf[used++] = '/';
	*ret_route = slice_of(buf, used);
	return ROUTE_FOUND;
}

enum route_found route_learn(struct routes *routes, uint64_t scope, struct slice path,
	char buf[static ROUTE_TEXT], struct slice *ret_route)
{
	return route_walk(routes, scope, path, true, buf, ret_route);
}

enum route_found route_find(struct routes *routes, uint64_t scope, struct slice path,
	char buf[static ROUTE_TEXT], struct slice *ret_route)
{
	return route_walk(routes, scope, path, false, buf, ret_route);
}
