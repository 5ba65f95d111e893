/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What probes on a TLS library cost by themselves: programs that do nothing. */
#include "empty.h"

EMPTY(tls_enter, "uprobe")
EMPTY(tls_leave, "uretprobe")

const char LICENSE[] __attribute__((section("license"), used)) = "Dual BSD/GPL";
