/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/capture.h"

#include "capture/hookset.h"
#include "capture/kept.h"
#include "capture/probes.h"
#include "capture/reader.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/cpus.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define LINKS_MAX 64
#define TWIN      "_twin" /* the end of its name */
#define LOOK_MS   5
/* Connections in the kernel for each that the agent knows: what it forgets for want of room comes
 * back with the next bytes. */
#define SOCKETS_EACH  4
#define WAKE_BYTES    (64u * 1024)
#define WANTS_BYTES   (WEFT_WANT_SLOTS * sizeof(struct weft_want_slot))
#define CONTROL_BYTES 4096u

struct capture {
	const struct hookset *set;
	const struct reader_ops *reader_ops;
	void *skeleton;
	struct bpf_object *object;
	struct reader *reader;
	struct bpf_link *links[LINKS_MAX];
	unsigned link_count;
	int procs_fd, counts_fd;
	volatile struct weft_control *control;
	volatile struct weft_want_slot *wants;
	capture_handler handler;
	void *ctx;
	uint64_t bad;
	struct kept kept;
	int cpus;
	bool preempted;
	uint64_t missed;
};

/* A record is taken only if its own lengths fit what was read. */
static bool record_valid(const struct weft_record *rec, size_t size)
{
	const struct weft_data *data = (const struct weft_data *)rec;

	if (size < sizeof(*rec) || rec->size > size)
		return false;
	switch (rec->type) {
	case WEFT_RECORD_DATA:
		return rec->size >= sizeof(*data) && rec->size == sizeof(*data) + data->caught &&
		       (rec->flags & WEFT_PIECES || data->caught <= data->len) &&
		       (rec->flags & WEFT_PIECES || data->off == WEFT_OFF_TAIL ||
			       (uint64_t)data->off + data->caught <= data->len);
	case WEFT_RECORD_OPEN:
		if (rec->flags & WEFT_UNIX)
			return rec->size == sizeof(struct weft_open_unix) &&
			       ((const struct weft_open_unix *)rec)->path_len <= WEFT_PATH_LEN;
		return rec->size == sizeof(struct weft_open);
	case WEFT_RECORD_LISTEN:
		return rec->size == sizeof(struct weft_open);
	case WEFT_RECORD_SHUT:
	case WEFT_RECORD_CLOSE:
		return rec->size == sizeof(struct weft_shut);
	case WEFT_RECORD_PROC:
		return rec->size == sizeof(struct weft_proc);
	case WEFT_RECORD_EXIT:
		return rec->size == sizeof(*rec);
	}
	return false;
}

static void on_record(void *ctx, const void *record, size_t size)
{
	struct capture *c = ctx;

	if (record_valid(record, size))
		c->handler(c->ctx, record, size);
	else
		c->bad++;
}

static int map_fd(const struct capture *c, const char *name)
{
	struct bpf_map *map = bpf_object__find_map_by_name(c->object, name);

	return map ? bpf_map__fd(map) : -ENOENT;
}

static int map_resize(struct capture *c, const char *name, unsigned entries)
{
	struct bpf_map *map = bpf_object__find_map_by_name(c->object, name);

	return map ? bpf_map__set_max_entries(map, entries) : -ENOENT;
}

static int map_for_each_cpu(struct capture *c, const char *name, unsigned times)
{
	struct bpf_map *map = bpf_object__find_map_by_name(c->object, name);
	unsigned cpus = cpus_present() ?: (unsigned)c->cpus;

	return map ? bpf_map__set_max_entries(map, bpf_map__max_entries(map) * times * cpus)
		   : -ENOENT;
}

static int map_leave_out(struct capture *c, const char *name)
{
	struct bpf_map *map = bpf_object__find_map_by_name(c->object, name);

	return map ? bpf_map__set_autocreate(map, false) : -ENOENT;
}

static void *map_memory(const struct capture *c, const char *name, size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd(c, name), 0);

	return at == MAP_FAILED ? NULL : at;
}

static bool is_twin(const struct bpf_program *prog)
{
	const char *name = bpf_program__name(prog);
	size_t n = strlen(name), end = strlen(TWIN);

	return n > end && strcmp(name + n - end, TWIN) == 0;
}

