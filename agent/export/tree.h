/* SPDX-License-Identifier: Apache-2.0 */
/* The spans of one trace as a tree for people to read. */
#pragma once
#include "span/span.h"

#include <stdio.h>

#define LEAF_SERVICE 40
#define LEAF_LABEL   120
#define LEAF_CODE    40

/* What is shown of a span. The texts come off the network: they are escaped when they are printed.
 */
struct leaf {
	uint8_t span_id[SPAN_ID_LEN];
	uint8_t parent_id[SPAN_ID_LEN];
	bool has_parent;
	bool error;
	enum span_kind kind;
	enum link link;
	uint64_t start_ns, end_ns;
	uint8_t service_len, label_len, code_len;
	char service[LEAF_SERVICE];
	char label[LEAF_LABEL];
	char code[LEAF_CODE]; /* the reply's status, else what went wrong */

	struct leaf *next; /* whoever keeps it */
	/* while it is printed */
	struct leaf *parent, *child, *sibling;
	struct leaf *hop; /* the request at the other end of this call, shown on its line */
};

void leaf_fill(struct leaf *leaf, const struct span *span, struct slice service);

struct tree_style {
	unsigned width; /* columns */
	bool color;
	bool continued; /* the rest of a trace that was shown before */
};

/* Prints the leaves of a list linked by `next`, whose order it may change. */
void tree_print(FILE *to, const uint8_t trace_id[static TRACE_ID_LEN], struct leaf **leaves,
	const struct tree_style *style);
