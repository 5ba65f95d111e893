/* SPDX-License-Identifier: Apache-2.0 */
/* The W3C trace context headers (Trace Context, level 2). */
#pragma once
#include "span/span.h"

#define TRACEPARENT_LEN 55 /* of version 00 */
#define TRACESTATE_MAX  512 /* a longer one is dropped; 3.3.1.5 asks for at least as much */
#define TRACE_SAMPLED   0x01

struct traceparent {
	uint8_t trace_id[TRACE_ID_LEN];
	uint8_t parent_id[SPAN_ID_LEN];
	uint8_t flags;
};

/* 0, or -EINVAL. Of a version that is not known only the sampled flag is taken (4.3). */
int traceparent_parse(struct slice s, struct traceparent *ret_traceparent);

/* Writes version 00, without a NUL. */
void traceparent_format(
	const struct traceparent *traceparent, char ret_text[static TRACEPARENT_LEN]);

/* s without outer blanks if it is a tracestate of at most TRACESTATE_MAX bytes and 32 members; else
 * the empty slice: a broken one is dropped whole, and does not touch the traceparent (4.3). */
struct slice tracestate_check(struct slice s);
