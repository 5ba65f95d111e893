/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/features.h"

#include "capture/probes.h"
#include "core/cleanup.h"
#include "core/slice.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <mntent.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#define PROCESSES_MAX     512 /* looked at to see whether we may */
#define PIDNS_FIRST_INODE 0xeffffffcu /* PROC_PID_INIT_INO, linux/proc_ns.h */

#define NO_WORDS " \t\n"

/* r0 = 0; exit */
static const struct bpf_insn nothing[] = {
	{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
	{.code = BPF_JMP | BPF_EXIT},
};

static void yes(struct feature_state *state, const char *detail)
{
	state->ok = true;
	state->error = 0;
	snprintf(state->detail, sizeof(state->detail), "%s", detail);
}

static void no(struct feature_state *state, int error, const char *detail)
{
	state->ok = false;
	state->error = error;
	snprintf(state->detail, sizeof(state->detail), "%s", detail);
}

/* The first line of a small file; empty if it cannot be read. */
static int read_line(const char *path, char *ret_text, size_t cap)
{
	_fclose_ FILE *f = fopen(path, "re");

	if (!f)
		return -errno;
	if (!fgets(ret_text, (int)cap, f))
		return -EIO;
	ret_text[strcspn(ret_text, "\n")] = '\0';
	return 0;
}

static int read_number(const char *path)
{
	char text[24];

	return read_line(path, text, sizeof(text)) < 0 ? -1 : (int)strtol(text, NULL, 10);
}

/* The word in brackets: "none (voluntary) full". */
static bool chosen_word(const char *text, char open, char close, char *ret_word, size_t cap)
{
	const char *from = strchr(text, open), *to = from ? strchr(from, close) : NULL;

	if (!to)
		return false;
	snprintf(ret_word, cap, "%.*s", (int)(to - from - 1), from + 1);
	return true;
}

static void find_mount(const char *type, char *ret_dir, size_t cap)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *m;

	ret_dir[0] = '\0';
	if (!mounts)
		return;
	while ((m = getmntent(mounts)))
		if (strcmp(m->mnt_type, type) == 0) {
			snprintf(ret_dir, cap, "%s", m->mnt_dir);
			break;
		}
	endmntent(mounts);
}

static uint64_t effective_caps(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};

	if (syscall(SYS_capget, &head, data) < 0)
		return 0;
	return data[0].effective | (uint64_t)data[1].effective << 32;
}

bool features_has_cap(const struct features *features, int cap)
{
	return features->caps >> cap & 1;
}

/* "unconfined", or a profile's name and how it is meant: " (enforce)", " (complain)", which only
 * logs what it would forbid. Where another security module answers here AppArmor is off. */
static void find_apparmor(char *ret_profile, size_t cap)
{
	char text[128], *mode;

	if (read_line("/sys/module/apparmor/parameters/enabled", text, sizeof(text)) < 0 ||
		text[0] != 'Y' || read_line("/proc/self/attr/current", text, sizeof(text)) < 0)
		return;
	mode = strstr(text, " (");
	if (!mode || strcmp(mode, " (complain)") == 0 || strcmp(mode, " (unconfined)") == 0)
		return;
	snprintf(ret_profile, cap, "%.*s", (int)(mode - text), text);
}

static void probe_surroundings(struct features *f)
{
	struct utsname name;
	struct rlimit limit;
	char text[128];

	if (uname(&name) == 0) {
		snprintf(f->release, sizeof(f->release), "%s", name.release);
		snprintf(f->arch, sizeof(f->arch), "%s", name.machine);
	}
	f->uid = geteuid();
	f->caps = effective_caps();
	f->perf_paranoid = read_number("/proc/sys/kernel/perf_event_paranoid");
	f->unprivileged_bpf_disabled = read_number("/proc/sys/kernel/unprivileged_bpf_disabled");
	if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0)
		f->memlock = limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
	/* "[none] integrity confidentiality" */
	if (read_line("/sys/kernel/security/lockdown", text, sizeof(text)) == 0)
		chosen_word(text, '[', ']', f->lockdown, sizeof(f->lockdown));
	find_apparmor(f->apparmor, sizeof(f->apparmor));
	find_mount("tracefs", f->tracefs, sizeof(f->tracefs));
	find_mount("cgroup2", f->cgroup2, sizeof(f->cgroup2));
}

