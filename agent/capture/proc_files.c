/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/proc_files.h"

#include "core/cleanup.h"
#include "core/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <string.h>
#include <sys/stat.h>

#define FILEID_KERNFS 0xfe /* include/linux/exportfs.h */
#define PATH_BYTES    512
#define CGROUP_DEPTH  16

static bool read_link(const char *path, char *ret_text, size_t cap)
{
	ssize_t n = readlink(path, ret_text, cap - 1);

	ret_text[n > 0 ? n : 0] = '\0';
	return n > 0;
}

bool proc_exe(uint32_t pid, char *ret_path, size_t cap)
{
	static const char deleted[] = " (deleted)";
	char path[32];
	size_t len;

	snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	if (!read_link(path, ret_path, cap))
		return false;
	len = strlen(ret_path);
	if (len >= sizeof(deleted) && strcmp(ret_path + len - (sizeof(deleted) - 1), deleted) == 0)
		ret_path[len - (sizeof(deleted) - 1)] = '\0';
	return true;
}

bool proc_cgroup(uint32_t pid, char *ret_path, size_t cap)
{
	_fclose_ FILE *f = NULL;
	char line[PATH_BYTES];

	ret_path[0] = '\0';
	snprintf(line, sizeof(line), "/proc/%u/cgroup", pid);
	f = fopen(line, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "0::", 3) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(ret_path, cap, "%s", line + 3);
		return true;
	}
	return false;
}

static bool cgroup_search(char *path, size_t root, unsigned depth, uint64_t id)
{
	_closedir_ DIR *dir = opendir(path);
	size_t len = strlen(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		struct stat st;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		if (snprintf(path + len, PATH_BYTES - len, "/%s", entry->d_name) >=
			(int)(PATH_BYTES - len))
			continue;
		if (stat(path, &st) == 0 && st.st_ino == id)
			return true;
		if (depth && cgroup_search(path, root, depth - 1, id))
			return true;
	}
	path[len] = '\0';
	return false;
}

/* By its file handle, which is its id (fs/kernfs: FILEID_KERNFS): a search reads the directories of
 * every group there is, thousands on a node full of pods. -errno; -EPERM without
 * CAP_DAC_READ_SEARCH. */
static int cgroup_open(const char *mount, uint64_t id, char *ret_path, size_t cap)
{
	union {
		struct file_handle handle;
		char bytes[sizeof(struct file_handle) + sizeof(id)];
	} u = {.handle = {.handle_bytes = sizeof(id), .handle_type = FILEID_KERNFS}};
	_close_ int at = open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;
	char link[32];
	ssize_t n;

	if (at < 0)
		return -errno;
	memcpy(u.handle.f_handle, &id, sizeof(id));
	fd = open_by_handle_at(at, &u.handle, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, ret_path, cap - 1);
	if (n < 0)
		return -errno;
	ret_path[n] = '\0';
	return 0;
}

bool cgroup_path(uint64_t id, char *ret_path, size_t cap)
{
	char path[PATH_BYTES] = "";
	char found[PATH_BYTES];
	struct mntent entry, *m;
	FILE *mounts = setmntent("/proc/mounts", "re");
	char text[1024];
	size_t root;
	int r;

	while (mounts && (m = getmntent_r(mounts, &entry, text, sizeof(text))))
		if (strcmp(m->mnt_type, "cgroup2") == 0) {
			snprintf(path, sizeof(path), "%s", m->mnt_dir);
			break;
		}
	if (mounts)
		endmntent(mounts);
	root = strlen(path);
	ret_path[0] = '\0';
	if (!root)
		return false;
	r = cgroup_open(path, id, found, sizeof(found));
	if (r == -EPERM || r == -EOPNOTSUPP) {
		if (!cgroup_search(path, root, CGROUP_DEPTH, id))
			return false;
		memcpy(found, path, sizeof(found));
	} else if (r < 0 || strncmp(found, path, root) != 0) {
		return false; /* it is gone */
	}
	snprintf(ret_path, cap, "%s", found[root] ? found + root : "/");
	return true;
}

uint32_t proc_netns(uint32_t pid)
{
	char path[32], text[64];
	unsigned inode = 0;

	snprintf(path, sizeof(path), "/proc/%u/ns/net", pid);
	if (!read_link(path, text, sizeof(text)) || sscanf(text, "net:[%u]", &inode) != 1)
		return 0;
	return inode;
}

/* What /proc/PID/stat tells; see proc(5). */
struct stat_line {
	char state;
	unsigned parent, threads;
	unsigned long long start; /* in ticks since boot */
};

