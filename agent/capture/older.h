/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that are older than the tracing of their process. */
#pragma once
#include <stdint.h>

/* Has the BPF programs look at each TCP connection that the process holds, whether a message is
 * under way on it (bpf/start.h). Where that can't be done, or something is, the connection's next
 * call counts as the middle of something. */
void older_connections(uint32_t pid);
