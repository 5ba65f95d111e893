/* SPDX-License-Identifier: Apache-2.0 */
#include "export/export.h"

#include "core/cleanup.h"
#include "core/clock.h"
#include "core/log.h"
#include "export/exporter.h"
#include "export/queue.h"
#include "span/span.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define EXPORTERS      EXPORT_MARKS
#define BACKOFF_MIN_NS (500 * NS_PER_MS)
#define BACKOFF_MAX_NS (30 * NS_PER_SEC)
#define ASKED_MAX_NS   (300 * NS_PER_SEC)
#define LOG_EVERY_NS   (60 * NS_PER_SEC)

static_assert(SPAN_PACK_MAX <= QUEUE_RECORD, "a packed span fits a record");

/* One exporter with its queue and thread. */
struct line {
	const struct exporter *ops;
	void *self;
	struct queue *queue;
	pthread_t thread;
	bool started;
	_Atomic uint64_t deadline_ns;
	unsigned batch_spans;
	uint64_t batch_delay_ns;
	uint64_t retry_max_ns;

	_Atomic uint64_t offered, dropped; /* written by the pipeline thread */
	/* written by the line's own thread */
	_Atomic uint64_t sent, rejected, failed, requests, retries, bytes, last_ok_ns;
	_Atomic bool able;
	pthread_mutex_t error_lock;
	char error[160];

	/* the thread's own */
	uint64_t backoff_ns;
	unsigned seed;
	uint64_t dropped_logged;
	struct log_limit limit_retry, limit_failed, limit_rejected, limit_dropped;
	struct slice batch[]; /* batch_spans */
};

struct export
{
	unsigned n;
	struct line *lines[EXPORTERS];
	uint64_t scratch[SPAN_PACK_MAX / 8];
};

static void add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
		memory_order_relaxed);
}

