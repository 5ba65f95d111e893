/* SPDX-License-Identifier: Apache-2.0 */
/* What an OTLP backend answers, over either transport. Its bytes may be anything. */
#pragma once
#include "core/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct outcome;

/* Takes partial_success of an ExportTraceServiceResponse into an outcome whose `taken` is set. */
void otlp_reply_partial(struct slice message, struct outcome *outcome);

/* "<what>: <detail>" into outcome->error, the detail cleaned of control characters; or just what.
 */
void otlp_reply_error(struct outcome *outcome, const char *what, struct slice detail);

/* A google.rpc.Status: sets outcome->error, and ret_delay_ns by its RetryInfo (0 if there is none).
 * False if the message is none, with nothing set. */
bool otlp_reply_status(
	struct slice message, const char *what, struct outcome *outcome, uint64_t *ret_delay_ns);