static bool read_stat(uint32_t pid, struct stat_line *ret_line)
{
	_fclose_ FILE *f = NULL;
	char text[1024];
	const char *rest;
	size_t n;

	snprintf(text, sizeof(text), "/proc/%u/stat", pid);
	f = fopen(text, "re");
	if (!f)
		return false;
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	rest = strrchr(text, ')'); /* the name before it can hold anything, newlines too */
	return rest &&
	       sscanf(rest,
		       ") %c %u %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
		       "%u %*s %llu",
		       &ret_line->state, &ret_line->parent, &ret_line->threads,
		       &ret_line->start) == 4;
}

uint32_t proc_parent(uint32_t pid)
{
	struct stat_line line;

	return read_stat(pid, &line) ? line.parent : 0;
}

bool proc_lives(uint32_t pid)
{
	struct stat_line line;

	/* a first thread that ended waits for the others as a zombie, too */
	return read_stat(pid, &line) &&
	       ((line.state != 'Z' && line.state != 'X') || line.threads > 1);
}

uint64_t proc_started(uint32_t pid)
{
	struct stat_line line;
	uint64_t now = clock_monotonic(), asleep, start;

	if (!read_stat(pid, &line))
		return 0;
	/* since boot, times of suspension included, which the monotonic clock leaves out */
	asleep = clock_ns(CLOCK_BOOTTIME) - now;
	start = line.start * (NS_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK));
	return start > asleep ? start - asleep : 1;
}

bool proc_comm(uint32_t pid, char *ret_comm, size_t cap)
{
	_fclose_ FILE *f = NULL;
	char path[32];

	ret_comm[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%u/comm", pid);
	f = fopen(path, "re");
	if (!f || !fgets(ret_comm, (int)cap, f))
		return false;
	ret_comm[strcspn(ret_comm, "\n")] = '\0';
	return true;
}

static bool loopback_text(const char *addr)
{
	/* little-endian words: 127.x.x.x ends in 7F, ::1 in 01000000 */
	size_t len = strlen(addr);

	if (len == 8)
		return strcmp(addr + 6, "7F") == 0;
	return strcmp(addr, "00000000000000000000000001000000") == 0 ||
	       (strncmp(addr, "0000000000000000FFFF0000", 24) == 0 && strcmp(addr + 30, "7F") == 0);
}

static void tcp_file(const char *path, tcp_row_fn fn, void *ctx)
{
	_fclose_ FILE *f = fopen(path, "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		char local[40], remote[40];
		unsigned local_port, remote_port, state;
		unsigned long long inode;
		struct tcp_row row;

		if (sscanf(line,
			    " %*[^:]: %39[0-9A-F]:%x %39[0-9A-F]:%x %x %*s %*s %*s %*s %*s %llu",
			    local, &local_port, remote, &remote_port, &state, &inode) != 6)
			continue;
		row = (struct tcp_row){
			.inode = inode,
			.local_port = (uint16_t)local_port,
			.remote_port = (uint16_t)remote_port,
			.listens = state == 10,
			.local =
				state == 1 && (loopback_text(remote) || strcmp(local, remote) == 0),
		};
		fn(ctx, &row);
	}
}

void proc_tcp(uint32_t pid, tcp_row_fn fn, void *ctx)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/%u/net/tcp", pid);
	tcp_file(path, fn, ctx);
	snprintf(path, sizeof(path), "/proc/%u/net/tcp6", pid);
	tcp_file(path, fn, ctx);
}

void proc_sockets(uint32_t pid, inode_fn fn, void *ctx)
{
	_closedir_ DIR *dir = NULL;
	char path[64], text[64];
	struct dirent *entry;

	snprintf(path, sizeof(path), "/proc/%u/fd", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		unsigned long long inode;
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, text, sizeof(text) - 1);

		if (n <= 0)
			continue;
		text[n] = '\0';
		if (sscanf(text, "socket:[%llu]", &inode) == 1)
			fn(ctx, pid, inode);
	}
}

struct proc_walk {
	DIR *dir;
};

int proc_walk_new(struct proc_walk **ret_walk)
{
	struct proc_walk *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->dir = opendir("/proc");
	if (!w->dir) {
		int err = -errno;

		free(w);
		return err;
	}
	*ret_walk = w;
	return 0;
}

void proc_walk_free(struct proc_walk *w)
{
	if (!w)
		return;
	closedir(w->dir);
	free(w);
}

uint32_t proc_walk_next(struct proc_walk *w)
{
	struct dirent *entry;

	while ((entry = readdir(w->dir))) {
		char *end;
		unsigned long pid = strtoul(entry->d_name, &end, 10);

		if (*end == '\0' && pid)
			return (uint32_t)pid;
	}
	return 0;
}

void proc_walk_rewind(struct proc_walk *w)
{
	rewinddir(w->dir);
}
