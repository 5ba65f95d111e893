/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent says of itself, read from its stages. */
#pragma once
#include "agent_state.h"

/* For struct snapshot_source; ctx is the agent. Any thread; roster: any but the pipeline's. */
void report_snapshot(void *ctx, struct snapshot *ret);
char *report_roster(void *ctx, const char *filter);

/* Pipeline thread: answers report_roster if somebody asks. */
void report_answer(struct agent *agent);
/* The log's first line: what was attached, and why. */
void report_hello(struct agent *agent);
