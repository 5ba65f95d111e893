/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* OTEL_TRACES_SAMPLER, by the OpenTelemetry SDK specification. */
enum sampler {
	SAMPLER_ALWAYS_ON,
	SAMPLER_ALWAYS_OFF,
	SAMPLER_RATIO,
	SAMPLER_PARENT_ALWAYS_ON, /* the default */
	SAMPLER_PARENT_ALWAYS_OFF,
	SAMPLER_PARENT_RATIO,
};

struct sampler_options {
	enum sampler sampler;
	double ratio; /* OTEL_TRACES_SAMPLER_ARG, 0..1 */
};

struct trace_options {
	struct sampler_options sampling; /* reloadable */
	unsigned max_held; /* spans waiting for their trace to be settled */
	unsigned max_ends; /* client ends waiting for the server end on this node to ask */
	unsigned max_threads; /* threads whose current request is known */
};