#ifdef __aarch64__

/* Atomic operations that give a value: arm64's compiler has them since 5.18. */
static bool has_atomics(void)
{
	static const struct bpf_insn fetches[] = {
		{.code = BPF_ST | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_10, .off = -8},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1},
		{.code = BPF_STX | BPF_ATOMIC | BPF_DW,
			.dst_reg = BPF_REG_10,
			.src_reg = BPF_REG_0,
			.off = -8,
			.imm = BPF_ADD | BPF_FETCH},
		{.code = BPF_JMP | BPF_EXIT},
	};
	_close_ int prog = bpf_prog_load(
		BPF_PROG_TYPE_TRACEPOINT, "weft_probe", "GPL", fetches, ARRAY_SIZE(fetches), NULL);

	return prog >= 0;
}

#endif

/* Linux 5.15 has what every hook set builds on; bpf_task_pt_regs is what came last. */
static void probe_call(struct features *f)
{
	static const char helper[] = "bpf_task_pt_regs";
	const struct feature_state *bpf = &f->v[FEATURE_BPF];

	if (!bpf->ok)
		no(&f->v[FEATURE_CALL], bpf->error, helper);
	else if (libbpf_probe_bpf_helper(BPF_PROG_TYPE_TRACEPOINT, BPF_FUNC_task_pt_regs, NULL) !=
		 1)
		no(&f->v[FEATURE_CALL], 0, helper);
	else
		yes(&f->v[FEATURE_CALL], helper);
#ifdef __aarch64__ /* the others have them as long as the helper */
	if (f->v[FEATURE_CALL].ok && !has_atomics())
		no(&f->v[FEATURE_CALL], 0, "atomic operations of BPF");
#endif
}

static void probe_bpf(struct features *f)
{
	struct feature_state *state = &f->v[FEATURE_BPF];
	_close_ int map = bpf_map_create(BPF_MAP_TYPE_HASH, "weft_probe", 8, 8, 1, NULL);
	_close_ int prog = -1;

	if (map < 0) {
		no(state, -map, "bpf(BPF_MAP_CREATE)");
		return;
	}
	prog = bpf_prog_load(
		BPF_PROG_TYPE_TRACEPOINT, "weft_probe", "GPL", nothing, ARRAY_SIZE(nothing), NULL);
	if (prog < 0)
		no(state, -prog, "bpf(BPF_PROG_LOAD)");
	else
		yes(state, "a program loads");
}

/* Loads a program for a BTF tracepoint and attaches it for a moment. 0 or -errno. */
static int try_tracepoint(const struct btf *btf, const char *name)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_TRACE_RAW_TP);
	_close_ int prog = -1, link = -1;
	char type[96];
	int id;

	snprintf(type, sizeof(type), "btf_trace_%s", name);
	id = btf__find_by_name_kind(btf, type, BTF_KIND_TYPEDEF);
	if (id < 0)
		return -ENOENT;
	opts.attach_btf_id = (uint32_t)id;
	prog = bpf_prog_load(
		BPF_PROG_TYPE_TRACING, "weft_probe", "GPL", nothing, ARRAY_SIZE(nothing), &opts);
	if (prog < 0)
		return prog;
	link = bpf_raw_tracepoint_open(NULL, prog);
	return link < 0 ? link : 0;
}

