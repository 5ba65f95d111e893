/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/tls.h"

#include "capture/privileges.h"
#include "capture/proc_files.h"
#include "capture/tls_files.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/table.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define QUEUE         2048
#define AGE_NS        (5 * NS_PER_SEC)
#define SWEEP_NS      (30 * NS_PER_SEC) /* between two looks for processes whose end was not told */
#define LEAVE_SECONDS 2 /* that the thread is waited for at the end */
#define AGAIN_NS      (1 * NS_PER_SEC) /* from one look to another because TLS was used, at least */

/* A program maps its libraries a moment after it was executed, or when it first needs them. */
static const uint64_t LOOKS_NS[] = {2 * NS_PER_MS, 10 * NS_PER_MS, 50 * NS_PER_MS, 500 * NS_PER_MS,
	3 * NS_PER_SEC, 15 * NS_PER_SEC};

enum what { BEGAN, USED, ENDED };

struct request {
	uint32_t pid;
	enum what what;
};

/* A process that is traced. */
struct user {
	uint32_t pid; /* 0: free */
	unsigned looks; /* of LOOKS_NS that are done */
	uint64_t since_ns, looked_ns;
	struct tls_mapped mapped;
};

struct tls {
	struct tls_files *files; /* of the thread, as are the next */
	struct user *users;
	unsigned capacity;
	uint64_t aged_ns, swept_ns;
	struct capture *capture;

	pthread_t thread;
	bool started;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t wake;
	bool stop;
	struct request queue[QUEUE];
	unsigned first, n;
	struct table by_pid; /* index into users; changed by the thread alone */
	uint8_t *states; /* enum tls_state, by index */
	struct tls_stats stats;
};

const char *tls_state_text(enum tls_state state)
{
	switch (state) {
	case TLS_PROBED:
		return NULL;
	case TLS_JAVA:
		return "TLS of Java's own (JSSE), which cannot be read";
	case TLS_GO:
		return "TLS of Go's own (crypto/tls), in a program older than Go 1.17 or without "
		       "its function table";
	case TLS_HIDDEN:
		return "TLS of a library, maybe, whose file was deleted: to look at it takes "
		       "CAP_CHECKPOINT_RESTORE";
	case TLS_RUST:
		return "TLS of a program written in Rust: rustls, most likely, which cannot be "
		       "read";
	case TLS_REFUSED:
		return "TLS of a library that could not be probed: see the log";
	case TLS_NOT_LOOKED:
	case TLS_NO_LIBRARY:
		break;
	}
	return "TLS of a library that weft does not know or that has no symbols (BoringSSL, say), "
	       "or that it only passes on";
}

static struct user *find(struct tls *t, uint32_t pid)
{
	uint32_t i = table_find(&t->by_pid, pid);

	return i == TABLE_NONE ? NULL : &t->users[i];
}

static struct user *add(struct tls *t, uint32_t pid)
{
	for (unsigned i = 0; i < t->capacity; i++) {
		if (t->users[i].pid)
			continue;
		t->users[i] = (struct user){.pid = pid};
		t->states[i] = TLS_NOT_LOOKED;
		table_put(&t->by_pid, pid, i);
		return &t->users[i];
	}
	t->stats.dropped++;
	return NULL;
}

/* These run in the thread. The lock is held, but not while files are read. */

static void look(struct tls *t, struct user *u, uint64_t now)
{
	unsigned probed;
	uint64_t refused;

	pthread_mutex_unlock(&t->lock);
	tls_files_look(t->files, u->pid, &u->mapped);
	tls_files_count(t->files, &probed, &refused);
	pthread_mutex_lock(&t->lock);
	u->looked_ns = now;
	t->states[u - t->users] = (uint8_t)u->mapped.state;
	t->stats.libraries = probed;
	t->stats.refused = refused;
}

static void drop(struct tls *t, struct user *u, uint64_t now)
{
	tls_files_give(t->files, &u->mapped, now);
	table_remove(&t->by_pid, u->pid);
	u->pid = 0;
}

static void handle(struct tls *t, const struct request *r, uint64_t now)
{
	struct user *u = find(t, r->pid);

	switch (r->what) {
	case BEGAN:
		if (u)
			tls_files_give(t->files, &u->mapped, now);
		else
			u = add(t, r->pid);
		if (!u)
			return;
		u->since_ns = now;
		u->looks = 0;
		look(t, u, now); /* one that runs for long has all it needs */
		return;
	case USED:
		if (u && now - u->looked_ns >= AGAIN_NS)
			look(t, u, now);
		return;
	case ENDED:
		if (u)
			drop(t, u, now);
		return;
	}
}

