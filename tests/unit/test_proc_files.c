/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc says of processes whose state is known here. */
#include "capture/proc_files.h"
#include "core/clock.h"

#include <criterion/criterion.h>
#include <mntent.h>
#include <sys/stat.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

static uint32_t self(void)
{
	return (uint32_t)getpid();
}

static pid_t child(void (*run)(void))
{
	pid_t pid = fork();

	if (pid)
		return pid;
	alarm(20); /* should this test fail */
	run();
	_exit(0);
}

static void until(bool (*holds)(uint32_t pid), uint32_t pid)
{
	for (int i = 0; i < 5000 && !holds(pid); i++)
		usleep(1000);
	cr_assert(holds(pid));
}

static void wait_forever(void)
{
	pause();
}

static void *wait_in_thread(void *arg)
{
	pause();
	return arg;
}

/* The first thread goes, the process stays. */
static void leave_a_thread(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, wait_in_thread, NULL) == 0)
		pthread_exit(NULL);
}

static bool is_zombie(uint32_t pid)
{
	char path[64], line[256];
	FILE *f;
	bool zombie = false;

	snprintf(path, sizeof(path), "/proc/%u/status", pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		zombie |= strncmp(line, "State:\tZ", 8) == 0;
	if (f)
		fclose(f);
	return zombie;
}

Test(proc_files, a_process_that_lives)
{
	char path[256];
	uint64_t before = clock_monotonic(), tick = NS_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK);
	pid_t pid = child(wait_forever);

	cr_assert(proc_lives((uint32_t)pid));
	cr_assert_eq(proc_parent((uint32_t)pid), self());
	cr_assert_geq(proc_started((uint32_t)pid) + 2 * tick, before);
	cr_assert_leq(proc_started((uint32_t)pid), clock_monotonic());
	cr_assert(proc_exe((uint32_t)pid, path, sizeof(path)));
	cr_assert_neq(proc_netns((uint32_t)pid), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	cr_assert_not(proc_lives((uint32_t)pid));
	cr_assert_eq(proc_parent((uint32_t)pid), 0);
	cr_assert_eq(proc_started((uint32_t)pid), 0);
	cr_assert_not(proc_exe((uint32_t)pid, path, sizeof(path)));
	cr_assert_str_empty(path);
}

Test(proc_files, an_ended_one_that_nobody_waited_for)
{
	pid_t pid = child(wait_forever);

	kill(pid, SIGKILL);
	until(is_zombie, (uint32_t)pid);
	cr_assert_not(proc_lives((uint32_t)pid));
	waitpid(pid, NULL, 0);
}

Test(proc_files, one_whose_first_thread_ended)
{
	pid_t pid = child(leave_a_thread);

	until(is_zombie, (uint32_t)pid);
	cr_assert(proc_lives((uint32_t)pid));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

Test(proc_files, a_name_with_anything_in_it)
{
	prctl(PR_SET_NAME, ") Z 1 (\n");
	cr_assert(proc_lives(self()));
	cr_assert_eq(proc_parent(self()), (uint32_t)getppid());
}

Test(proc_files, a_walk_meets_everyone_once_and_again)
{
	struct proc_walk *walk;
	uint32_t pid, latest = 0;
	unsigned met = 0;

	cr_assert_eq(proc_walk_new(&walk), 0);
	for (int round = 0; round < 2; round++) {
		latest = 0;
		while ((pid = proc_walk_next(walk))) {
			cr_assert_gt(pid, latest);
			latest = pid;
			met += pid == self();
		}
		cr_assert_eq(proc_walk_next(walk), 0);
		proc_walk_rewind(walk);
	}
	cr_assert_eq(met, 2);
	proc_walk_free(walk);
}

struct found {
	uint16_t port;
	uint64_t inode;
	bool held;
};

static void row(void *ctx, const struct tcp_row *row)
{
	struct found *found = ctx;

	if (row->listens && row->local_port == found->port)
		found->inode = row->inode;
}

static void inode(void *ctx, uint32_t pid, uint64_t inode)
{
	struct found *found = ctx;

	found->held |= pid == self() && inode == found->inode;
}

Test(proc_files, a_listener_and_whose_it_is)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct found found = {0};

	cr_assert_eq(bind(fd, (struct sockaddr *)&at, len), 0);
	cr_assert_eq(listen(fd, 1), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	found.port = ntohs(at.sin_port);
	proc_tcp(self(), row, &found);
	cr_assert_neq(found.inode, 0);
	proc_sockets(self(), inode, &found);
	cr_assert(found.held);
	close(fd);
}

/* A group by its number, as of a process that is gone; by a search where handles are not allowed.
 */
Test(proc_files, a_cgroup_by_its_id)
{
	char own[256], path[512], found[256];
	struct stat st;
	FILE *mounts = setmntent("/proc/mounts", "re");
	struct mntent *m;

	cr_assert(mounts);
	while ((m = getmntent(mounts)) && strcmp(m->mnt_type, "cgroup2") != 0)
		;
	if (m && proc_cgroup((uint32_t)getpid(), own, sizeof(own))) {
		snprintf(path, sizeof(path), "%s%s", m->mnt_dir, own);
		cr_assert_eq(stat(path, &st), 0);
		cr_expect(cgroup_path(st.st_ino, found, sizeof(found)));
		cr_expect_str_eq(found, own);
	}
	cr_expect_not(cgroup_path(UINT64_MAX - 5, found, sizeof(found)));
	cr_expect_str_empty(found);
	endmntent(mounts);
}
