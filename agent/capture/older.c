/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/older.h"

#include "capture/capture.h"
#include "core/cleanup.h"
#include "core/clock.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LEAVE_MS 200 /* that the thread is waited for at the end */

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

/* Whether all were asked, as far as they still are there. */
static bool ask_all(uint32_t pid)
{
	_closedir_ DIR *dir = NULL;
	_close_ int pidfd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
	char path[32], text[16];
	struct dirent *entry;
	bool all = true;

	if (pidfd < 0)
		return errno == ESRCH;
	snprintf(path, sizeof(path), "/proc/%u/fd", pid);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT;
	while ((entry = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, text, sizeof(text));
		_close_ int fd = -1;

		if (n < (ssize_t)strlen("socket:") ||
			memcmp(text, "socket:", strlen("socket:")) != 0)
			continue;
		fd = (int)syscall(SYS_pidfd_getfd, pidfd, (int)strtol(entry->d_name, NULL, 10), 0);
		if (fd >= 0)
			ask(fd);
		else if (errno != EBADF && errno != ESRCH)
			all = false;
	}
	return all;
}

struct older {
	struct capture *capture;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stop, busy;
	unsigned first, count;
	uint32_t pids[OLDER_QUEUE];
};

static void *run(void *arg)
{
	struct older *o = arg;

	pthread_mutex_lock(&o->lock);
	while (!o->stop) {
		uint32_t pid;
		bool all;

		if (!o->count) {
			pthread_cond_wait(&o->changed, &o->lock);
			continue;
		}
		pid = o->pids[o->first];
		o->first = (o->first + 1) % OLDER_QUEUE;
		o->count--;
		o->busy = true;
		pthread_mutex_unlock(&o->lock);
		all = ask_all(pid);
		pthread_mutex_lock(&o->lock);
		if (all && !o->stop) /* else the rest may be gone already */
			capture_looked(o->capture, pid);
		o->busy = false;
		pthread_cond_broadcast(&o->changed);
	}
	pthread_mutex_unlock(&o->lock);
	return NULL;
}

int older_new(struct capture *capture, struct older **ret_older)
{
	struct older *o = calloc(1, sizeof(*o));
	int err;

	if (!o)
		return -ENOMEM;
	o->capture = capture;
	pthread_mutex_init(&o->lock, NULL);
	pthread_cond_init(&o->changed, NULL);
	err = pthread_create(&o->thread, NULL, run, o);
	if (err) {
		free(o);
		return -err;
	}
	pthread_setname_np(o->thread, "weft-older");
	*ret_older = o;
	return 0;
}

static struct timespec in_ms(unsigned ms)
{
	uint64_t at = clock_ns(CLOCK_REALTIME) + ms * NS_PER_MS;

	return (struct timespec){(time_t)(at / NS_PER_SEC), (long)(at % NS_PER_SEC)};
}

void older_free(struct older *o)
{
	struct timespec end = in_ms(LEAVE_MS);

	if (!o)
		return;
	pthread_mutex_lock(&o->lock);
	o->stop = true;
	pthread_cond_broadcast(&o->changed);
	pthread_mutex_unlock(&o->lock);
	if (pthread_timedjoin_np(o->thread, NULL, &end)) {
		pthread_detach(o->thread);
		return;
	}
	pthread_cond_destroy(&o->changed);
	pthread_mutex_destroy(&o->lock);
	free(o);
}

void older_ask(struct older *o, uint32_t pid)
{
	pthread_mutex_lock(&o->lock);
	if (o->count < OLDER_QUEUE) {
		o->pids[(o->first + o->count++) % OLDER_QUEUE] = pid;
		pthread_cond_broadcast(&o->changed);
	}
	pthread_mutex_unlock(&o->lock);
}

bool older_wait(struct older *o, unsigned ms)
{
	struct timespec end = in_ms(ms);
	bool idle;
	int err = 0;

	pthread_mutex_lock(&o->lock);
	while ((o->count || o->busy) && !err)
		err = pthread_cond_timedwait(&o->changed, &o->lock, &end);
	idle = !o->count && !o->busy;
	pthread_mutex_unlock(&o->lock);
	return idle;
}
