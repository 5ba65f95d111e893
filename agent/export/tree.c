/* SPDX-License-Identifier: Apache-2.0 */
#include "export/tree.h"

#include "core/clock.h"
#include "span/text.h"

#include <stdlib.h>
#include <time.h>

#define DEPTH_MAX 16 /* deeper levels are not indented further */

#define RED   "\x1b[31m"
#define BOLD  "\x1b[1m"
#define DIM   "\x1b[2m"
#define RESET "\x1b[0m"

/* The columns at the right, from the edge; as many of them as leave room for the tree. */
#define CODE_WIDTH 5
#define TIME_WIDTH 20
#define LINK_WIDTH 16
#define BAR_WIDTH  18
#define TREE_WIDTH 36

struct page {
	FILE *to;
	struct tree_style style;
	unsigned column;
	unsigned tree_width;
	bool links, bars;
	uint64_t start_ns, end_ns; /* of all spans */
};

static const struct attr *attr_find(const struct span *span, struct slice key)
{
	for (unsigned i = 0; i < span->attr_count; i++)
		if (slice_eq(span->attrs[i].key, key))
			return &span->attrs[i];
	return NULL;
}

/* Copies what fits, in whole characters. */
static void keep(char *buf, size_t cap, uint8_t *len, struct slice s)
{
	size_t n = s.len < cap - *len ? s.len : cap - *len;

	if (n < s.len)
		while (n && ((unsigned char)s.ptr[n] & 0xc0) == 0x80)
			n--;
	if (n)
		memcpy(buf + *len, s.ptr, n);
	*len = (uint8_t)(*len + n);
}

static void label_put(struct leaf *leaf, struct slice s)
{
	keep(leaf->label, sizeof(leaf->label), &leaf->label_len, s);
}

/* Where a call goes to: the URL without scheme and query, else the server's address and port. */
static void label_target(struct leaf *leaf, const struct span *span)
{
	const struct attr *url = attr_find(span, SLICE("url.full"));
	const struct attr *server = attr_find(span, SLICE("server.address"));
	const struct attr *port = attr_find(span, SLICE("server.port"));
	struct slice target = {NULL, 0}, rest;
	char text[16];

	if (url && url->type == ATTR_STRING) {
		const char *scheme = memmem(url->str.ptr, url->str.len, "://", 3);

		rest = url->str;
		if (scheme)
			rest = slice_of(
				scheme + 3, (size_t)(url->str.ptr + url->str.len - (scheme + 3)));
		target = slice_cut(&rest, '?');
	} else if (server && server->type == ATTR_STRING) {
		target = server->str;
	}
	if (!target.len)
		return;
	label_put(leaf, SLICE(" "));
	label_put(leaf, target);
	if (!url && port && port->type == ATTR_INT) {
		snprintf(text, sizeof(text), ":%d", (int)port->num);
		label_put(leaf, slice_str(text));
	}
}

/* A request whose name says nothing of where it went: one that has no route, as after a 404. */
static void label_path(struct leaf *leaf, const struct span *span)
{
	const struct attr *path = attr_find(span, SLICE("url.path"));

	if (attr_find(span, SLICE("http.route")) || !path || path->type != ATTR_STRING)
		return;
	label_put(leaf, SLICE(" "));
	label_put(leaf, path->str);
}

/* The fallback of the conventions, unknown_service:<executable>, without what is the same on every
 * line. */
static struct slice short_service(struct slice service)
{
	struct slice prefix = SLICE("unknown_service:");

	if (service.len > prefix.len && memcmp(service.ptr, prefix.ptr, prefix.len) == 0)
		return slice_of(service.ptr + prefix.len, service.len - prefix.len);
	return service;
}

void leaf_fill(struct leaf *leaf, const struct span *span, struct slice service)
{
	const struct attr *status = attr_find(span, SLICE("http.response.status_code"));
	const struct attr *error = attr_find(span, SLICE("error.type"));

	memset(leaf, 0, sizeof(*leaf));
	memcpy(leaf->span_id, span->span_id, SPAN_ID_LEN);
	memcpy(leaf->parent_id, span->parent_id, SPAN_ID_LEN);
	leaf->has_parent = span->has_parent;
	leaf->error = span->status == SPAN_ERROR;
	leaf->kind = span->kind;
	leaf->link = span->link;
	leaf->start_ns = span->start_ns;
	leaf->end_ns = span->end_ns;
	keep(leaf->service, sizeof(leaf->service), &leaf->service_len, short_service(service));
	label_put(leaf, span->name);
	if (span->kind == SPAN_CLIENT)
		label_target(leaf, span);
	else
		label_path(leaf, span);
	if (status && status->type == ATTR_INT)
		leaf->code_len =
			(uint8_t)snprintf(leaf->code, sizeof(leaf->code), "%d", (int)status->num);
	else if (error && error->type == ATTR_STRING)
		keep(leaf->code, sizeof(leaf->code), &leaf->code_len, error->str);
}

