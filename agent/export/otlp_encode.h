/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch of packed spans as an ExportTraceServiceRequest (opentelemetry-proto 1.x), grouped by
 * resource. One pass straight into one buffer; the messages' tree is never built.
 */
#pragma once
#include "core/slice.h"

#include <stddef.h>

#define OTLP_SCHEMA_URL "https://opentelemetry.io/schemas/1.44.0"

struct otlp_encoder;
struct resource_table;

/* max_spans a request, max_bytes (at least four packed spans') a request. 0 or -ENOMEM. */
int otlp_encoder_new(const struct resource_table *resources, unsigned max_spans, size_t max_bytes,
	struct otlp_encoder **ret_encoder);
void otlp_encoder_free(struct otlp_encoder *encoder);

/* Encodes the first spans, as many as fit max_bytes, n > 0. *ret_message is valid until the next
 * call. The number of spans in it, 0 if not even the first one fits. */
unsigned otlp_encode(struct otlp_encoder *encoder, const struct slice *spans, unsigned n,
	struct slice *ret_message);
