/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring_replay FILE SPEED PASSES [flags of weft run]: the agent as it is, on records that
 * ring_record wrote in place of a kernel. SPEED is that of the recording's clock, 0 for as fast as
 * the agent reads. What the ring buffer has no room for is lost, as it would be. When all passes
 * are read the agent is told to stop.
 *
 * This file is the capture stage: it defines capture.h's functions, so that the library's own are
 * not linked.
 */
#include "agent.h"
#include "capture/capture.h"
#include "config.h"
#include "core/cleanup.h"
#include "core/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define BATCH_BYTES                                                                                \
	(64u << 10) /* read at once without a pace: the backlog that wakes the agent               \
		     */
#define PASS_GAP_NS NS_PER_MS

struct capture {
	capture_handler handler;
	void *ctx;
	size_t ring_bytes;
	uint64_t start_ns, read_ns; /* of the replay; of the latest record */
	uint64_t emitted, lost;
	unsigned pass;
	bool ended;
	size_t at; /* in the recording */
	char buffer[sizeof(struct weft_data) + WEFT_CAPTURE_BYTES];
};

static struct {
	const char *data;
	size_t size;
	uint64_t first_ns, span_ns, conns;
	double speed;
	unsigned passes;
} tape;

static const struct weft_record *record_at(size_t at)
{
	return (const struct weft_record *)(tape.data + at);
}

static bool has_conn(const struct weft_record *rec)
{
	return rec->type == WEFT_RECORD_DATA || rec->type == WEFT_RECORD_OPEN ||
	       rec->type == WEFT_RECORD_SHUT || rec->type == WEFT_RECORD_CLOSE;
}

/* Every struct with a connection has its number right behind the head. */
static uint64_t *conn_of(void *rec)
{
	return (uint64_t *)((char *)rec + sizeof(struct weft_record));
}

/* When the record at hand is due; its time in the replay. */
static uint64_t due_ns(const struct capture *c, const struct weft_record *rec)
{
	uint64_t into = (rec->time_ns - tape.first_ns) + c->pass * (tape.span_ns + PASS_GAP_NS);

	return c->start_ns + (tape.speed > 0 ? (uint64_t)((double)into / tape.speed) : into);
}

static void hand_over(struct capture *c, const struct weft_record *rec)
{
	struct weft_record *copy = (struct weft_record *)c->buffer;

	memcpy(copy, rec, rec->size);
	copy->time_ns = due_ns(c, rec);
	if (has_conn(rec))
		*conn_of(copy) += c->pass * tape.conns;
	c->emitted++;
	c->handler(c->ctx, copy, copy->size);
}

int capture_read(struct capture *c, bool all)
{
	uint64_t now = clock_monotonic();
	size_t room = tape.speed > 0 ? c->ring_bytes : BATCH_BYTES;
	int n = 0;

	(void)all;
	while (c->pass < tape.passes) {
		const struct weft_record *rec = record_at(c->at);

		if (tape.speed > 0 ? due_ns(c, rec) > now : room < rec->size)
			break;
		if (room < rec->size) {
			c->lost++;
		} else {
			room -= rec->size;
			hand_over(c, rec);
			n++;
		}
		c->at += (rec->size + 7u) & ~7u;
		if (c->at >= tape.size) {
			c->at = 0;
			c->pass++;
		}
	}
	if (c->pass == tape.passes && !n && !c->ended) {
		c->ended = true;
		fprintf(stderr, "read in %.3f s\n",
			(double)(c->read_ns - c->start_ns) / NS_PER_SEC);
		raise(SIGTERM);
	}
	if (n)
		c->read_ns = clock_monotonic();
	return n;
}

void capture_wait(struct capture *c, bool idle, int timeout_ms, const sigset_t *sigmask)
{
	struct timespec wait = {.tv_nsec = (long)timeout_ms * (long)NS_PER_MS};

	if (idle)
		wait = (struct timespec){.tv_nsec = (long)NS_PER_MS};
	if (tape.speed == 0 && c->pass < tape.passes)
		wait.tv_nsec = 0;
	ppoll(NULL, 0, &wait, sigmask);
}

int capture_open(const struct capture_options *options, enum hooks hooks, enum transport transport,
	unsigned twins, capture_handler handler, void *ctx, struct capture **ret_capture,
	char ret_why[static 256])
{
	struct capture *c = calloc(1, sizeof(*c));

	(void)hooks;
	(void)transport;
	(void)twins;
	ret_why[0] = '\0';
	if (!c)
		return -ENOMEM;
	c->handler = handler;
	c->ctx = ctx;
	c->ring_bytes = options->ring_bytes;
	/* the agent makes its tables meanwhile */
	c->start_ns = clock_monotonic() + (tape.speed > 0 ? NS_PER_SEC / 2 : 0);
	*ret_capture = c;
	return 0;
}

void capture_close(struct capture *c)
{
	free(c);
}

void capture_counts(
	struct capture *c, uint64_t ret_counts[static WEFT_COUNT_MAX], uint64_t *ret_missed)
{
	memset(ret_counts, 0, WEFT_COUNT_MAX * sizeof(*ret_counts));
	ret_counts[WEFT_COUNT_SEEN] = c->emitted + c->lost;
	ret_counts[WEFT_COUNT_EMITTED] = c->emitted;
	ret_counts[WEFT_COUNT_LOST_FULL] = c->lost;
	*ret_missed = 0;
}

