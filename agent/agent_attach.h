/* SPDX-License-Identifier: Apache-2.0 */
/* Which hooks the kernel and our capabilities allow, and their start. */
#pragma once
#include "agent_state.h"
#include "capture/capture.h"

/* Chooses hooks and transport, loads and attaches the programs, and gives up what that took. First
 * of all: loading takes two copies of the kernel's type information for a moment, the most memory
 * that weft ever needs, and gives it back before the stages take theirs; and no thread but one is
 * started with the privileges that it takes. The handler gets the agent as its ctx. 0, or -errno,
 * which is in the log by then. */
int agent_attach(struct agent *agent, capture_handler handler);
