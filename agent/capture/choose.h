/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a process is traced, and why. Pure.
 *
 * An exclude rule wins over an include rule, and both over what holds without a rule: on a plain
 * host every process that listens on TCP and its clients on this host; in Kubernetes every pod but
 * those of the system, those that export their own telemetry, and weft itself. A pod's own
 * annotation wins over everything. Children follow their parents where nothing is said of them.
 * Of a pod that is not known, exclude rules about pods may match: no include rule helps then.
 */
#pragma once
#include "capture/rules.h"

#include <stdbool.h>

enum place {
	PLACE_HOST, /* in no container, or Kubernetes is off */
	PLACE_WAITS, /* in a container whose pod is not known yet */
	PLACE_LOST, /* in a container whose pod did not become known in time */
	PLACE_POD,
};

/* What a pod says of itself, and what weft leaves out unless a rule asks for it. */
enum pod_wish { POD_SILENT, POD_YES, POD_NO };
enum left_out { LEFT_OUT_NOT, LEFT_OUT_SYSTEM, LEFT_OUT_INSTRUMENTED, LEFT_OUT_SELF };

/* Why a process is traced, or is not. */
#define CHOICES(X)                                                                                 \
	X(RULE, true, "included by a rule")                                                        \
	X(ANNOTATED, true, "asked for by its pod's annotation weft.io/trace")                      \
	X(SERVES, true, "listens on TCP, or is a client of who does")                              \
	X(IN_POD, true, "in a pod")                                                                \
	X(PARENT, true, "its parent is traced")                                                    \
	X(WAITS, true, "its pod is not known yet")                                                 \
	X(EXCLUDED, false, "excluded by a rule")                                                   \
	X(REFUSED, false, "refused by its pod's annotation weft.io/trace")                         \
	X(SYSTEM, false, "in a system namespace (kubernetes.trace_system)")                        \
	X(INSTRUMENTED, false, "exports its own telemetry (kubernetes.trace_instrumented)")        \
	X(SELF, false, "weft itself")                                                              \
	X(NO_RULE, false, "no include rule matches")                                               \
	X(LOST, false, "its pod is not known, and there are rules about pods")                     \
	X(QUIET, false, "neither listens on TCP nor is a client of who does")                      \
	X(OUTSIDE, false, "in no pod")

enum choice {
#define X(id, traced, text) CHOICE_##id,
	CHOICES(X)
#undef X
};

bool choice_traced(enum choice choice);
const char *choice_text(enum choice choice);

struct choose_subject {
	struct rule_subject rules;
	const uint16_t *ports; /* that it listens on */
	unsigned port_count;
	bool local_client; /* connected to this host */
	bool inherited; /* its parent is traced */
	bool kubernetes; /* this node's pods are what is traced */
	enum place place;
	enum pod_wish wish;
	enum left_out left_out;
};

enum choice choose(const struct rules *rules, const struct choose_subject *subject);
