/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Writes all of it to a descriptor whose reader may be slow or gone, waiting at most until
 * *deadline_ns (CLOCK_MONOTONIC). 0, -ETIMEDOUT, or what write(2) failed with. SIGPIPE must be
 * blocked or ignored. */
int output_write(int fd, const char *data, size_t len, const _Atomic uint64_t *deadline_ns);
