/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/capture.h"

#include "capture/hookset.h"
#include "capture/kept.h"
#include "capture/probes.h"
#include "capture/programs.h"
#include "capture/reader.h"
#include "capture/sockets.h"
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

#define LOOK_MS 5
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
	struct programs programs;
	struct reader *reader;
	int procs_fd, counts_fd;
	uint32_t max_conns; /* whose state is kept in their sockets */
	volatile struct weft_control *control;
	volatile struct weft_want_slot *wants;
	capture_handler handler;
	void *ctx;
	uint64_t bad;
	struct kept kept;
	int cpus;
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

static int map_for_each_cpu(struct capture *c, const char *name)
{
	struct bpf_map *map = bpf_object__find_map_by_name(c->object, name);
	unsigned cpus = cpus_present() ?: (unsigned)c->cpus;

	return map ? bpf_map__set_max_entries(map, bpf_map__max_entries(map) * cpus) : -ENOENT;
}

static int map_leave_out(struct capture *c, const char *name)
{
	struct bpf_map *map = bpf_object__find_map_by_name(c->object, name);

	return map ? bpf_map__set_autocreate(map, false) : -ENOENT;
}

/* Where records are put together, and where they are counted: one more (bpf/maps.h). */
static int map_for_each_slot(struct capture *c)
{
	const struct bpf_map *map = bpf_object__find_map_by_name(c->object, "scratches");
	unsigned twins = c->programs.twins, slots;
	int err;

	if (!map)
		return -ENOENT;
	slots = twins ? bpf_map__max_entries(map) * (twins + 1) : WEFT_SLOTS;
	err = map_resize(c, "scratches", slots);
	return err ? err : map_resize(c, "counts", slots + 1);
}

static void *map_memory(const struct capture *c, const char *name, size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd(c, name), 0);

	return at == MAP_FAILED ? NULL : at;
}

static int set_up(
	struct capture *c, const struct capture_options *options, char ret_why[static 256])
{
	bool perf = c->reader_ops == &READER_PERF;
	struct hookset_knobs knobs = {
		.self_tgid = (uint32_t)getpid(),
		.wake_bytes = WAKE_BYTES,
		.max_conns = c->max_conns,
		.use_perf = perf,
		.twins = c->programs.twins,
	};
	int err = c->set->open(&knobs, &c->skeleton, &c->object);

	if (err) {
		snprintf(ret_why, 256, "cannot open the %s programs: %s", c->set->name,
			strerror(-err));
		return err;
	}
	c->programs.object = c->object;
	programs_choose(&c->programs);
	err = map_for_each_slot(c);
	if (!err)
		err = map_for_each_cpu(c, "scratches");
	if (!err)
		err = map_for_each_cpu(c, "marks");
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
	c->programs.control = c->control;
	return programs_attach(&c->programs, ret_why);
}

int capture_open(const struct capture_options *options, enum hooks hooks, enum transport transport,
	unsigned twins, capture_handler handler, void *ctx, struct capture **ret_capture,
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
	c->programs.twins = twins;
	c->handler = handler;
	c->ctx = ctx;
	c->max_conns = SOCKETS_EACH * options->max_connections;
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
	programs_detach(&c->programs);
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

void capture_recount(struct capture *c)
{
	int64_t counted = (int64_t)c->control->conns, now;
	uint64_t allocated;

	if (c->set->conns_by_address || counted <= c->max_conns / 2)
		return;
	allocated = sockets_allocated();
	now = (int64_t)
		      c->control->conns; /* what has ended meanwhile is not to be taken off twice */
	if (now < counted)
		counted = now;
	if (counted > 0)
		__atomic_fetch_sub(&c->control->conns,
			sockets_overcounted((uint64_t)counted, allocated, c->max_conns),
			__ATOMIC_RELAXED);
}

uint64_t capture_run_ns(const struct capture *c)
{
	return programs_run_ns(&c->programs);
}

uint64_t capture_missed(struct capture *c)
{
	return programs_missed(&c->programs);
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
	return c->programs.n;
}
