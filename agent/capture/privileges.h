/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent may do, given up when it is no longer needed. */
#pragma once
#include "capture/capture.h"

/* Once the programs are attached: gives up what it took to load them (CAP_PERFMON, CAP_NET_ADMIN,
 * CAP_SYS_RESOURCE, CAP_SYS_ADMIN, CAP_CHECKPOINT_RESTORE, CAP_BPF) for good, of this thread and of
 * those that it starts later, so it is called before any is. What remains is for looking at other
 * processes. CAP_BPF stays where the kernel asks for it at every use of a map (before Linux 5.19);
 * keep_admin: so does CAP_SYS_ADMIN. 0, or a negative errno: nothing was given up. */
int privileges_drop(struct capture *capture, bool keep_admin);

/* For the thread that finds TLS libraries and attaches probes while weft runs: gives up all of
 * those but what that takes. The same result. */
int privileges_keep_probing(struct capture *capture);
