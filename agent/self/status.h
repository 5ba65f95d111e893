/* SPDX-License-Identifier: Apache-2.0 */
/* The status line: is it working, is anything lost, does the backend take it? */
#pragma once
#include "export/options.h"
#include "self/snapshot.h"

struct status {
	struct snapshot last;
	char otlp_endpoint[256]; /* masked */
	bool grpc;
};

void status_init(struct status *status, const struct otlp_options *otlp);

/* One line with what changed since the last one; a warning for each exporter that fails, and if the
 * hooks are off or the ring is not read. */
void status_report(struct status *status, const struct snapshot *now);

/* The last line: totals since the start, and an error for each equation of the books that does not
 * hold. */
void status_finish(struct status *status, const struct snapshot *now);