/* The same at the return of a kernel function. */
static int try_function(const struct btf *btf, const char *name)
{
	/* a helper that the fentry programs need: the newest, 5.15 */
	static const struct bpf_insn pt_regs[] = {
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_get_current_task_btf},
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_task_pt_regs},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_TRACE_FEXIT);
	_close_ int prog = -1, link = -1;
	int id = btf__find_by_name_kind(btf, name, BTF_KIND_FUNC);

	if (id < 0)
		return -ENOENT;
	opts.attach_btf_id = (uint32_t)id;
	prog = bpf_prog_load(
		BPF_PROG_TYPE_TRACING, "weft_probe", "GPL", pt_regs, ARRAY_SIZE(pt_regs), &opts);
	if (prog < 0)
		return prog == -EINVAL ? -ENOENT : prog;
	link = bpf_raw_tracepoint_open(NULL, prog);
	return link < 0 ? link : 0;
}

static void probe_functions(struct feature_state *state, const struct btf *btf)
{
	static const char *const names[] = {"inet_recvmsg", "inet_sendmsg", "tcp_splice_read"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int r = try_function(btf, names[i]);

		if (r < 0) {
			/* ENOTSUPP, which no libc knows: no BPF trampolines (arm64 before 6.4) */
			bool absent = r == -ENOENT || r == -524 || r == -EOPNOTSUPP;

			no(state, absent ? 0 : -r, names[i]);
			snprintf(state->detail, sizeof(state->detail), "fexit of %s", names[i]);
			return;
		}
	}
	yes(state, "fexit of inet_sendmsg, inet_recvmsg");
}

static void probe_tracepoints(struct feature_state *state, const struct btf *btf,
	const char *const *names, const char *found)
{
	for (; *names; names++) {
		int r = try_tracepoint(btf, *names);

		if (r < 0) {
			no(state, r == -ENOENT ? 0 : -r, *names);
			return;
		}
	}
	yes(state, found);
}

/* The value of a parameter that the kernel was booted with. */
static bool boot_parameter(const char *name, char *ret_value, size_t cap)
{
	char line[4096];
	const char *at;

	if (read_line("/proc/cmdline", line, sizeof(line)) < 0 || !(at = strstr(line, name)))
		return false;
	at += strlen(name);
	snprintf(ret_value, cap, "%.*s", (int)strcspn(at, NO_WORDS), at);
	return true;
}

/* Only debugfs says it for sure, and that is root's. */
static void probe_preemption(struct features *f)
{
	struct utsname name = {0};
	char text[64], chosen[sizeof(f->preemption)] = "";

	uname(&name);
	if (read_line("/sys/kernel/debug/sched/preempt", text, sizeof(text)) < 0 ||
		!chosen_word(text, '(', ')', chosen, sizeof(chosen)))
		boot_parameter(" preempt=", chosen, sizeof(chosen));
	features_preemption(f, name.version, chosen);
}

static void probe_btf(struct features *f)
{
	static const char *const sock[] = {"sock_send_length", "sock_recv_length", NULL};
	static const char *const life[] = {"inet_sock_set_state", "tcp_destroy_sock",
		"sched_process_exec", "sched_process_fork", "sched_process_exit",
		"cgroup_attach_task", NULL};
	struct btf *btf = btf__load_vmlinux_btf();

	if (!btf) {
		no(&f->v[FEATURE_BTF], errno, "/sys/kernel/btf/vmlinux");
		no(&f->v[FEATURE_FENTRY], 0, "no kernel types (BTF)");
		no(&f->v[FEATURE_SOCK], 0, "no kernel types (BTF)");
		no(&f->v[FEATURE_LIFE], 0, "no kernel types (BTF)");
		return;
	}
	yes(&f->v[FEATURE_BTF], "/sys/kernel/btf/vmlinux");
	probe_preemption(f);
	probe_functions(&f->v[FEATURE_FENTRY], btf);
	probe_tracepoints(&f->v[FEATURE_SOCK], btf, sock, "sock_send_length, sock_recv_length");
	probe_tracepoints(&f->v[FEATURE_LIFE], btf, life, "sock, tcp, sched, cgroup");
	btf__free(btf);
}

