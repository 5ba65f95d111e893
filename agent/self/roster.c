/* SPDX-License-Identifier: Apache-2.0 */
#include "self/roster.h"

#include "core/cleanup.h"
#include "core/clock.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 8192
#define COLUMNS  9

static bool same(const struct roster_row *a, const struct roster_row *b)
{
	return a->traced == b->traced && a->why == b->why &&
	       strcmp(a->namespace, b->namespace) == 0 && strcmp(a->pod, b->pod) == 0 &&
	       strcmp(a->container, b->container) == 0 && strcmp(a->exe, b->exe) == 0;
}

void roster_add(struct roster *r, const struct roster_row *row)
{
	for (unsigned i = 0; i < r->n; i++)
		if (same(&r->rows[i], row)) {
			r->rows[i].processes += row->processes;
			r->rows[i].hidden += row->hidden;
			r->rows[i].requests += row->requests;
			return;
		}
	if (r->n == r->max) {
		unsigned max = r->max ? 2 * r->max : 64;
		struct roster_row *rows =
			max > ROWS_MAX ? NULL : realloc(r->rows, max * sizeof(*rows));

		if (!rows) {
			r->cut = true;
			return;
		}
		r->rows = rows;
		r->max = max;
	}
	r->rows[r->n++] = *row;
}

void roster_release(struct roster *r)
{
	free(r->rows);
	*r = (struct roster){0};
}

static int compare(const void *a, const void *b)
{
	const struct roster_row *x = a, *y = b;
	int r = strcmp(x->namespace, y->namespace);

	r = r ? r : strcmp(x->pod, y->pod);
	r = r ? r : strcmp(x->container, y->container);
	return r ? r : strcmp(x->exe, y->exe);
}

static bool matches(const struct roster_row *row, const char *filter)
{
	return !filter[0] || strstr(row->pod, filter) || (!row->pod[0] && strstr(row->exe, filter));
}

static void cells_of(const struct roster_row *row, char ret[COLUMNS][ROSTER_NAME + 32])
{
	const char *texts[] = {
		row->traced ? "yes" : "no", row->namespace, row->pod, row->container, row->exe};
	const uint64_t numbers[] = {row->processes, row->requests, row->hidden};

	for (unsigned i = 0; i < ARRAY_SIZE(texts); i++)
		snprintf(ret[i], sizeof(ret[i]), "%s", texts[i][0] ? texts[i] : "-");
	for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++)
		snprintf(ret[ARRAY_SIZE(texts) + i], sizeof(ret[0]), "%" PRIu64, numbers[i]);
	snprintf(ret[COLUMNS - 1], sizeof(ret[0]), "%s", row->why);
}

static const char TITLES[COLUMNS][ROSTER_NAME + 32] = {"TRACED", "NAMESPACE", "POD", "CONTAINER",
	"PROGRAM", "PROCESSES", "REQUESTS", "UNREADABLE", "WHY"};

static void print_line(
	const char cells[COLUMNS][ROSTER_NAME + 32], const int widths[COLUMNS], FILE *out)
{
	for (unsigned i = 0; i + 1 < COLUMNS; i++)
		fprintf(out, "%-*s  ", widths[i], cells[i]);
	fprintf(out, "%s\n", cells[COLUMNS - 1]);
}

static void print_head(const struct snapshot *s, FILE *out)
{
	fprintf(out, "weft %s: hooks %s (%s), up for %" PRIu64 " s\n", s->version,
		hooks_name(s->hooks), s->attached ? "attached" : "not attached",
		(uint64_t)((clock_ns(CLOCK_REALTIME) - s->start_unix_ns) / NS_PER_SEC));
	if (s->kube.on)
		fprintf(out,
			"kubernetes: %s; %" PRIu64 " pods of this node, %" PRIu64 " services\n",
			s->kube.problem[0]     ? s->kube.problem
			: !s->kube.pods_synced ? "pods are not known yet"
					       : "ok",
			s->kube.pods, s->kube.services);
	for (unsigned i = 0; i < s->exporter_count; i++) {
		const struct export_stats *e = &s->exporters[i];

		fprintf(out,
			"exporter %s: %s; %" PRIu64 " spans sent, %" PRIu64 " waiting, %" PRIu64
			" lost\n",
			e->name, e->able ? "ok" : e->last_error, e->sent, e->queued,
			e->dropped_queue + e->rejected + e->failed);
	}
}

void roster_print(struct roster *r, const struct snapshot *s, const char *filter, FILE *out)
{
	char cells[COLUMNS][ROSTER_NAME + 32];
	int widths[COLUMNS];
	unsigned shown = 0;

	print_head(s, out);
	for (unsigned c = 0; c < COLUMNS; c++)
		widths[c] = (int)strlen(TITLES[c]);
	if (r->n)
		qsort(r->rows, r->n, sizeof(r->rows[0]), compare);
	for (unsigned i = 0; i < r->n; i++) {
		cells_of(&r->rows[i], cells);
		shown += matches(&r->rows[i], filter);
		for (unsigned c = 0; matches(&r->rows[i], filter) && c < COLUMNS; c++)
			if ((int)strlen(cells[c]) > widths[c])
				widths[c] = (int)strlen(cells[c]);
	}
	fputc('\n', out);
	if (!shown) {
		fprintf(out, "%s\n",
			filter[0] ? "nothing on this node has that in its name"
				  : "nothing is known to be traced or left out");
		return;
	}
	print_line(TITLES, widths, out);
	for (unsigned i = 0; i < r->n; i++) {
		if (!matches(&r->rows[i], filter))
			continue;
		cells_of(&r->rows[i], cells);
		print_line((const char(*)[ROSTER_NAME + 32]) cells, widths, out);
	}
	if (r->cut)
		fprintf(out, "and more\n");
}
