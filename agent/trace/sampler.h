/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a span is kept: the samplers of the OpenTelemetry SDK specification. */
#pragma once
#include "span/span.h"
#include "trace/options.h"

/* A parent is followed the same way whether it is remote or local, as ParentBased does by default.
 */
struct sampler_parent {
	bool has_parent;
	bool sampled;
};

/* Depends on its arguments only, and for spans of one trace without a parent on the trace id alone.
 */
bool sampler_decide(const struct sampler_options *options, struct sampler_parent parent,
	const uint8_t trace_id[static TRACE_ID_LEN]);