uint64_t capture_lost(const struct capture *c)
{
	return c->lost;
}

/* What there is no kernel for. */

void capture_detach(struct capture *c)
{
	(void)c;
}

int capture_probe(struct capture *c, const char *path, uint32_t number,
	const struct tls_symbols *symbols, struct probes **ret_probes)
{
	(void)c, (void)path, (void)number, (void)symbols, (void)ret_probes;
	return -ENOTSUP;
}

bool capture_probes_multi(struct capture *c)
{
	(void)c;
	return true;
}

uint64_t capture_bad(const struct capture *c)
{
	(void)c;
	return 0;
}

int capture_trace(struct capture *c, uint32_t pid, enum weft_verdict verdict)
{
	(void)c, (void)pid, (void)verdict;
	return 0;
}

int capture_untrace(struct capture *c, uint32_t pid)
{
	(void)c, (void)pid;
	return 0;
}

void capture_local_clients(struct capture *c, bool wanted)
{
	(void)c, (void)wanted;
}

void capture_want(struct capture *c, uint64_t conn, enum weft_want want)
{
	(void)c, (void)conn, (void)want;
}

void capture_want_frames(
	struct capture *capture, uint64_t conn, enum weft_direction direction, uint32_t at)
{
	(void)capture;
	(void)conn;
	(void)direction;
	(void)at;
}

void capture_want_until(
	struct capture *c, uint64_t conn, enum weft_direction direction, uint32_t until)
{
	(void)c, (void)conn, (void)direction, (void)until;
}

void capture_want_again(
	struct capture *c, uint64_t conn, enum weft_direction direction, uint32_t at)
{
	(void)c;
	(void)conn;
	(void)direction;
	(void)at;
}

bool capture_trace_older(struct capture *c, uint32_t pid)
{
	(void)c;
	(void)pid;
	return false;
}

void capture_trace_on(struct capture *c, uint32_t pid)
{
	(void)c;
	(void)pid;
}

void capture_looked(struct capture *c, uint32_t pid)
{
	(void)c;
	(void)pid;
}

void capture_unix_lost(struct capture *c)
{
	(void)c;
}

void capture_recount(struct capture *c)
{
	(void)c;
}

void capture_heard(struct capture *c, uint64_t conn)
{
	(void)c, (void)conn;
}

void capture_shed(struct capture *c, double share)
{
	(void)c, (void)share;
}

uint64_t capture_run_ns(const struct capture *c)
{
	(void)c;
	return 0;
}

uint64_t capture_missed(struct capture *c)
{
	(void)c;
	return 0;
}

uint64_t capture_life_lost(const struct capture *c)
{
	(void)c;
	return 0;
}

uint64_t capture_ring_used(const struct capture *c)
{
	(void)c;
	return 0;
}

uint64_t capture_map_bytes(const struct capture *c)
{
	(void)c;
	return 0;
}

unsigned capture_programs(const struct capture *c)
{
	(void)c;
	return 0;
}

/* Looks through the recording: its length, its processes (into rules), its connections. */
static int tape_load(const char *path, struct rules *rules)
{
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t last_ns = 0;
	struct stat st;
	void *at;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	tape.data = at;
	tape.size = (size_t)st.st_size;
	tape.first_ns = record_at(0)->time_ns;
	for (size_t i = 0; i < tape.size;) {
		const struct weft_record *rec = record_at(i);
		unsigned n = 0;

		if (rec->size < sizeof(*rec) || rec->size > tape.size - i)
			return -EBADMSG;
		if (rec->time_ns < tape.first_ns)
			tape.first_ns = rec->time_ns;
		if (rec->time_ns > last_ns)
			last_ns = rec->time_ns;
		if (has_conn(rec) && *conn_of((void *)rec) >= tape.conns)
			tape.conns = *conn_of((void *)rec) + 1;
		while (n < rules->n && rules->v[n].number != rec->pid)
			n++;
		if (n == rules->n && n < RULES_MAX)
			rules->v[rules->n++] = (struct rule){.kind = RULE_PID, .number = rec->pid};
		i += (rec->size + 7u) & ~7u;
	}
	tape.span_ns = last_ns - tape.first_ns;
	return 0;
}

int main(int argc, char **argv)
{
	struct config *config = calloc(1, sizeof(*config));
	struct config_errors *errors = calloc(1, sizeof(*errors));
	int err;

	if (argc < 4 || !config || !errors) {
		fprintf(stderr, "usage: ring_replay FILE SPEED PASSES [flags of weft run]\n");
		return 2;
	}
	tape.speed = strtod(argv[2], NULL);
	tape.passes = (unsigned)strtoul(argv[3], NULL, 10);
	if (config_load(argc - 4, argv + 4, config, errors)) {
		for (unsigned i = 0; i < errors->n; i++)
			fprintf(stderr, "ring_replay: %s\n", errors->text[i]);
		return 2;
	}
	config->capture.rules.n = 0;
	err = tape_load(argv[1], &config->capture.rules);
	if (err) {
		fprintf(stderr, "ring_replay: %s: %s\n", argv[1], strerror(-err));
		return 1;
	}
	return agent_run(config, argc - 4, argv + 4);
}