static uint64_t get(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static void line_log(
	struct line *l, struct log_limit *limit, const char *msg, const char *error, uint64_t spans)
{
	uint64_t held;

	if (!log_limit_pass(limit, LOG_EVERY_NS, &held))
		return;
	log_warn(msg, LOG_STR("exporter", l->ops->name), LOG_STR("target", l->ops->target(l->self)),
		LOG_STR("error", error), LOG_INT("spans", spans), LOG_INT("suppressed", held));
}

static void line_set_error(struct line *l, const char *error)
{
	pthread_mutex_lock(&l->error_lock);
	snprintf(l->error, sizeof(l->error), "%s", error);
	pthread_mutex_unlock(&l->error_lock);
	atomic_store(&l->able, !error[0]);
}

static void line_worked(struct line *l)
{
	atomic_store_explicit(&l->last_ok_ns, clock_monotonic(), memory_order_relaxed);
	l->backoff_ns = 0;
	if (atomic_load(&l->able))
		return;
	line_set_error(l, "");
	log_info("export works again", LOG_STR("exporter", l->ops->name),
		LOG_STR("target", l->ops->target(l->self)));
}

static void line_give_up(struct line *l, unsigned n, const char *error)
{
	line_log(l, &l->limit_failed, "spans given up", error, n);
	add(&l->failed, n);
	queue_pop(l->queue, n);
}

/* Exponential backoff with full jitter; what the backend asked for is a lower bound. */
static uint64_t line_backoff(struct line *l, uint64_t asked_ns)
{
	uint64_t next = l->backoff_ns ? l->backoff_ns * 2 : BACKOFF_MIN_NS;

	l->backoff_ns = next < BACKOFF_MAX_NS ? next : BACKOFF_MAX_NS;
	if (asked_ns > ASKED_MAX_NS)
		asked_ns = ASKED_MAX_NS;
	return asked_ns + (uint64_t)((double)rand_r(&l->seed) / RAND_MAX * (double)l->backoff_ns);
}

/* Waits, but not beyond the deadline. A backend that was only down is tried at once when the agent
 * stops; one that asked for patience gets it. */
static void line_sleep(struct line *l, uint64_t ns, bool asked)
{
	bool was_stopping = get(&l->deadline_ns) != UINT64_MAX;
	uint64_t until = clock_monotonic() + ns;

	for (;;) {
		uint64_t now = clock_monotonic(), deadline = get(&l->deadline_ns);
		bool stopping = deadline != UINT64_MAX;
		uint64_t end = until < deadline ? until : deadline;

		if (now >= end || (stopping && !was_stopping && !asked))
			return;
		queue_wait(l->queue, UINT32_MAX - 1, end - now);
	}
}

/* Sends what is at the head of the queue, as often as it takes. */
static void line_send(struct line *l, unsigned n)
{
	uint64_t first_ns = clock_monotonic(), wait_ns;
	struct outcome out;

	for (;;) {
		out = (struct outcome){.taken = n};
		l->ops->send(l->self, l->batch, n, &out);
		add(&l->requests, 1);
		add(&l->bytes, out.bytes);
		if (out.verdict == VERDICT_SENT) {
			line_worked(l);
			if (out.error[0])
				line_log(l, &l->limit_rejected, "spans rejected", out.error,
					out.rejected);
			add(&l->rejected, out.rejected);
			add(&l->sent, out.taken - out.rejected);
			queue_pop(l->queue, out.taken);
			return;
		}
		line_set_error(l, out.error);
		if (out.verdict == VERDICT_FAIL) {
			line_give_up(l, out.taken, out.error);
			return;
		}
		wait_ns = line_backoff(l, out.retry_after_ns);
		if (clock_monotonic() + wait_ns - first_ns > l->retry_max_ns) {
			/* the next batch waits in its place */
			line_give_up(l, out.taken, out.error);
			line_sleep(l, wait_ns, out.retry_after_ns != 0);
			return;
		}
		line_log(l, &l->limit_retry, "export is retried", out.error, out.taken);
		line_sleep(l, wait_ns, out.retry_after_ns != 0);
		if (clock_monotonic() >= get(&l->deadline_ns))
			return;
		add(&l->retries, 1);
	}
}

/* Sleeps for a first span where there is none, else for a batch's worth, but not after until_ns. */
static void line_wait(struct line *l, bool any, uint64_t now, uint64_t until_ns)
{
	uint64_t tick = l->ops->tick ? l->ops->tick(l->self, now) : UINT64_MAX;

	if (tick < until_ns)
		until_ns = tick;
	if (until_ns > now)
		queue_wait(l->queue, any ? l->batch_spans : 1,
			until_ns == UINT64_MAX ? until_ns : until_ns - now);
}

static void line_log_dropped(struct line *l)
{
	uint64_t dropped = get(&l->dropped);

	if (dropped == l->dropped_logged)
		return;
	line_log(l, &l->limit_dropped, "spans dropped", "queue full", dropped - l->dropped_logged);
	l->dropped_logged = dropped;
}

static void *line_run(void *arg)
{
	struct line *l = arg;
	uint64_t due_ns = UINT64_MAX; /* when the first span queued has waited long enough */

	for (;;) {
		uint64_t count = queue_count(l->queue), now = clock_monotonic();
		uint64_t deadline = get(&l->deadline_ns);

		if (now >= deadline || (deadline != UINT64_MAX && !count))
			break;
		if (!count)
			due_ns = UINT64_MAX;
		else if (due_ns == UINT64_MAX)
			due_ns = now + l->batch_delay_ns;
		if (deadline == UINT64_MAX && count < l->batch_spans && now < due_ns) {
			line_wait(l, count != 0, now, due_ns);
			continue;
		}
		due_ns = UINT64_MAX;
		line_send(l, queue_peek(l->queue, l->batch, l->batch_spans));
		line_log_dropped(l);
	}
	if (l->ops->tick)
		l->ops->tick(l->self, UINT64_MAX);
	line_log_dropped(l);
	return NULL;
}

/* Signals are the main thread's; and a reader that went away must be an error, not SIGPIPE. */
static int line_start(struct line *l)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(&l->thread, NULL, line_run, l);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r)
		return r;
	l->started = true;
	pthread_setname_np(l->thread, l->ops->thread);
	return 0;
}

static void line_free(struct line *l)
{
	if (!l)
		return;
	if (l->started) {
		/* not drained: what is queued is given up */
		atomic_store(&l->deadline_ns, 0);
		queue_wake(l->queue);
		pthread_join(l->thread, NULL);
	}
	if (l->self)
		l->ops->free(l->self);
	queue_free(l->queue);
	pthread_mutex_destroy(&l->error_lock);
	free(l);
}

static int line_new(const struct exporter *ops, const struct export_options *options,
	const struct resource_table *resources, struct line **ret_line, const char **ret_why)
{
	struct line *l = calloc(1, sizeof(*l) + options->batch_spans * sizeof(l->batch[0]));
	struct exporter_env env = {.options = options, .resources = resources};
	unsigned delay = options->batch_delay_ms;
	int r;

	if (!l)
		return -ENOMEM;
	if (ops->max_delay_ms && delay > ops->max_delay_ms)
		delay = ops->max_delay_ms;
	l->ops = ops;
	l->batch_spans = options->batch_spans;
	l->batch_delay_ns = delay * NS_PER_MS;
	l->retry_max_ns = options->retry_max_ms * NS_PER_MS;
	l->able = true;
	l->seed = (unsigned)clock_monotonic();
	atomic_store(&l->deadline_ns, UINT64_MAX);
	pthread_mutex_init(&l->error_lock, NULL);
	env.deadline_ns = &l->deadline_ns;
	r = queue_new(options->queue_bytes, &l->queue);
	if (!r)
		r = ops->new (&env, &l->self, ret_why);
	if (!r)
		r = line_start(l);
	if (r) {
		line_free(l);
		return r;
	}
	*ret_line = l;
	return 0;
}

