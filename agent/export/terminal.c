/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traces as trees on stdout. Spans of a trace are kept until none has come for a while, then
 * printed at once; what comes later is printed as a continuation. Memory is fixed: whoever needs
 * room prints the oldest trace.
 */
#include "core/clock.h"
#include "enrich/resource.h"
#include "export/exporter.h"
#include "export/output.h"
#include "export/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define TRACES      128
#define LEAVES      2048
#define TRACE_MAX   256 /* leaves; a tree of more is nothing to read */
#define SHOWN       256 /* traces printed lately */
#define QUIET_NS    (300 * NS_PER_MS)
#define PATIENCE_NS (3 * NS_PER_SEC)
#define WIDTH       100 /* where there is no terminal to ask */

struct tree {
	uint8_t id[TRACE_ID_LEN];
	struct leaf *leaves; /* NULL: free */
	unsigned n;
	uint64_t first_ns, last_ns; /* when they came */
};

struct terminal {
	const struct resource_table *resources;
	const _Atomic uint64_t *deadline_ns;
	bool color;
	int error; /* of the latest write */
	FILE *memory;
	char *buf;
	size_t len;
	uint64_t written; /* since the latest send */
	struct leaf *unused;
	struct tree trees[TRACES];
	unsigned shown_at;
	uint8_t shown[SHOWN][TRACE_ID_LEN];
	struct leaf leaves[LEAVES];
};

static void terminal_free(void *self)
{
	struct terminal *t = self;

	if (t->memory)
		fclose(t->memory);
	free(t->buf);
	free(t);
}

static int terminal_new(const struct exporter_env *env, void **ret_self, const char **ret_why)
{
	const char *no_color = getenv("NO_COLOR");
	struct terminal *t = calloc(1, sizeof(*t));

	(void)ret_why;
	if (!t)
		return -ENOMEM;
	t->resources = env->resources;
	t->deadline_ns = env->deadline_ns;
	t->color = env->options->color_auto && isatty(STDOUT_FILENO) && !(no_color && no_color[0]);
	t->memory = open_memstream(&t->buf, &t->len);
	if (!t->memory) {
		terminal_free(t);
		return -ENOMEM;
	}
	for (unsigned i = LEAVES; i-- > 0;) {
		t->leaves[i].next = t->unused;
		t->unused = &t->leaves[i];
	}
	*ret_self = t;
	return 0;
}

static unsigned terminal_width(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_col)
		return WIDTH;
	return size.ws_col;
}

static bool was_shown(const struct terminal *t, const uint8_t id[static TRACE_ID_LEN])
{
	for (unsigned i = 0; i < SHOWN; i++)
		if (!memcmp(t->shown[i], id, TRACE_ID_LEN))
			return true;
	return false;
}

static void terminal_show(struct terminal *t, struct tree *tree)
{
	struct tree_style style = {
		.width = terminal_width(),
		.color = t->color,
		.continued = was_shown(t, tree->id),
	};

	if (!style.continued)
		memcpy(t->shown[t->shown_at++ % SHOWN], tree->id, TRACE_ID_LEN);
	rewind(t->memory);
	tree_print(t->memory, tree->id, &tree->leaves, &style);
	t->error = fflush(t->memory) ? -ENOMEM
				     : output_write(STDOUT_FILENO, t->buf, t->len, t->deadline_ns);
	if (!t->error)
		t->written += t->len;
	while (tree->leaves) {
		struct leaf *leaf = tree->leaves;

		tree->leaves = leaf->next;
		leaf->next = t->unused;
		t->unused = leaf;
	}
	tree->n = 0;
}

static struct tree *terminal_oldest(struct terminal *t)
{
	struct tree *oldest = NULL;

	for (unsigned i = 0; i < TRACES; i++)
		if (t->trees[i].leaves && (!oldest || t->trees[i].last_ns < oldest->last_ns))
			oldest = &t->trees[i];
	return oldest;
}

/* The trace's tree, or an empty one. */
static struct tree *terminal_tree(struct terminal *t, const uint8_t id[static TRACE_ID_LEN])
{
	struct tree *unused = NULL;

	for (unsigned i = 0; i < TRACES; i++) {
		if (!t->trees[i].leaves)
			unused = unused ? unused : &t->trees[i];
		else if (!memcmp(t->trees[i].id, id, TRACE_ID_LEN))
			return &t->trees[i];
	}
	if (!unused) {
		unused = terminal_oldest(t);
		terminal_show(t, unused);
	}
	return unused;
}

static void terminal_add(struct terminal *t, const struct span *span, uint64_t now)
{
	struct tree *tree = terminal_tree(t, span->trace_id);
	struct leaf *leaf;

	if (tree->n == TRACE_MAX)
		terminal_show(t, tree);
	if (!t->unused)
		terminal_show(t, terminal_oldest(t));
	if (!tree->leaves) {
		memcpy(tree->id, span->trace_id, TRACE_ID_LEN);
		tree->first_ns = now;
	}
	leaf = t->unused;
	t->unused = leaf->next;
	leaf_fill(leaf, span, resource_service(resource_get(t->resources, span->resource)));
	leaf->next = tree->leaves;
	tree->leaves = leaf;
	tree->last_ns = now;
	tree->n++;
}

static uint64_t tree_due(const struct tree *tree)
{
	uint64_t quiet = tree->last_ns + QUIET_NS, patience = tree->first_ns + PATIENCE_NS;

	return quiet < patience ? quiet : patience;
}

/* Those due, the one that came first first. */
static uint64_t terminal_tick(void *self, uint64_t now)
{
	struct terminal *t = self;

	for (;;) {
		struct tree *first = NULL;

		for (unsigned i = 0; i < TRACES; i++)
			if (t->trees[i].leaves &&
				(!first || tree_due(&t->trees[i]) < tree_due(first)))
				first = &t->trees[i];
		if (!first)
			return UINT64_MAX;
		if (tree_due(first) > now)
			return tree_due(first);
		terminal_show(t, first);
	}
}

static void terminal_send(void *self, const struct slice *spans, unsigned n, struct outcome *ret)
{
	struct outcome out = {.verdict = VERDICT_SENT, .taken = n};
	struct terminal *t = self;
	uint64_t now = clock_monotonic();
	struct span span;
	char text[64];

	for (unsigned i = 0; i < n; i++) {
		span_unpack(spans[i].ptr, spans[i].len, &span);
		terminal_add(t, &span, now);
	}
	terminal_tick(t, now);
	out.bytes = t->written;
	t->written = 0;
	if (t->error) {
		out.verdict = VERDICT_FAIL;
		snprintf(out.error, sizeof(out.error), "%s",
			strerror_r(-t->error, text, sizeof(text)));
	}
	*ret = out;
}

static const char *terminal_target(const void *self)
{
	(void)self;
	return "stdout";
}

const struct exporter exporter_terminal = {
	.name = "terminal",
	.thread = "weft-terminal",
	.max_delay_ms = 100,
	.new = terminal_new,
	.send = terminal_send,
	.tick = terminal_tick,
	.target = terminal_target,
	.free = terminal_free,
};
