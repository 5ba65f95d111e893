/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/probes.h"

#include "core/cleanup.h"
#include "core/clock.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Debian 12's headers and libbpf do not have it. */
#define TRACE_UPROBE_MULTI  48
#define UPROBE_MULTI_RETURN 1u

struct uprobe_multi_attr {
	uint32_t prog_fd, target_fd, attach_type, link_flags;
	uint64_t path, offsets, ref_ctr_offsets, cookies;
	uint32_t count, flags, pid, pad;
};

enum { ENTER, RETURN, EXIT, PARTS };

/* Either a link for each part, or a perf event for each probe. */
struct probes {
	struct bpf_object *object;
	uint32_t number;
	bool go;
	int links[PARTS];
	unsigned n;
	struct bpf_link
		*events[2 * TLS_SYMBOLS_MAX + TLS_RETURNS_MAX]; /* as many as the parts can hold */
};

/* One kind of probe on a file: a program, and where it is put. */
struct part {
	const char *program;
	bool returns; /* the kernel puts it on the return address */
	unsigned n;
	uint64_t offsets[TLS_RETURNS_MAX], cookies[TLS_RETURNS_MAX];
};

static int program_fd(struct bpf_object *object, const char *name)
{
	return bpf_program__fd(bpf_object__find_program_by_name(object, name));
}

int probes_prepare(struct bpf_object *object)
{
	struct bpf_program *prog;
	int err = 0;

	bpf_object__for_each_program(prog, object)
	{
		if (!err && bpf_program__type(prog) == BPF_PROG_TYPE_KPROBE)
			err = bpf_program__set_expected_attach_type(
				prog, (enum bpf_attach_type)TRACE_UPROBE_MULTI);
	}
	return err;
}

static void put(struct part *part, const struct tls_symbol *symbol, uint64_t cookie)
{
	part->offsets[part->n] = symbol->offset;
	part->cookies[part->n++] = cookie | symbol->func;
}

/* What begins a call, and what ends it. */
static void split(const struct tls_symbols *s, uint32_t number, struct part ret_parts[static PARTS])
{
	uint64_t cookie = s->go ? (uint64_t)number << 8 : 0;
	const char *leave = s->go ? "go_leave" : "tls_leave";

	memset(ret_parts, 0, PARTS * sizeof(*ret_parts));
	ret_parts[ENTER].program = s->go ? "go_enter" : "tls_enter";
	ret_parts[RETURN].program = ret_parts[EXIT].program = leave;
	ret_parts[RETURN].returns = true;
	for (unsigned i = 0; i < s->n; i++) {
		put(&ret_parts[ENTER], &s->v[i], cookie);
		if (!s->v[i].exits && s->v[i].func != WEFT_TLS_FREE &&
			s->v[i].func != WEFT_TLS_HAND)
			put(&ret_parts[RETURN], &s->v[i], cookie);
	}
	for (unsigned i = 0; i < s->return_count; i++)
		put(&ret_parts[EXIT], &s->returns[i], cookie);
}

static int attach_multi(int prog, const struct part *part, const char *path, int *ret_link)
{
	struct uprobe_multi_attr attr = {
		.prog_fd = (uint32_t)prog,
		.attach_type = TRACE_UPROBE_MULTI,
		.path = (uintptr_t)path,
		.offsets = (uintptr_t)part->offsets,
		.cookies = (uintptr_t)part->cookies,
		.count = part->n,
		.flags = part->returns ? UPROBE_MULTI_RETURN : 0,
	};
	long fd = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));

	if (fd < 0)
		return -errno;
	*ret_link = (int)fd;
	return 0;
}

static const struct part NOWHERE = {.n = 1};

bool probes_multi(struct bpf_object *object)
{
	int link = -1;

	/* a directory is no file: the error of a kernel that came so far */
	return attach_multi(program_fd(object, "tls_enter"), &NOWHERE, "/", &link) == -EBADF;
}

/* A probe where no code is: nothing is put there. */
static int try_event(void)
{
	_fclose_ FILE *f = fopen("/sys/bus/event_source/devices/uprobe/type", "re");
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.disabled = 1,
		.config1 = (uintptr_t) "/proc/self/exe",
	};
	_close_ int event = -1;

	if (!f || fscanf(f, "%u", &attr.type) != 1)
		return -ENOENT;
	event = (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	return event < 0 ? -errno : 0;
}

#ifdef __x86_64__

/* What the safety of a probe is tried on. */
__attribute__((noinline)) static int probed_function(int value)
{
	__asm__ volatile("" ::: "memory");
	return value + 1;
}

