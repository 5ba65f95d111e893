/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum otlp_protocol { OTLP_HTTP_PROTOBUF, OTLP_GRPC };

/* OTEL_EXPORTER_OTLP_*, the TRACES_ form winning over the general one. */
struct otlp_options {
	char endpoint[1024]; /* the whole URL that is posted to (http/protobuf), or
				scheme://host:port (grpc) */
	enum otlp_protocol protocol;
	char headers[4096]; /* "k=v,k2=v2", percent-decoded already; secret */
	bool gzip;
	unsigned timeout_ms; /* one attempt */
	bool insecure; /* grpc without scheme: plain text */
	char certificate[512];
	char client_key[512];
	char client_certificate[512];
};

struct export_options {
	bool otlp, terminal, json;
	struct otlp_options otlp_traces;
	unsigned queue_bytes; /* of each exporter */
	unsigned batch_spans; /* most spans a request */
	unsigned batch_bytes; /* most bytes a request, before compression */
	unsigned batch_delay_ms; /* longest wait for a batch to fill */
	unsigned retry_max_ms; /* longest that a batch is retried */
	bool color_auto; /* terminal: colours on a TTY (and no NO_COLOR) */
};