/* One figure that the kernel keeps of a program, by its place in bpf_prog_info. */
static uint64_t program_figure(const struct bpf_program *prog, size_t figure)
{
	struct bpf_prog_info info = {0};
	uint32_t len = sizeof(info);
	uint64_t value;

	if (bpf_program__fd(prog) < 0 || bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len))
		return 0;
	memcpy(&value, (const char *)&info + figure, sizeof(value));
	return value;
}

/* Runs that the kernel skipped. A twin's are none of them: its first did the work, or its own
 * skipped run is counted. */
static uint64_t skipped(const struct capture *c)
{
	struct bpf_program *prog;
	uint64_t total = 0;

	bpf_object__for_each_program(prog, c->object) if (!is_twin(prog)) total +=
		program_figure(prog, offsetof(struct bpf_prog_info, recursion_misses));
	return total;
}

/* Those that no twin did. */
static uint64_t missed_now(const struct capture *c)
{
	uint64_t runs = skipped(c), made_up = c->control->made_up;

	return runs > made_up ? runs - made_up : 0;
}

/* Twins for what interrupts bring are always needed, the others where threads preempt programs. */
static void choose_twins(struct capture *c)
{
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, c->object)
	{
		const char *name = bpf_program__name(prog);
		struct bpf_program *first;
		char first_name[64];

		if (!is_twin(prog))
			continue;
		snprintf(first_name, sizeof(first_name), "%.*s", (int)(strlen(name) - strlen(TWIN)),
			name);
		first = bpf_object__find_program_by_name(c->object, first_name);
		bpf_program__set_autoload(
			prog, first && bpf_program__autoload(first) &&
				      (c->preempted || strcmp(first_name, "sock_state") == 0 ||
					      strcmp(first_name, "sock_destroyed") == 0));
	}
}

static int attach(struct capture *c, struct bpf_program *prog, char ret_why[static 256])
{
	struct bpf_link *link;
	int err;

	/* those for libraries are attached when one is found */
	if (!bpf_program__autoload(prog) || bpf_program__type(prog) == BPF_PROG_TYPE_KPROBE)
		return 0;
	if (c->link_count == LINKS_MAX)
		return -E2BIG;
	link = bpf_program__attach(prog);
	if (!link) {
		err = -errno;
		snprintf(ret_why, 256, "cannot attach %s: %s", bpf_program__section_name(prog),
			strerror(-err));
		return err;
	}
	c->links[c->link_count++] = link;
	return 0;
}

/* A twin is to run behind its first. Of a function's programs the kernel runs the latest first, of
 * a tracepoint's the earliest. */
static bool is_early(const struct bpf_program *prog)
{
	bool function = bpf_program__type(prog) == BPF_PROG_TYPE_TRACING &&
			bpf_program__expected_attach_type(prog) != BPF_TRACE_RAW_TP;

	return is_twin(prog) == function;
}

/* What runs in another order would be told twice. */
static bool order_holds(const struct capture *c)
{
	_close_ int one = -1, other = -1;
	uint64_t made_up;
	int ends[2];
	char byte = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return true;
	one = ends[0];
	other = ends[1];
	if (send(one, &byte, 1, 0) < 0 || recv(other, &byte, 1, 0) < 0)
		return true;
	made_up = c->control->made_up;
	return made_up <= skipped(c);
}

static int attach_all(struct capture *c, char ret_why[static 256])
{
	struct bpf_program *prog;
	int err = 0;

	for (int early = 1; early >= 0; early--)
		bpf_object__for_each_program(prog, c->object) if (!err && is_early(prog) == early)
			err = attach(c, prog, ret_why);
	if (!err && c->preempted && !order_holds(c)) {
		snprintf(ret_why, 256, "this kernel runs programs in an unknown order");
		err = -ENOTSUP;
	}
	return err;
}

static int set_up(
	struct capture *c, const struct capture_options *options, char ret_why[static 256])
{
	bool perf = c->reader_ops == &READER_PERF;
	struct hookset_knobs knobs = {
		.self_tgid = (uint32_t)getpid(),
		.wake_bytes = WAKE_BYTES,
		.max_conns = SOCKETS_EACH * options->max_connections,
		.use_perf = perf,
		.twins = c->preempted,
	};
	int err = c->set->open(&knobs, &c->skeleton, &c->object);