int export_new(const struct export_options *options, const struct resource_table *resources,
	struct export **ret_export, const char **ret_why)
{
	const struct exporter *otlp = options->otlp_traces.protocol == OTLP_GRPC
					      ? &exporter_otlp_grpc
					      : &exporter_otlp_http;
	const struct exporter *wanted[EXPORTERS];
	struct export *e;
	unsigned n = 0;
	int r;

	if (!options->batch_spans || options->batch_bytes < 4 * SPAN_PACK_MAX) {
		*ret_why = "batches must hold at least one span and 32768 bytes";
		return -EINVAL;
	}
	if (options->otlp)
		wanted[n++] = otlp;
	if (options->terminal)
		wanted[n++] = &exporter_terminal;
	if (options->json)
		wanted[n++] = &exporter_json;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	curl_global_init(CURL_GLOBAL_DEFAULT);
	for (unsigned i = 0; i < n; i++) {
		r = line_new(wanted[i], options, resources, &e->lines[i], ret_why);
		if (r) {
			export_free(e);
			return r;
		}
		e->n++;
	}
	*ret_export = e;
	return 0;
}

void export_offer(struct export *e, const struct span *span)
{
	int len = e->n ? span_pack(span, e->scratch, sizeof(e->scratch)) : 0;

	for (unsigned i = 0; i < e->n; i++) {
		struct line *l = e->lines[i];

		add(&l->offered, 1);
		if (len <= 0 || !queue_push(l->queue, e->scratch, (size_t)len))
			add(&l->dropped, 1);
	}
}

void export_mark(const struct export *e, struct export_mark *ret_mark)
{
	for (unsigned i = 0; i < e->n; i++)
		ret_mark->queued[i] = get(&e->lines[i]->offered) - get(&e->lines[i]->dropped);
}

bool export_passed(const struct export *e, const struct export_mark *mark)
{
	for (unsigned i = 0; i < e->n; i++) {
		struct line *l = e->lines[i];

		if (get(&l->sent) + get(&l->rejected) + get(&l->failed) < mark->queued[i])
			return false;
	}
	return true;
}

uint64_t export_drain(struct export *e, uint64_t deadline_ns)
{
	uint64_t given_up = 0;

	for (unsigned i = 0; i < e->n; i++) {
		struct line *l = e->lines[i];

		given_up -= get(&l->failed);
		atomic_store(&l->deadline_ns, deadline_ns);
		queue_wake(l->queue);
	}
	for (unsigned i = 0; i < e->n; i++) {
		struct line *l = e->lines[i];
		uint64_t left;

		if (l->started)
			pthread_join(l->thread, NULL);
		l->started = false;
		left = queue_count(l->queue);
		queue_pop(l->queue, (unsigned)left);
		add(&l->failed, left);
		given_up += get(&l->failed);
	}
	return given_up;
}

void export_free(struct export *e)
{
	if (!e)
		return;
	for (unsigned i = 0; i < e->n; i++)
		line_free(e->lines[i]);
	free(e);
	curl_global_cleanup();
}

unsigned export_count(const struct export *e)
{
	return e->n;
}

void export_stats(const struct export *e, unsigned i, struct export_stats *ret_stats)
{
	struct line *l = e->lines[i];
	struct export_stats s = {
		.name = l->ops->name,
		.sent = get(&l->sent),
		.rejected = get(&l->rejected),
		.failed = get(&l->failed),
		.queued = queue_count(l->queue),
		.queued_bytes = queue_bytes(l->queue),
		.dropped_queue = get(&l->dropped),
		.offered = get(&l->offered),
		.requests = get(&l->requests),
		.retries = get(&l->retries),
		.bytes = get(&l->bytes),
		.last_ok_ns = get(&l->last_ok_ns),
		.able = atomic_load(&l->able),
	};

	pthread_mutex_lock(&l->error_lock);
	memcpy(s.last_error, l->error, sizeof(s.last_error));
	pthread_mutex_unlock(&l->error_lock);
	*ret_stats = s;
}
