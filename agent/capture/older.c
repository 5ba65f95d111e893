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

static int option(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) ? -1 : value;
}

/* Plain TCP, or a Unix stream: on others a receive that peeks does more than that. */
static bool can_ask(int fd)
{
	char ulp[16] = "";
	socklen_t len = sizeof(ulp);

	if (option(fd, SO_DOMAIN) == AF_UNIX)
		return option(fd, SO_TYPE) == SOCK_STREAM;
	if (option(fd, SO_PROTOCOL) != IPPROTO_TCP)
		return false;
	return getsockopt(fd, IPPROTO_TCP, TCP_ULP, ulp, &len) || !len || !ulp[0];
}

/* Urgent data that nobody sent: the answer is an error, and a look at the socket. */
static void ask(int fd)
{
	char none;

	if (can_ask(fd))
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
