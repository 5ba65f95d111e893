/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/older.h"

#include "core/cleanup.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef TCP_ULP
#define TCP_ULP 31
#endif

/* Plain TCP: on others a receive that peeks does more than that. */
static bool is_tcp(int fd)
{
	int protocol = 0;
	socklen_t len = sizeof(protocol);
	char ulp[16] = "";

	if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) || protocol != IPPROTO_TCP)
		return false;
	len = sizeof(ulp);
	return getsockopt(fd, IPPROTO_TCP, TCP_ULP, ulp, &len) || !len || !ulp[0];
}

/* Urgent data that nobody sent: the answer is an error, and a look at the socket. */
static void ask(int fd)
{
	char none;

	if (is_tcp(fd))
		(void)recv(fd, &none, 1, MSG_OOB | MSG_PEEK | MSG_DONTWAIT);
}

void older_connections(uint32_t pid)
{
	_closedir_ DIR *dir = NULL;
	_close_ int pidfd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
	char path[32], text[16];
	struct dirent *entry;

	if (pidfd < 0)
		return;
	snprintf(path, sizeof(path), "/proc/%u/fd", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, text, sizeof(text));
		_close_ int fd = -1;

		if (n < (ssize_t)strlen("socket:") ||
			memcmp(text, "socket:", strlen("socket:")) != 0)
			continue;
		fd = (int)syscall(SYS_pidfd_getfd, pidfd, (int)strtol(entry->d_name, NULL, 10), 0);
		if (fd >= 0)
			ask(fd);
	}
}
