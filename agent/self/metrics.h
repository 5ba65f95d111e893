/* SPDX-License-Identifier: Apache-2.0 */
/* Prometheus' text exposition format, version 0.0.4. */
#pragma once
#include "self/snapshot.h"

#include <stddef.h>

/* 0 or -ENOMEM; *ret_text is NUL-terminated and the caller's to free. */
int metrics_format(const struct snapshot *snapshot, char **ret_text, size_t *ret_len);