static struct slice leaf_service(const struct leaf *leaf)
{
	return slice_of(leaf->service, leaf->service_len);
}

static struct slice leaf_label(const struct leaf *leaf)
{
	return slice_of(leaf->label, leaf->label_len);
}

static struct slice leaf_code(const struct leaf *leaf)
{
	return slice_of(leaf->code, leaf->code_len);
}

/* The first character's bytes; 0 if they are no character. */
static size_t char_len(struct slice s)
{
	unsigned char c = (unsigned char)s.ptr[0];
	size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	return n <= s.len && utf8_prefix(slice_of(s.ptr, n)) == n ? n : 0;
}

/* What would move the cursor, change colours or turn the line around: controls (C0, DEL, C1), line
 * and paragraph separators, and Unicode's bidirectional and invisible formatting characters. */
static bool is_harmful(const unsigned char *c, size_t len)
{
	if (len == 1)
		return c[0] < ' ' || c[0] == 0x7f;
	if (len == 2)
		return (c[0] == 0xc2 && c[1] < 0xa0) || (c[0] == 0xd8 && c[1] == 0x9c);
	if (len == 3 && c[0] == 0xe2 && c[1] == 0x80)
		return (c[2] >= 0x8b && c[2] <= 0x8f) || (c[2] >= 0xa8 && c[2] <= 0xae);
	if (len == 3 && c[0] == 0xe2 && c[1] == 0x81)
		return c[2] >= 0xa0 && c[2] <= 0xaf;
	return len == 3 && c[0] == 0xef && c[1] == 0xbb && c[2] == 0xbf;
}

static void page_style(struct page *page, const char *style)
{
	if (page->style.color)
		fputs(style, page->to);
}

/* Text of our own: one column a character. */
static void page_put(struct page *page, const char *s)
{
	fputs(s, page->to);
	for (; *s; s++)
		page->column += ((unsigned char)*s & 0xc0) != 0x80;
}

/* Anyone's text, up to a column, escaped; what was left out shows as "…". */
static void page_text(struct page *page, struct slice s, unsigned until)
{
	while (s.len) {
		size_t len = char_len(s);
		bool escape = !len || is_harmful((const unsigned char *)s.ptr, len);
		unsigned width;

		if (!len)
			len = 1;
		width = escape ? 4 * (unsigned)len : 1;
		if (page->column + width + (s.len > len) > until) {
			if (page->column < until)
				page_put(page, "…");
			return;
		}
		for (size_t i = 0; i < len; i++)
			if (escape)
				fprintf(page->to, "\\x%02x", (unsigned char)s.ptr[i]);
			else
				putc_unlocked(s.ptr[i], page->to);
		page->column += width;
		s.ptr += len;
		s.len -= len;
	}
}

static void page_pad(struct page *page, unsigned column)
{
	while (page->column < column)
		page_put(page, " ");
}

static void page_end_line(struct page *page)
{
	putc_unlocked('\n', page->to);
	page->column = 0;
}

static void duration_text(uint64_t ns, char *buf, size_t cap)
{
	if (ns < NS_PER_MS)
		snprintf(buf, cap, "%u µs", (unsigned)(ns / 1000));
	else if (ns < NS_PER_SEC)
		snprintf(buf, cap, "%.1f ms", (double)ns / 1e6);
	else
		snprintf(buf, cap, "%.2f s", (double)ns / 1e9);
}

static uint64_t leaf_duration(const struct leaf *leaf)
{
	return leaf->end_ns - leaf->start_ns;
}

static void put_bar(struct page *page, const struct leaf *leaf)
{
	uint64_t whole = page->end_ns > page->start_ns ? page->end_ns - page->start_ns : 1;
	double scale = (double)(BAR_WIDTH - 2) / (double)whole;
	unsigned from = (unsigned)((double)(leaf->start_ns - page->start_ns) * scale);
	unsigned to = (unsigned)((double)(leaf->end_ns - page->start_ns) * scale + 0.5);

	if (from > BAR_WIDTH - 3)
		from = BAR_WIDTH - 3;
	page_style(page, leaf->error ? RED : DIM);
	page_pad(page, page->column + 2 + from);
	for (unsigned i = from; i < to || i == from; i++)
		page_put(page, "█");
	page_style(page, RESET);
}

static void put_link(struct page *page, const struct leaf *leaf)
{
	const char *first = link_name(leaf->link), *second = "";

	if (leaf->hop)
		second = link_name(leaf->hop->link);

	page_style(page, DIM);
	page_put(page, "  ");
	page_put(page, first);
	if (first[0] && second[0])
		page_put(page, "+");
	page_put(page, second);
	page_style(page, RESET);
}