/* Where it lies in our own file; 0: not found. */
static uint64_t own_offset(void)
{
	uintptr_t at = (uintptr_t)&probed_function;
	_fclose_ FILE *f = fopen("/proc/self/maps", "re");
	unsigned long from, to, offset;
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %*s %lx", &from, &to, &offset) == 3 && at >= from &&
			at < to)
			return at - from + offset;
	return 0;
}

#define NR_URETPROBE 335 /* x86-64 */

/* As container runtimes do with system calls that they do not know. */
static void refuse_uretprobe(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NR_URETPROBE, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {ARRAY_SIZE(filter), filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(2);
}

/* Whether a process under a filter outlives a probe on a return. */
static bool outlived(int prog)
{
	struct part own = {.returns = true, .n = 1, .offsets = {own_offset()}};
	int link = -1, status = -1;
	pid_t child;

	if (!own.offsets[0] || attach_multi(prog, &own, "/proc/self/exe", &link))
		return true; /* what is wrong shows elsewhere */
	child = fork();
	if (!child) {
		refuse_uretprobe();
		_exit(probed_function(1) == 2 ? 0 : 1);
	}
	if (child > 0)
		waitpid(child, &status, 0);
	close(link);
	return child > 0 && (!WIFSIGNALED(status) || WTERMSIG(status) == SIGKILL);
}

#endif

int probes_try(const char **ret_how)
{
	static const struct bpf_insn NOTHING[] = {
		/* r0 = 0; exit */
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	DECLARE_LIBBPF_OPTS(bpf_prog_load_opts, opts,
		.expected_attach_type = (enum bpf_attach_type)TRACE_UPROBE_MULTI);
	_close_ int prog = bpf_prog_load(
		BPF_PROG_TYPE_KPROBE, "weft_probe", "GPL", NOTHING, ARRAY_SIZE(NOTHING), &opts);
	int link = -1, r;

	*ret_how = "uprobe.multi";
	if (prog < 0)
		return prog;
	r = attach_multi(prog, &NOWHERE, "/", &link);
#ifdef __x86_64__
	if (r == -EBADF && !outlived(prog)) {
		*ret_how = "probes end programs under seccomp here (before 6.14)";
		return -EOPNOTSUPP;
	}
#endif
	if (r == -EBADF)
		return 0;
	if (r != -EINVAL && r != -EOPNOTSUPP)
		return r;
	*ret_how = "perf_event_open(uprobe)";
	return try_event();
}

static int attach_events(
	struct bpf_object *object, const struct part *part, const char *path, struct probes *p)
{
	for (unsigned i = 0; i < part->n; i++) {
		DECLARE_LIBBPF_OPTS(bpf_uprobe_opts, opts, .retprobe = part->returns,
			.bpf_cookie = part->cookies[i]);
		struct bpf_link *link = bpf_program__attach_uprobe_opts(
			bpf_object__find_program_by_name(object, part->program), -1, path,
			part->offsets[i], &opts);

		if (!link)
			return -errno;
		p->events[p->n++] = link;
	}
	return 0;
}

/* Since when all probes of a Go program are there; see bpf/gotls.h. */
static int set_since(struct bpf_object *object, uint32_t number, uint64_t since_ns)
{
	int fd = bpf_map__fd(bpf_object__find_map_by_name(object, "go_since"));

	return bpf_map_update_elem(fd, &number, &since_ns, BPF_ANY) ? -errno : 0;
}

int probes_attach(struct bpf_object *object, const char *path, uint32_t number,
	const struct tls_symbols *s, struct probes **ret_probes)
{
	struct probes *p = calloc(1, sizeof(*p));
	bool multi = probes_multi(object);
	struct part parts[PARTS];
	int err = s->go ? set_since(object, number, WEFT_TLS_GO_BEGUN) : 0;

	if (!p)
		return -ENOMEM;
	split(s, number, parts);
	memset(p->links, -1, sizeof(p->links));
	p->object = object;
	p->number = number;
	p->go = s->go;
	/* the ends first: a call that is seen to begin is seen to end */
	for (int i = PARTS - 1; i >= 0 && !err; i--)
		if (parts[i].n)
			err = multi ? attach_multi(program_fd(object, parts[i].program), &parts[i],
					      path, &p->links[i])
				    : attach_events(object, &parts[i], path, p);
	if (!err && s->go)
		err = set_since(object, number, clock_monotonic());
	if (err) {
		probes_detach(p);
		return err;
	}
	*ret_probes = p;
	return 0;
}

void probes_detach(struct probes *p)
{
	if (!p)
		return;
	/* the other way round */
	while (p->n)
		bpf_link__destroy(p->events[--p->n]);
	for (unsigned i = 0; i < ARRAY_SIZE(p->links); i++)
		if (p->links[i] >= 0)
			close(p->links[i]);
	if (p->go)
		set_since(p->object, p->number, 0);
	free(p);
}
