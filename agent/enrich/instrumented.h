/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a process exports telemetry of its own, so that tracing it would double its spans. */
#pragma once
#include "core/slice.h"

/* By its environment (strings, each with a NUL at its end), where OpenTelemetry's SDKs and agents
 * and those of Application Insights are told what to do. Code that is set up without it is not
 * seen. */
bool instrumented_by_environ(struct slice env);