static int perf_open(struct perf_event_attr *attr)
{
	int fd;

	attr->size = sizeof(*attr);
	fd = (int)syscall(SYS_perf_event_open, attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static void probe_syscalls(struct features *f)
{
	struct feature_state *state = &f->v[FEATURE_SYSCALLS];
	struct perf_event_attr attr = {.type = PERF_TYPE_TRACEPOINT};
	_close_ int event = -1, prog = -1;
	char path[128], id[24];
	int r;

	if (!f->tracefs[0]) {
		no(state, 0, "tracefs is not mounted");
		return;
	}
	snprintf(path, sizeof(path), "%s/events/syscalls/sys_exit_read/id", f->tracefs);
	r = read_line(path, id, sizeof(id));
	if (r < 0) {
		no(state, -r, path);
		return;
	}
	attr.config = strtoull(id, NULL, 10);
	event = perf_open(&attr);
	if (event < 0) {
		no(state, -event, "perf_event_open(sys_exit_read)");
		return;
	}
	prog = bpf_prog_load(
		BPF_PROG_TYPE_TRACEPOINT, "weft_probe", "GPL", nothing, ARRAY_SIZE(nothing), NULL);
	if (prog < 0)
		no(state, -prog, "bpf(BPF_PROG_LOAD)");
	else if (ioctl(event, PERF_EVENT_IOC_SET_BPF, prog) < 0)
		no(state, errno, "attaching to sys_exit_read");
	else
		yes(state, "sys_exit_read and its like");
}

static void no_record(void *ctx, int cpu, void *data, uint32_t size)
{
	(void)ctx, (void)cpu, (void)data, (void)size;
}

/* What a user may lock in memory limits them, unless CAP_IPC_LOCK is there. */
static int try_perf_buffers(unsigned bytes)
{
	_close_ int map = bpf_map_create(BPF_MAP_TYPE_PERF_EVENT_ARRAY, "weft_probe",
		sizeof(uint32_t), sizeof(uint32_t), (uint32_t)libbpf_num_possible_cpus(), NULL);
	struct perf_buffer *buffers;

	if (map < 0)
		return map;
	buffers = perf_buffer__new(
		map, bytes / (size_t)sysconf(_SC_PAGESIZE) ?: 1, no_record, NULL, NULL, NULL);
	if (!buffers)
		return -errno;
	perf_buffer__free(buffers);
	return 0;
}

/* perf_bytes: of each perf buffer, if they are asked for. */
static void probe_buffers(struct features *f, unsigned perf_bytes)
{
	int r;
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_BPF_OUTPUT,
		.sample_type = PERF_SAMPLE_RAW,
	};
	_close_ int ring = bpf_map_create(
		BPF_MAP_TYPE_RINGBUF, "weft_probe", 0, 0, (uint32_t)sysconf(_SC_PAGESIZE), NULL);
	_close_ int perf = perf_open(&attr);

	if (ring < 0)
		no(&f->v[FEATURE_RINGBUF], ring == -EINVAL ? 0 : -ring, "BPF_MAP_TYPE_RINGBUF");
	else
		yes(&f->v[FEATURE_RINGBUF], "BPF_MAP_TYPE_RINGBUF");
	if (perf < 0)
		no(&f->v[FEATURE_PERFBUF], -perf, "perf_event_open(BPF_OUTPUT)");
	else if (perf_bytes && (r = try_perf_buffers(perf_bytes)) < 0)
		no(&f->v[FEATURE_PERFBUF], -r, "mmap of perf buffers");
	else
		yes(&f->v[FEATURE_PERFBUF], "perf_event_open(BPF_OUTPUT)");
}

/* One process or another hides even from root; that most can be looked at is what counts. */
static void probe_processes(struct features *f)
{
	struct feature_state *state = &f->v[FEATURE_PROCESSES];
	DIR *proc = opendir("/proc");
	unsigned seen = 0, readable = 0;
	struct dirent *entry;
	char path[300], exe[8];

	if (!proc) {
		no(state, errno, "/proc");
		return;
	}
	while (seen < PROCESSES_MAX && (entry = readdir(proc))) {
		bool read;

		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		/* the first wants CAP_SYS_PTRACE, the second CAP_DAC_READ_SEARCH as well */
		snprintf(path, sizeof(path), "/proc/%s/exe", entry->d_name);
		read = readlink(path, exe, sizeof(exe)) >= 0;
		if (read) {
			snprintf(path, sizeof(path), "/proc/%s/fd", entry->d_name);
			read = faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == 0;
		}
		readable += read;
		seen += read || errno == EACCES || errno == EPERM; /* else a kernel thread */
	}
	closedir(proc);
	snprintf(path, sizeof(path), "%u of %u can be looked at", readable, seen);
	if (readable * 5 < seen * 4)
		no(state, EACCES, path);
	else
		yes(state, path);
}

static void probe_namespaces(struct features *f)
{
	struct stat st;

	if (stat("/proc/self/ns/pid", &st) < 0)
		no(&f->v[FEATURE_PIDNS], errno, "/proc/self/ns/pid");
	else if (st.st_ino != PIDNS_FIRST_INODE)
		no(&f->v[FEATURE_PIDNS], 0, "a pid namespace of our own");
	else
		yes(&f->v[FEATURE_PIDNS], "ours");
	if (f->cgroup2[0])
		yes(&f->v[FEATURE_CGROUP2], f->cgroup2);
	else
		no(&f->v[FEATURE_CGROUP2], 0, "not mounted");
}

static void probe_probes(struct features *f)
{
	const char *how;
	int r = probes_try(&how);

	if (r)
		no(&f->v[FEATURE_PROBES], r == -ENOENT ? 0 : -r, how);
	else
		yes(&f->v[FEATURE_PROBES], how);
}

void features_probe(struct features *ret_features, const struct capture_options *options)
{
	libbpf_print_fn_t printer = libbpf_set_print(NULL); /* refusals are what we look for */
	struct features *f = ret_features;

	memset(f, 0, sizeof(*f));
	probe_surroundings(f);
	if (strcmp(f->lockdown, "confidentiality") == 0)
		no(&f->v[FEATURE_READ], EPERM, "lockdown=confidentiality");
	else
		yes(&f->v[FEATURE_READ], f->lockdown[0] ? f->lockdown : "no lockdown");
	probe_bpf(f);
	probe_call(f);
	probe_btf(f);
	probe_syscalls(f);
	probe_buffers(f, options->transport == TRANSPORT_PERF ? options->ring_bytes : 0);
	probe_processes(f);
	probe_namespaces(f);
	probe_probes(f);
	libbpf_set_print(printer);
}

/* The first of what every hook set needs that is missing; FEATURE_MAX if nothing is. */
static enum feature missing_base(const struct features *f)
{
	static const enum feature base[] = {
		FEATURE_BPF, FEATURE_BTF, FEATURE_READ, FEATURE_CALL, FEATURE_LIFE};

	for (size_t i = 0; i < ARRAY_SIZE(base); i++)
		if (!f->v[base[i]].ok)
			return base[i];
	return FEATURE_MAX;
}

static void say_state(const struct feature_state *state, const char *before,
	char ret_why[static FEATURES_WHY_BYTES])
{
	snprintf(ret_why, FEATURES_WHY_BYTES, "%s%s: %s", before, state->detail,
		state->error ? strerror(state->error) : "not in this kernel");
}

/* Cheapest first. */
static const struct {
	enum hooks hooks;
	enum feature feature;
	const char *name;
} sets[] = {
	{HOOKS_FENTRY, FEATURE_FENTRY, "fentry"},
	{HOOKS_SOCK, FEATURE_SOCK, "sock"},
	{HOOKS_SYSCALLS, FEATURE_SYSCALLS, "syscalls"},
};

/* Says of each of the sets from the first to before the last why it does not work. */
static void say_refused(const struct features *f, size_t first, size_t last, const char *before,
	char ret_why[static FEATURES_WHY_BYTES])
{
	size_t at = (size_t)snprintf(ret_why, FEATURES_WHY_BYTES, "%s", before);

	for (size_t i = first; i < last && at < FEATURES_WHY_BYTES; i++) {
		const struct feature_state *state = &f->v[sets[i].feature];

		at += (size_t)snprintf(ret_why + at, FEATURES_WHY_BYTES - at, "%s%s (%.50s: %s)",
			i > first ? ", " : "", sets[i].name, state->detail,
			state->error ? strerror(state->error) : "not in this kernel");
	}
}

void features_refuse(struct features *f, enum hooks hooks, int error)
{
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		if (sets[i].hooks == hooks)
			no(&f->v[sets[i].feature], error, "its programs");
}

static int choose_asked(const struct features *f, enum hooks wanted, enum hooks *ret_hooks,
	char ret_why[static FEATURES_WHY_BYTES])
{
	size_t i = 0;

	while (sets[i].hooks != wanted)
		i++;
	if (!f->v[sets[i].feature].ok) {
		say_state(&f->v[sets[i].feature], "asked for, but ", ret_why);
		return -ENOTSUP;
	}
	snprintf(ret_why, FEATURES_WHY_BYTES, "asked for");
	*ret_hooks = wanted;
	return 0;
}

/* What holds for the fentry hooks where the kernel preempts itself, and what does not work of the
 * sets between them and the chosen one. */
static void say_preempts(const struct features *f, size_t chosen, const char *what,
	char ret_why[static FEATURES_WHY_BYTES])
{
	char before[128];

	snprintf(before, sizeof(before), "this kernel preempts itself (%s), and %s%s",
		f->preemption, what, chosen > 1 ? "; without " : "");
	say_refused(f, 1, chosen, before, ret_why);
}

int features_choose(const struct features *features, enum hooks wanted, enum hooks *ret_hooks,
	char ret_why[static FEATURES_WHY_BYTES])
{
	enum feature missing = missing_base(features);
	bool preempts = features->preempts && features->v[FEATURE_FENTRY].ok;

	if (missing != FEATURE_MAX) {
		say_state(&features->v[missing], "", ret_why);
		return -ENOTSUP;
	}
	if (wanted != HOOKS_AUTO)
		return choose_asked(features, wanted, ret_hooks, ret_why);
	/* a thread that is preempted inside an fexit program makes the kernel skip it for the
	 * others on its CPU meanwhile */
	for (size_t i = preempts; i < ARRAY_SIZE(sets); i++)
		if (features->v[sets[i].feature].ok) {
			if (preempts)
				say_preempts(features, i, "fentry hooks can miss calls", ret_why);
			else if (i == 0)
				snprintf(ret_why, FEATURES_WHY_BYTES,
					"the cheapest, and it works here");
			else
				say_refused(features, 0, i,
					"the cheapest that works here, without ", ret_why);
			*ret_hooks = sets[i].hooks;
			return 0;
		}
	if (preempts) {
		say_preempts(features, ARRAY_SIZE(sets),
			"the only hooks that work can miss calls then", ret_why);
		*ret_hooks = HOOKS_FENTRY;
		return 0;
	}
	say_refused(features, 0, ARRAY_SIZE(sets), "none works here: ", ret_why);
	return -ENOTSUP;
}

int features_choose_transport(const struct features *features, enum transport wanted,
	enum transport *ret_transport, char ret_why[static FEATURES_WHY_BYTES])
{
	const struct feature_state *ring = &features->v[FEATURE_RINGBUF];
	const struct feature_state *perf = &features->v[FEATURE_PERFBUF];

	if (wanted == TRANSPORT_RINGBUF && ring->ok) {
		snprintf(ret_why, FEATURES_WHY_BYTES, "the cheaper one");
		*ret_transport = TRANSPORT_RINGBUF;
		return 0;
	}
	if (perf->ok) {
		if (wanted == TRANSPORT_PERF)
			snprintf(ret_why, FEATURES_WHY_BYTES, "asked for");
		else
			say_state(ring, "no ring buffer, ", ret_why);
		*ret_transport = TRANSPORT_PERF;
		return 0;
	}
	say_state(perf, "", ret_why);
	return -ENOTSUP;
}