/* The columns at the right. `leaf` is the caller's side where both sides are one line. */
static void put_columns(struct page *page, const struct leaf *leaf)
{
	const struct leaf *hop = leaf->hop;
	unsigned column = page->tree_width;
	struct slice code = leaf_code(leaf);
	char text[32], wire[40];

	page_pad(page, column);
	page_style(page, leaf->error ? RED : "");
	if (code.len <= 3)
		page_text(page, code, column + CODE_WIDTH);
	page_style(page, RESET);
	column += CODE_WIDTH;
	page_pad(page, column);
	duration_text(leaf_duration(leaf), text, sizeof(text));
	page_put(page, text);
	if (hop && leaf_duration(leaf) > leaf_duration(hop)) {
		/* what of it was spent between the two */
		duration_text(leaf_duration(leaf) - leaf_duration(hop), text, sizeof(text));
		snprintf(wire, sizeof(wire), " (+%s)", text);
		page_style(page, DIM);
		page_put(page, wire);
		page_style(page, RESET);
	}
	column += TIME_WIDTH;
	if (page->links && (leaf->link != LINK_NONE || hop)) {
		page_pad(page, column);
		put_link(page, leaf);
	}
	column += page->links ? LINK_WIDTH : 0;
	if (page->bars) {
		page_pad(page, column);
		put_bar(page, leaf);
	}
	page_end_line(page);
}

struct indent {
	bool more[DEPTH_MAX]; /* a level has further children below */
};

static void put_indent(struct page *page, const struct indent *indent, unsigned depth)
{
	page_style(page, DIM);
	for (unsigned i = 1; i < depth && i < DEPTH_MAX; i++) {
		bool own = i + 1 == depth || i + 1 == DEPTH_MAX;

		if (own)
			page_put(page, indent->more[i] ? "├─" : "└─");
		else
			page_put(page, indent->more[i] ? "│ " : "  ");
	}
	page_style(page, RESET);
}

static void put_service(struct page *page, const struct leaf *leaf, unsigned until)
{
	page_style(page, BOLD);
	page_text(page, leaf_service(leaf), until);
	page_style(page, RESET);
	page_put(page, " ");
	page_style(page, leaf->error ? RED : "");
}

static void put_line(
	struct page *page, const struct leaf *leaf, const struct indent *indent, unsigned depth)
{
	const struct leaf *hop = leaf->hop, *shown = hop ? hop : leaf;
	unsigned until = page->tree_width - 1, error = 0;

	if (leaf->code_len > 3) { /* no status: it stands behind the label, which gives way */
		until += CODE_WIDTH;
		error = leaf->code_len < until / 2 ? leaf->code_len + 1u : until / 2;
	}
	put_indent(page, indent, depth);
	page_style(page, leaf->error ? RED : "");
	/* a call's own service stands in the line above it */
	if (hop && !leaf->parent)
		put_service(page, leaf, until / 3);
	page_put(page, hop ? "⇢▸ " : leaf->kind == SPAN_CLIENT ? "⇢ " : "▸ ");
	if (leaf->kind != SPAN_CLIENT || hop || !leaf->parent)
		put_service(page, shown, until - error);
	page_text(page, leaf_label(shown), until - error);
	if (error) {
		page_put(page, " ");
		page_text(page, leaf_code(leaf), until);
	}
	page_style(page, RESET);
	put_columns(page, leaf);
}

/* Depth-first without recursion: a trace's depth is anyone's choice. */
static void put_tree(struct page *page, const struct leaf *root)
{
	struct indent indent = {0};
	const struct leaf *leaf = root;
	unsigned depth = 1;

	for (;;) {
		put_line(page, leaf, &indent, depth);
		if (leaf->child) {
			leaf = leaf->child;
			depth++;
		} else {
			while (leaf != root && !leaf->sibling) {
				leaf = leaf->parent;
				depth--;
			}
			if (leaf == root)
				return;
			leaf = leaf->sibling;
		}
		if (depth - 1 < DEPTH_MAX)
			indent.more[depth - 1] = leaf->sibling != NULL;
	}
}

static bool is_before(const struct leaf *a, const struct leaf *b)
{
	return a->start_ns != b->start_ns ? a->start_ns < b->start_ns : a->end_ns > b->end_ns;
}

static struct leaf *merge(struct leaf *a, struct leaf *b)
{
	struct leaf *head = NULL, **tail = &head;

	while (a && b) {
		struct leaf **least = is_before(b, a) ? &b : &a;

		*tail = *least;
		tail = &(*least)->next;
		*least = *tail;
	}
	*tail = a ? a : b;
	return head;
}

/* By start, the longer one first. */
static struct leaf *sort(struct leaf *list)
{
	struct leaf *middle = list, *half;