/* When there is something to do again. */
static uint64_t look_due(struct tls *t, uint64_t now)
{
	uint64_t next = now + AGE_NS;

	for (unsigned i = 0; i < t->capacity; i++) {
		struct user *u = &t->users[i];
		uint64_t due;

		if (!u->pid || u->looks == ARRAY_SIZE(LOOKS_NS))
			continue;
		due = u->since_ns + LOOKS_NS[u->looks];
		if (due <= now) {
			u->looks++;
			look(t, u, now);
			due = now;
		}
		if (due < next)
			next = due;
	}
	return next;
}

static void tidy(struct tls *t, uint64_t now)
{
	if (now - t->swept_ns > SWEEP_NS) {
		t->swept_ns = now;
		for (unsigned i = 0; i < t->capacity; i++)
			if (t->users[i].pid && !proc_lives(t->users[i].pid))
				drop(t, &t->users[i], now);
	}
	if (now - t->aged_ns > AGE_NS) {
		t->aged_ns = now;
		pthread_mutex_unlock(&t->lock);
		tls_files_age(t->files, now);
		pthread_mutex_lock(&t->lock);
	}
}

static void *run(void *arg)
{
	struct tls *t = arg;

	privileges_keep_probing(t->capture);
	pthread_mutex_lock(&t->lock);
	while (!t->stop) {
		uint64_t now = clock_monotonic(), next;
		struct timespec until;

		if (t->n) {
			struct request r = t->queue[t->first];

			t->first = (t->first + 1) % QUEUE;
			t->n--;
			handle(t, &r, now);
			continue;
		}
		tidy(t, now);
		next = look_due(t, now);
		until = (struct timespec){.tv_sec = (time_t)(next / NS_PER_SEC),
			.tv_nsec = (long)(next % NS_PER_SEC)};
		if (!t->n && !t->stop)
			pthread_cond_timedwait(&t->wake, &t->lock, &until);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

int tls_new(struct capture *capture, unsigned max_processes, struct tls **ret_tls)
{
	struct tls *t = calloc(1, sizeof(*t));
	pthread_condattr_t monotonic;
	int err;

	if (!t)
		return -ENOMEM;
	t->capture = capture;
	t->capacity = max_processes;
	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&t->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	t->users = calloc(max_processes, sizeof(t->users[0]));
	t->states = calloc(max_processes, 1);
	err = !t->users || !t->states ? -ENOMEM : table_init(&t->by_pid, max_processes);
	if (!err)
		err = tls_files_new(capture, &t->files);
	if (!err)
		err = -pthread_create(&t->thread, NULL, run, t);
	if (err) {
		tls_free(t);
		return err;
	}
	pthread_setname_np(t->thread, "weft-tls");
	t->started = true;
	*ret_tls = t;
	return 0;
}

bool tls_stop(struct tls *t)
{
	struct timespec until;

	if (!t || !t->started)
		return true;
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += LEAVE_SECONDS;
	if (pthread_timedjoin_np(t->thread, NULL, &until))
		return false;
	t->started = false;
	tls_files_free(t->files);
	t->files = NULL;
	return true;
}

void tls_free(struct tls *t)
{
	if (!t || t->started)
		return;
	tls_files_free(t->files);
	table_release(&t->by_pid);
	pthread_cond_destroy(&t->wake);
	pthread_mutex_destroy(&t->lock);
	free(t->users);
	free(t->states);
	free(t);
}

static void ask(struct tls *t, uint32_t pid, enum what what)
{
	pthread_mutex_lock(&t->lock);
	if (t->n == QUEUE) {
		t->stats.dropped++;
	} else {
		t->queue[(t->first + t->n++) % QUEUE] = (struct request){pid, what};
		pthread_cond_signal(&t->wake);
	}
	pthread_mutex_unlock(&t->lock);
}

void tls_began(struct tls *t, uint32_t pid)
{
	ask(t, pid, BEGAN);
}

void tls_used(struct tls *t, uint32_t pid)
{
	ask(t, pid, USED);
}

void tls_ended(struct tls *t, uint32_t pid)
{
	ask(t, pid, ENDED);
}

enum tls_state tls_state(struct tls *t, uint32_t pid)
{
	enum tls_state state = TLS_NOT_LOOKED;
	uint32_t i;

	pthread_mutex_lock(&t->lock);
	i = table_find(&t->by_pid, pid);
	if (i != TABLE_NONE)
		state = t->states[i];
	pthread_mutex_unlock(&t->lock);
	return state;
}

void tls_stats(struct tls *t, struct tls_stats *ret)
{
	pthread_mutex_lock(&t->lock);
	*ret = t->stats;
	pthread_mutex_unlock(&t->lock);
}
