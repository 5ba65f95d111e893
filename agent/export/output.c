/* SPDX-License-Identifier: Apache-2.0 */
#include "export/output.h"

#include "core/clock.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

#define POLL_MS 100 /* how late a deadline that is set meanwhile may be noticed */

int output_write(int fd, const char *data, size_t len, const _Atomic uint64_t *deadline_ns)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};

	while (len) {
		/* a pipe that polls as writable takes this much without blocking (pipe(7)) */
		size_t piece = len < PIPE_BUF ? len : PIPE_BUF;
		ssize_t n;

		if (clock_monotonic() >= atomic_load_explicit(deadline_ns, memory_order_relaxed))
			return -ETIMEDOUT;
		if (poll(&poll_fd, 1, POLL_MS) <= 0)
			continue;
		n = write(fd, data, piece);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return 0;
}