	if (err) {
		snprintf(ret_why, 256, "cannot open the %s programs: %s", c->set->name,
			strerror(-err));
		return err;
	}
	choose_twins(c);
	err = map_for_each_cpu(c, "scratches", c->preempted ? 2 : 1);
	if (!err)
		err = map_resize(c, "procs", options->max_processes);
	if (!err) /* about as many can end as are known */
		err = map_resize(c, "kept", options->max_connections + options->max_processes);
	if (!err && c->set->conns_by_address)
		err = map_resize(c, "conns", options->max_connections);
	if (!err)
		err = map_resize(c, "tls_sessions", options->max_connections);
	if (!err)
		err = map_resize(c, "tls_sockets", options->max_connections);
	if (!err)
		err = map_resize(c, "tls_hellos", options->max_connections);
	if (!err)
		err = map_resize(c, "go_programs", options->max_processes);
	if (!err)
		err = map_resize(c, "go_calls", options->max_connections);
	if (!err)
		err = probes_prepare(c->object);
	if (!err)
		err = perf ? map_leave_out(c, "ring") : map_resize(c, "ring", options->ring_bytes);
	if (!err && !perf)
		err = map_leave_out(c, "perf");
	if (!err)
		err = bpf_object__load(c->object);
	if (err) {
		snprintf(ret_why, 256, "the kernel refused the %s programs: %s", c->set->name,
			strerror(-err));
		return err;
	}
	c->procs_fd = map_fd(c, "procs");
	c->counts_fd = map_fd(c, "counts");
	c->control = map_memory(c, "control", CONTROL_BYTES);
	c->wants = map_memory(c, "wants", WANTS_BYTES);
	if (!c->control || !c->wants) {
		snprintf(ret_why, 256, "cannot map the control tables: %s", strerror(errno));
		return -errno;
	}
	kept_init(&c->kept, map_fd(c, "kept"), c->control);
	err = c->reader_ops->open(
		map_fd(c, perf ? "perf" : "ring"), options->ring_bytes, on_record, c, &c->reader);
	if (err) {
		snprintf(ret_why, 256, "cannot map the %s: %s",
			perf ? "perf buffers" : "ring buffer", strerror(-err));
		return -ENOBUFS;
	}
	return attach_all(c, ret_why);
}