	if (!list || !list->next)
		return list;
	for (struct leaf *l = list->next; l && l->next; l = l->next->next)
		middle = middle->next;
	half = middle->next;
	middle->next = NULL;
	return merge(sort(list), sort(half));
}

static struct leaf *find(struct leaf *list, const uint8_t id[static SPAN_ID_LEN])
{
	while (list && memcmp(list->span_id, id, SPAN_ID_LEN))
		list = list->next;
	return list;
}

/* A parent named by a header may be anything, this span's own descendant as well. */
static bool is_under(const struct leaf *leaf, const struct leaf *above)
{
	while (leaf && leaf != above)
		leaf = leaf->parent;
	return leaf == above;
}

/* Sets parents, children and hops of a sorted list. */
static void build(struct leaf *list)
{
	for (struct leaf *l = list; l; l = l->next)
		l->parent = l->child = l->sibling = l->hop = NULL;
	for (struct leaf *l = list; l; l = l->next) {
		struct leaf *parent = l->has_parent ? find(list, l->parent_id) : NULL;
		struct leaf **tail;

		if (!parent || is_under(parent, l))
			continue;
		l->parent = parent;
		for (tail = &parent->child; *tail; tail = &(*tail)->sibling)
			;
		*tail = l;
	}
	for (struct leaf *l = list; l; l = l->next) {
		struct leaf *server = l->child;

		/* a call and the one request that it led to are one hop */
		if (l->kind != SPAN_CLIENT || !server || server->sibling ||
			server->kind != SPAN_SERVER || !slice_eq(leaf_code(l), leaf_code(server)))
			continue;
		l->hop = server;
		l->child = server->child;
		server->child = NULL;
		for (struct leaf *c = l->child; c; c = c->sibling)
			c->parent = l;
	}
}

static bool is_root(const struct leaf *leaf)
{
	return !leaf->parent;
}

static void put_header(struct page *page, const uint8_t trace_id[static TRACE_ID_LEN],
	const struct leaf *root, unsigned spans)
{
	time_t seconds = (time_t)(page->start_ns / NS_PER_SEC);
	char when[16], id[17], text[64];
	struct tm tm;

	localtime_r(&seconds, &tm);
	strftime(when, sizeof(when), "%H:%M:%S", &tm);
	for (unsigned i = 0; i < 8; i++)
		snprintf(id + (size_t)2 * i, 3, "%02x", trace_id[i]);
	snprintf(text, sizeof(text), "%s.%03u  %s  ", when,
		(unsigned)(page->start_ns / NS_PER_MS % 1000), id);
	page_style(page, BOLD);
	page_put(page, text);
	page_text(page, leaf_label(root), page->style.width - 24);
	page_style(page, RESET);
	snprintf(text, sizeof(text), "  %u span%s", spans, spans == 1 ? "" : "s");
	page_put(page, text);
	if (page->style.continued) {
		page_put(page, ", continued");
	} else {
		duration_text(page->end_ns - page->start_ns, text, sizeof(text));
		page_put(page, "  ");
		page_put(page, text);
		if (root->code_len) {
			page_style(page, root->error ? RED : "");
			page_put(page, "  ");
			page_text(page, leaf_code(root), page->style.width);
			page_style(page, RESET);
		}
	}
	page_end_line(page);
}

/* Gives the width to what matters most. */
static void page_lay(struct page *page)
{
	unsigned left = page->style.width, fixed = CODE_WIDTH + TIME_WIDTH;

	left = left > fixed + TREE_WIDTH ? left - fixed : TREE_WIDTH;
	page->links = left >= TREE_WIDTH + LINK_WIDTH;
	if (page->links)
		left -= LINK_WIDTH;
	page->bars = left >= TREE_WIDTH + BAR_WIDTH;
	if (page->bars)
		left -= BAR_WIDTH;
	page->tree_width = left;
}

void tree_print(FILE *to, const uint8_t trace_id[static TRACE_ID_LEN], struct leaf **leaves,
	const struct tree_style *style)
{
	struct page page = {.to = to, .style = *style, .start_ns = UINT64_MAX};
	unsigned spans = 0;

	if (!*leaves)
		return;
	*leaves = sort(*leaves);
	build(*leaves);
	page_lay(&page);
	for (const struct leaf *l = *leaves; l; l = l->next) {
		spans++;
		if (l->start_ns < page.start_ns)
			page.start_ns = l->start_ns;
		if (l->end_ns > page.end_ns)
			page.end_ns = l->end_ns;
	}
	/* the first in time need not be a root: clocks of a call's two ends differ */
	for (const struct leaf *l = *leaves; l; l = l->next)
		if (is_root(l)) {
			put_header(&page, trace_id, l, spans);
			break;
		}
	for (const struct leaf *l = *leaves; l; l = l->next)
		if (is_root(l))
			put_tree(&page, l);
	page_end_line(&page);
}
