/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/programs.h"

#include "core/cleanup.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* The ends of their names. */
static const char TWIN[] = "_twin", TRIPLET[] = "_triplet";

static bool ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n > m && strcmp(name + n - m, end) == 0;
}

static bool is_twin(const struct bpf_program *prog)
{
	return ends_with(bpf_program__name(prog), TWIN) ||
	       ends_with(bpf_program__name(prog), TRIPLET);
}

/* The program that it is a twin of. */
static struct bpf_program *first_of(const struct bpf_object *object, const struct bpf_program *twin)
{
	const char *name = bpf_program__name(twin);
	char first[64];

	snprintf(first, sizeof(first), "%.*s", (int)(strrchr(name, '_') - name), name);
	return bpf_object__find_program_by_name(object, first);
}

/* The network's interrupts come in between, on any kernel. */
static bool is_interrupted(const struct bpf_program *prog)
{
	const char *name = bpf_program__name(prog);

	return strcmp(name, "sock_state") == 0 || strcmp(name, "sock_destroyed") == 0;
}

void programs_choose(struct programs *p)
{
	struct bpf_program *prog, *first;

	bpf_object__for_each_program(prog, p->object)
	{
		unsigned which = ends_with(bpf_program__name(prog), TWIN) ? 1 : 2, needed;

		if (!is_twin(prog))
			continue;
		first = first_of(p->object, prog);
		needed = !first || !is_interrupted(first) ? p->twins : p->twins ? 2 : 1;
		bpf_program__set_autoload(
			prog, which <= needed && first && bpf_program__autoload(first));
	}
}

/* One figure that the kernel keeps of a program, by its place in bpf_prog_info. */
static uint64_t figure_of(const struct bpf_program *prog, size_t figure)
{
	struct bpf_prog_info info = {0};
	uint32_t len = sizeof(info);
	uint64_t value;

	if (bpf_program__fd(prog) < 0 || bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len))
		return 0;
	memcpy(&value, (const char *)&info + figure, sizeof(value));
	return value;
}

uint64_t programs_run_ns(const struct programs *p)
{
	struct bpf_program *prog;
	uint64_t total = 0;

	bpf_object__for_each_program(prog, p->object)
	{
		total += figure_of(prog, offsetof(struct bpf_prog_info, run_time_ns));
	}
	return total;
}

/* Runs that the kernel left out. A twin's are none of them: its first did the work, or its own
 * skipped run is counted. */
static uint64_t skipped(const struct programs *p)
{
	struct bpf_program *prog;
	uint64_t total = 0;

	bpf_object__for_each_program(prog, p->object)
	{
		if (!is_twin(prog))
			total += figure_of(prog, offsetof(struct bpf_prog_info, recursion_misses));
	}
	return total;
}

static uint64_t missed_now(const struct programs *p)
{
	uint64_t runs = skipped(p) - p->before, made_up = p->control->made_up;

	return runs > made_up ? runs - made_up : 0;
}

uint64_t programs_missed(struct programs *p)
{
	uint64_t known = p->missed, missed = missed_now(p), again;

	if (missed <= known)
		return known;
	/* a twin may just have been about to begin */
	again = missed_now(p);
	if (again < missed)
		missed = again;
	while (missed > known && !atomic_compare_exchange_weak(&p->missed, &known, missed))
		;
	return missed > known ? missed : known;
}

static int attach(struct programs *p, struct bpf_program *prog, char ret_why[static 256])
{
	struct bpf_link *link;
	int err;

	if (!bpf_program__autoload(prog) || bpf_program__type(prog) == BPF_PROG_TYPE_KPROBE)
		return 0;
	if (p->n == PROGRAMS_MAX)
		return -E2BIG;
	link = bpf_program__attach(prog);
	if (!link) {
		err = -errno;
		snprintf(ret_why, 256, "cannot attach %s: %s", bpf_program__section_name(prog),
			strerror(-err));
		return err;
	}
	p->links[p->n++] = link;
	return 0;
}

static bool is_on_function(const struct bpf_program *prog)
{
	return bpf_program__type(prog) == BPF_PROG_TYPE_TRACING &&
	       bpf_program__expected_attach_type(prog) != BPF_TRACE_RAW_TP;
}

/* NULL: it has none of that name. */
static struct bpf_program *twin_of(
	const struct bpf_object *object, const struct bpf_program *first, const char *which)
{
	char name[64];

	snprintf(name, sizeof(name), "%s%s", bpf_program__name(first), which);
	return bpf_object__find_program_by_name(object, name);
}

/* Removes the marks that the thread has left behind (bpf/twin.h). Whether there were any. */
static bool marks_left(volatile uint64_t *marks, uint32_t n, uint32_t tid)
{
	bool found = false;

	for (uint32_t i = 0; i < n; i++)
		if (marks[i] >> 6 == tid) {
			marks[i] = 0;
			found = true;
		}
	return found;
}

#define ORDER_TRIES 3

/* In another order everything would be told twice: the last twin removes its first's mark, and
 * finds none if it comes before it. More than one try, for a twin can be skipped as well. */
static bool order_shows(volatile uint64_t *marks, uint32_t n)
{
	_close_ int one = -1, other = -1;
	uint32_t tid = (uint32_t)gettid();
	int ends[2];
	char byte = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return true;
	one = ends[0];
	other = ends[1];
	marks_left(marks, n, tid);
	for (int i = 0; i < ORDER_TRIES; i++) {
		if (send(one, &byte, 1, 0) < 0 || recv(other, &byte, 1, 0) < 0)
			return true;
		if (!marks_left(marks, n, tid))
			return true;
	}
	return false;
}

static bool order_holds(const struct programs *p)
{
	const struct bpf_map *map = bpf_object__find_map_by_name(p->object, "marks");
	uint32_t n = map ? bpf_map__max_entries(map) : 0;
	size_t bytes = n * sizeof(uint64_t);
	void *marks = n ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0)
			: MAP_FAILED;
	bool holds;

	if (marks == MAP_FAILED)
		return true;
	holds = order_shows(marks, n);
	munmap(marks, bytes);
	return holds;
}

/* A twin is to run behind its first. Of a function's programs the kernel runs the latest first, of
 * a tracepoint's the earliest, which is how they come here. */
int programs_attach(struct programs *p, char ret_why[static 256])
{
	struct bpf_program *prog, *triplet, *twin;
	int err = 0;

	bpf_object__for_each_program(prog, p->object)
	{
		if (is_on_function(prog)) {
			if (is_twin(prog))
				continue;
			triplet = twin_of(p->object, prog, TRIPLET);
			twin = twin_of(p->object, prog, TWIN);
			err = triplet ? attach(p, triplet, ret_why) : 0;
			if (!err && twin)
				err = attach(p, twin, ret_why);
		}
		if (!err)
			err = attach(p, prog, ret_why);
		if (err)
			return err;
	}
	p->before = skipped(p); /* twins were silent */
	p->control->attached = 1;
	if (p->twins && !order_holds(p)) {
		snprintf(ret_why, 256, "this kernel runs programs in an unknown order");
		return -ENOTSUP;
	}
	return 0;
}

void programs_detach(struct programs *p)
{
	while (p->n)
		bpf_link__destroy(p->links[--p->n]);
}