int capture_open(const struct capture_options *options, enum hooks hooks, enum transport transport,
	bool preempted, capture_handler handler, void *ctx, struct capture **ret_capture,
	char ret_why[static 256])
{
	struct capture *c = calloc(1, sizeof(*c));
	int err;

	ret_why[0] = '\0';
	if (!c) {
		snprintf(ret_why, 256, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	c->set = hooks == HOOKS_FENTRY     ? &HOOKSET_FENTRY
		 : hooks == HOOKS_SYSCALLS ? &HOOKSET_SYSCALLS
					   : &HOOKSET_SOCK;
	c->reader_ops = transport == TRANSPORT_PERF ? &READER_PERF : &READER_RINGBUF;
	c->preempted = preempted;
	c->handler = handler;
	c->ctx = ctx;
	c->cpus = libbpf_num_possible_cpus();
	err = c->cpus < 0 ? c->cpus : set_up(c, options, ret_why);
	if (err) {
		if (!ret_why[0])
			snprintf(ret_why, 256, "%s", strerror(-err));
		capture_close(c);
		return err;
	}
	*ret_capture = c;
	return 0;
}

int capture_probe(struct capture *c, const char *path, uint32_t number,
	const struct tls_symbols *symbols, struct probes **ret_probes)
{
	return probes_attach(c->object, path, number, symbols, ret_probes);
}

bool capture_probes_multi(struct capture *c)
{
	return probes_multi(c->object);
}

void capture_detach(struct capture *c)
{
	while (c->link_count)
		bpf_link__destroy(c->links[--c->link_count]);
}

void capture_close(struct capture *c)
{
	if (!c)
		return;
	capture_detach(c);
	if (c->reader)
		c->reader_ops->close(c->reader);
	if (c->control)
		munmap((void *)c->control, CONTROL_BYTES);
	if (c->wants)
		munmap((void *)c->wants, WANTS_BYTES);
	c->set->close(c->skeleton);
	free(c);
}

int capture_read(struct capture *c, bool all)
{
	uint64_t begun = clock_monotonic();
	bool halted;
	int n, ends;

	kept_fetch(&c->kept);
	n = c->reader_ops->read(c->reader, all, &halted);
	ends = kept_deliver(&c->kept, halted ? 0 : begun, all, on_record, c);
	return n < 0 ? n : n + ends;
}

void capture_wait(struct capture *c, bool idle, int timeout_ms, const sigset_t *sigmask)
{
	struct epoll_event events[8];

	/* perf can't be asked to wake us at the first record: look often instead */
	if (!c->reader_ops->wakes_at_first && timeout_ms > LOOK_MS)
		timeout_ms = LOOK_MS;
	c->control->sleep = idle && c->reader_ops->wakes_at_first ? WEFT_ASLEEP : WEFT_NAP;
	/* a record that came just before saw us awake, and woke nobody */
	atomic_thread_fence(memory_order_seq_cst);
	if (!idle || !c->reader_ops->used(c->reader))
		epoll_pwait(c->reader_ops->epoll_fd(c->reader), events, ARRAY_SIZE(events),
			timeout_ms, sigmask);
	c->control->sleep = WEFT_AWAKE;
}

uint64_t capture_bad(const struct capture *c)
{
	return c->bad;
}

int capture_trace(struct capture *c, uint32_t pid, enum weft_verdict verdict)
{
	uint32_t value = verdict;

	return bpf_map_update_elem(c->procs_fd, &pid, &value, BPF_ANY) ? -errno : 0;
}

int capture_untrace(struct capture *c, uint32_t pid)
{
	return bpf_map_delete_elem(c->procs_fd, &pid) ? -errno : 0;
}

static void slot_set(struct capture *c, uint64_t conn, uint64_t what)
{
	volatile struct weft_want_slot *slot = &c->wants[conn & (WEFT_WANT_SLOTS - 1)];

	if (slot->tag == conn && slot->what == what)
		return;
	/* a reader between the two stores sees the slot of nobody */
	slot->tag = 0;
	atomic_thread_fence(memory_order_release);
	slot->what = what;
	atomic_thread_fence(memory_order_release);
	slot->tag = conn;
}

void capture_want(struct capture *c, uint64_t conn, enum weft_want want)
{
	slot_set(c, conn, want);
}

void capture_want_frames(
	struct capture *c, uint64_t conn, enum weft_direction direction, uint32_t at)
{
	enum weft_want want =
		direction == WEFT_SEND ? WEFT_WANT_FRAMES_SEND : WEFT_WANT_FRAMES_RECV;

	slot_set(c, conn, (uint64_t)at << 32 | want);
}

void capture_want_until(
	struct capture *c, uint64_t conn, enum weft_direction direction, uint32_t until)
{
	enum weft_want want = direction == WEFT_SEND ? WEFT_WANT_UNTIL_SEND : WEFT_WANT_UNTIL_RECV;

	slot_set(c, conn, (uint64_t)until << 32 | want);
}

void capture_want_again(
	struct capture *c, uint64_t conn, enum weft_direction direction, uint32_t at)
{
	enum weft_want want = direction == WEFT_SEND ? WEFT_WANT_AGAIN_SEND : WEFT_WANT_AGAIN_RECV;

	slot_set(c, conn, (uint64_t)at << 32 | want);
}

bool capture_trace_older(struct capture *c, uint32_t pid)
{
	uint32_t verdict;
	bool born = !bpf_map_lookup_elem(c->procs_fd, &pid, &verdict) && verdict == WEFT_UNDECIDED;

	capture_trace(c, pid, born ? WEFT_TRACED : WEFT_LOOKING);
	return !born;
}

void capture_trace_on(struct capture *c, uint32_t pid)
{
	uint32_t verdict;

	if (bpf_map_lookup_elem(c->procs_fd, &pid, &verdict) || verdict != WEFT_LOOKING)
		capture_trace(c, pid, WEFT_TRACED);
}

void capture_looked(struct capture *c, uint32_t pid)
{
	uint32_t traced = WEFT_TRACED;

	bpf_map_update_elem(c->procs_fd, &pid, &traced, BPF_EXIST);
}

void capture_unix_lost(struct capture *c)
{
	__atomic_fetch_add(&c->control->unix_lost, 1, __ATOMIC_RELAXED);
}

void capture_local_clients(struct capture *c, bool wanted)
{
	c->control->local_clients = wanted;
}

void capture_heard(struct capture *c, uint64_t conn)
{
	volatile struct weft_want_slot *slot = &c->wants[conn & (WEFT_WANT_SLOTS - 1)];

	uint32_t want = (uint32_t)slot->what;

	if (slot->tag == conn && (want == WEFT_WANT_AGAIN || want == WEFT_WANT_AGAIN_RECV ||
					 want == WEFT_WANT_AGAIN_SEND))
		slot->what = WEFT_WANT_HEADS;
}

static void sum_counts(const struct capture *c, uint64_t ret_counts[static WEFT_COUNT_MAX])
{
	_free_ uint64_t *v = calloc((size_t)c->cpus, WEFT_COUNT_MAX * sizeof(*v));

	memset(ret_counts, 0, WEFT_COUNT_MAX * sizeof(*ret_counts));
	for (uint32_t slot = 0; v && bpf_map_lookup_elem(c->counts_fd, &slot, v) == 0; slot++)
		for (int cpu = 0; cpu < c->cpus; cpu++)
			for (unsigned i = 0; i < WEFT_COUNT_MAX; i++)
				ret_counts[i] += v[(size_t)cpu * WEFT_COUNT_MAX + i];
}

uint64_t capture_lost(const struct capture *c)
{
	return c->control->lost;
}

uint64_t capture_life_lost(const struct capture *c)
{
	uint64_t v[WEFT_COUNT_MAX];

	sum_counts(c, v);
	return v[WEFT_COUNT_LIFE_LOST];
}

void capture_shed(struct capture *c, double share)
{
	c->control->shed = share >= 1 ? UINT32_MAX : (uint32_t)(share * (UINT32_MAX + 1.0));
}

uint64_t capture_run_ns(const struct capture *c)
{
	struct bpf_program *prog;
	uint64_t total = 0;

	bpf_object__for_each_program(prog, c->object) total +=
		program_figure(prog, offsetof(struct bpf_prog_info, run_time_ns));
	return total;
}

uint64_t capture_missed(struct capture *c)
{
	uint64_t missed = missed_now(c), again;

	if (missed <= c->missed)
		return c->missed;
	/* a twin may just have been about to begin */
	again = missed_now(c);
	if (again < missed)
		missed = again;
	if (missed > c->missed)
		c->missed = missed;
	return c->missed;
}

void capture_counts(
	struct capture *c, uint64_t ret_counts[static WEFT_COUNT_MAX], uint64_t *ret_missed)
{
	sum_counts(c, ret_counts);
	*ret_missed = capture_missed(c);
}

uint64_t capture_ring_used(const struct capture *c)
{
	uint64_t kept = c->control->ends_kept - c->control->ends_taken;

	return c->reader_ops->used(c->reader) + kept * sizeof(struct weft_shut);
}

uint64_t capture_map_bytes(const struct capture *c)
{
	struct bpf_map *map;
	uint64_t total = 0;

	bpf_object__for_each_map(map, c->object)
	{
		_fclose_ FILE *f = NULL;
		char path[64], line[128];
		unsigned long long bytes;

		if (bpf_map__fd(map) < 0)
			continue;
		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", bpf_map__fd(map));
		f = fopen(path, "re");
		while (f && fgets(line, sizeof(line), f))
			if (sscanf(line, "memlock: %llu", &bytes) == 1)
				total += bytes;
	}
	return total;
}

unsigned capture_programs(const struct capture *c)
{
	return c->link_count;
}
