/* SPDX-License-Identifier: Apache-2.0 */
#include "enrich/kube_api.h"

#include "core/cleanup.h"
#include "core/clock.h"
#include "core/log.h"
#include "enrich/kube_request.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <string.h>

#define PAGE_LIMIT     500
#define LIMIT_DIVISOR  8 /* where a page was too long */
#define LIST_SECONDS   60
#define WATCH_SECONDS  300 /* and up to as much again */
#define WATCH_GRACE    30 /* after which a watch that should have ended is broken off */
#define WATCH_FAILURES 4 /* in a row, after which it lists anew */
#define WATCH_LEAST_NS NS_PER_SEC /* else, without a word, it did not work */
#define BACKOFF_MS     1000
#define BACKOFF_MAX    60000
#define START_MS       500 /* the agents of all nodes start together */
#define ONCE_MS        (10 * 60 * 1000) /* between two looks at the node */
#define TRY_SECONDS    5
#define KINDS          (KUBE_CLUSTER + 1)

enum step { STEP_WAIT, STEP_LIST, STEP_WATCH, STEP_GET };

/* One kind of object: listed and watched, or got now and then. */
struct follow {
	struct kube_api *api;
	enum kube_kind kind;
	enum step step, next_step;
	uint64_t due_ns; /* of next_step, while it waits */
	unsigned failures; /* in a row */
	unsigned watch_failures; /* the same of watches, whatever was listed between them */
	unsigned expired; /* versions in a row that were gone before anything was told */
	struct kube_page page; /* where the list goes on; its version */
	bool tried; /* there was an answer, or none could be had */
	unsigned limit; /* objects a page: fewer where some are large */
	bool stale; /* the watch told that its version is gone */
	bool heard; /* the watch told something */
	bool missed; /* the watch told something that could not be read */
	int told; /* the status of an error that the watch told; 0: none */
	uint64_t began_ns; /* the request */
	char problem[KUBE_PROBLEM];
	struct kube_request request;
};

struct kube_api {
	const struct kubernetes_options *options;
	struct kube_queue *queue;
	char node[256]; /* in URLs */
	CURLM *multi;
	pthread_t thread;
	bool started;
	_Atomic bool stop;
	unsigned seed;
	struct kube_update *scratch;
	struct follow follow[KINDS];
	pthread_mutex_t lock; /* of the next */
	struct kube_api_stats stats;
};

static int read_pod(const json_t *object, struct kube_update *update)
{
	return kube_pod_read(object, &update->pod);
}

static int read_service(const json_t *object, struct kube_update *update)
{
	return kube_service_read(object, &update->service);
}

static int read_slice(const json_t *object, struct kube_update *update)
{
	return kube_slice_read(object, &update->slice);
}

static int read_node(const json_t *object, struct kube_update *update)
{
	return kube_node_read(object, &update->node);
}

static int read_cluster(const json_t *object, struct kube_update *update)
{
	return kube_uid_read(object, update->cluster_uid);
}

static const struct {
	const char *name;
	const char *path; /* %s: the node's name */
	int (*read)(const json_t *object, struct kube_update *update);
} kinds[KINDS] = {
	[KUBE_PODS] = {"pods", "/api/v1/pods?fieldSelector=spec.nodeName%%3D%s", read_pod},
	[KUBE_SERVICES] = {"services", "/api/v1/services?", read_service},
	[KUBE_SLICES] = {"endpointslices", "/apis/discovery.k8s.io/v1/endpointslices?", read_slice},
	[KUBE_THIS_NODE] = {"nodes", "/api/v1/nodes/%s", read_node},
	[KUBE_CLUSTER] = {"namespaces", "/api/v1/namespaces/kube-system", read_cluster},
};

const char *kube_kind_name(enum kube_kind kind)
{
	return kinds[kind].name;
}

bool kube_api_available(const struct kubernetes_options *options, const char **ret_why)
{
	char url[4096], path[512];

	snprintf(path, sizeof(path), "%s/token", options->credentials);
	if (kube_api_url(options, url, sizeof(url)))
		*ret_why = "KUBERNETES_SERVICE_HOST is not set: not in a pod";
	else if (access(path, R_OK))
		*ret_why = "there is no service account token to read";
	else
		return true;
	return false;
}

static void tell(struct follow *f, const char *problem)
{
	pthread_mutex_lock(&f->api->lock);
	snprintf(f->problem, sizeof(f->problem), "%s", problem);
	pthread_mutex_unlock(&f->api->lock);
}

static void went_well(struct follow *f)
{
	struct kube_api *api = f->api;

	pthread_mutex_lock(&api->lock);
	api->stats.last_ok_ns = clock_monotonic();
	if (!f->watch_failures) { /* else a list between two of them changes nothing */
		f->failures = 0;
		f->problem[0] = '\0';
	}
	pthread_mutex_unlock(&api->lock);
}

static void set_synced(struct follow *f, bool synced)
{
	pthread_mutex_lock(&f->api->lock);
	if (f->kind < KUBE_KINDS)
		f->api->stats.synced[f->kind] = synced;
	pthread_mutex_unlock(&f->api->lock);
}

#define COUNT(api, what, n)                                                                        \
	do {                                                                                       \
		pthread_mutex_lock(&(api)->lock);                                                  \
		(api)->stats.what += (n);                                                          \
		pthread_mutex_unlock(&(api)->lock);                                                \
	} while (0)

static void wait_for(struct follow *f, enum step next, uint64_t ms)
{
	f->tried |= f->step != STEP_WAIT;
	f->step = STEP_WAIT;
	f->next_step = next;
	f->due_ns = clock_monotonic() + ms * NS_PER_MS;
}

static uint64_t random_ms(struct kube_api *api, uint64_t most)
{
	return (uint64_t)rand_r(&api->seed) % (most + 1);
}

/* Twice as long with each of so many in a row, and never the same. */
static uint64_t backoff_ms(struct kube_api *api, unsigned count)
{
	uint64_t most = BACKOFF_MS;

	for (unsigned i = 0; i < count && most < BACKOFF_MAX; i++)
		most *= 2;
	return 100 + random_ms(api, most < BACKOFF_MAX ? most : BACKOFF_MAX);
}

static int put(struct follow *f, enum kube_op op)
{
	f->api->scratch->kind = f->kind;
	f->api->scratch->op = op;
	return kube_queue_put(f->api->queue, f->api->scratch);
}

/* An object that makes no sense is passed over: the others are still good. */
static int put_object(struct follow *f, const json_t *object, enum kube_op op)
{
	if (kinds[f->kind].read(object, f->api->scratch)) {
		COUNT(f->api, errors, 1);
		return 0;
	}
	return put(f, op);
}

static int on_item(void *ctx, const json_t *object)
{
	return put_object(ctx, object, KUBE_PUT);
}

static int on_line(void *ctx, struct slice text)
{
	struct follow *f = ctx;
	struct kube_line line;
	int r = kube_line_read(text, &line);

	if (r < 0) { /* as in a list, of the others' objects nothing is lost */
		COUNT(f->api, errors, 1);
		f->missed = true;
		return r == -ENOMEM ? r : 0;
	}
	COUNT(f->api, events, 1);
	if (line.event == KUBE_ERROR) {
		f->stale = line.code == 410;
		f->told = line.code;
		return -ESTALE;
	}
	f->heard = true;
	f->watch_failures = 0;
	if (line.version[0])
		memcpy(f->page.version, line.version, sizeof(line.version));
	if (line.event != KUBE_BOOKMARK)
		r = put_object(f, line.object, line.event == KUBE_DELETED ? KUBE_GONE : KUBE_PUT);
	json_decref(line.object);
	f->expired = 0;
	went_well(f);
	return r;
}

static int make_path(struct follow *f, enum step step, char *ret, size_t cap)
{
	char base[512];

	snprintf(base, sizeof(base), kinds[f->kind].path, f->api->node);
	if (step == STEP_WATCH)
		return snprintf(ret, cap,
			"%s&watch=1&allowWatchBookmarks=true&timeoutSeconds=%u&resourceVersion=%s",
			base, (unsigned)(WATCH_SECONDS + random_ms(f->api, WATCH_SECONDS)),
			f->page.version);
	if (step == STEP_GET)
		return snprintf(ret, cap, "%s", base);
	return snprintf(ret, cap, "%s&limit=%u%s%s", base, f->limit,
		f->page.next[0] ? "&continue=" : "", f->page.next);
}

static void failed(struct follow *f, enum step next, const char *problem, uint64_t retry_after_ns)
{
	uint64_t wait_ms = backoff_ms(f->api, f->failures++);

	COUNT(f->api, errors, 1);
	/* once: that it goes on is in the status line */
	if (strcmp(problem, f->problem) != 0)
		log_warn("Kubernetes API", LOG_STR("problem", problem));
	tell(f, problem);
	if (retry_after_ns)
		wait_ms = retry_after_ns / NS_PER_MS + random_ms(f->api, BACKOFF_MS);
	wait_for(f, next, wait_ms);
}

static const char *start_problem(int err)
{
	return err == -EACCES ? "the service account's token cannot be read"
			      : "cannot make a request";
}

static void start(struct follow *f, enum step step)
{
	char path[4096];
	unsigned seconds = step == STEP_WATCH ? 2 * WATCH_SECONDS + WATCH_GRACE : LIST_SECONDS;
	int r;

	make_path(f, step, path, sizeof(path));
	r = kube_request_start(&f->request, f->api->options, path, seconds,
		step == STEP_WATCH ? on_line : NULL, f);
	if (r) {
		failed(f, step, start_problem(r), 0);
		return;
	}
	f->step = step;
	f->stale = f->heard = f->missed = false;
	f->told = 0;
	f->began_ns = clock_monotonic();
	COUNT(f->api, requests, 1);
	if (step == STEP_WATCH)
		COUNT(f->api, watches, 1);
	curl_multi_add_handle(f->api->multi, f->request.easy);
}

/* The list is to be made anew. */
static void restart(struct follow *f, uint64_t ms)
{
	f->page.next[0] = '\0';
	wait_for(f, STEP_LIST, ms);
}

static void page_done(struct follow *f)
{
	struct slice body = slice_of(f->request.body, f->request.len);
	struct kube_page page;
	int r = 0;

	if (!f->page.next[0])
		r = put(f, KUBE_LIST_BEGIN);
	if (!r)
		r = kube_page_read(body, on_item, f, &page);
	if (r) {
		f->page.next[0] = '\0';
		failed(f, STEP_LIST, "the list is no Kubernetes list", 0);
		return;
	}
	f->page = page;
	went_well(f);
	if (page.unread) {
		COUNT(f->api, errors, page.unread);
		log_warn(
			"Kubernetes API: objects are too long, or make no sense: they are left out",
			LOG_STR("kind", kinds[f->kind].name), LOG_INT("objects", page.unread));
	}
	if (page.next[0]) {
		wait_for(f, STEP_LIST, 0);
		return;
	}
	put(f, KUBE_LIST_END);
	f->limit = PAGE_LIMIT;
	COUNT(f->api, lists, 1);
	set_synced(f, true);
	wait_for(f, STEP_WATCH, 0);
}

static void get_done(struct follow *f)
{
	struct slice body = slice_of(f->request.body, f->request.len);
	json_t *object = NULL;

	if (kube_parse(body, &object)) {
		failed(f, STEP_GET, "the answer is no Kubernetes object", 0);
		return;
	}
	put_object(f, object, KUBE_PUT);
	json_decref(object);
	went_well(f);
	wait_for(f, STEP_GET, ONCE_MS);
}

/* What a status other than 200 means, for people. */
static void describe(unsigned kind, struct kube_request *request, CURLcode result,
	char ret_text[static KUBE_PROBLEM])
{
	const char *name = kinds[kind].name;
	int status = kube_request_status(request);

	if (status == 403)
		snprintf(ret_text, KUBE_PROBLEM,
			"%s: forbidden; the service account needs to %s them: see its ClusterRole",
			name, kind > KUBE_KINDS ? "get" : "list and watch");
	else if (status == 401)
		snprintf(ret_text, KUBE_PROBLEM, "%s: the service account's token is not accepted",
			name);
	else if (status == 404 && kind == KUBE_THIS_NODE)
		snprintf(ret_text, KUBE_PROBLEM, "%s: none has the name in kubernetes.node", name);
	else if (status != 200 && status)
		snprintf(ret_text, KUBE_PROBLEM, "%s: HTTP status %d", name, status);
	else if (request->too_long)
		snprintf(ret_text, KUBE_PROBLEM, "%s: the answer is too long", name);
	else
		snprintf(ret_text, KUBE_PROBLEM, "%s: %.120s", name,
			request->error[0] ? request->error : curl_easy_strerror(result));
}

static bool is_watched(const struct follow *f)
{
	return f->kind < KUBE_KINDS;
}

/* A watch that ended as it should: its time was up, or the server went. It goes on where it ended.
 */
static bool ended_well(const struct follow *f, int status, CURLcode result)
{
	return f->step == STEP_WATCH && status == 200 && !f->told && result != CURLE_WRITE_ERROR &&
	       (f->heard || clock_monotonic() - f->began_ns > WATCH_LEAST_NS);
}

/* This very request; not whoever asks, nor for now. */
static bool is_refused(int status)
{
	return status >= 400 && status < 500 && status != 401 && status != 403 && status != 408 &&
	       status != 429;
}

static void went_wrong(struct follow *f, int status, CURLcode result)
{
	enum step step = f->step;
	char problem[KUBE_PROBLEM];

	f->watch_failures += step == STEP_WATCH;
	if (f->told)
		snprintf(problem, sizeof(problem), "%s: the watch ended with status %d",
			kinds[f->kind].name, f->told);
	else if (step == STEP_WATCH && status == 200 && result == CURLE_OK)
		snprintf(problem, sizeof(problem), "%s: the watch ends as soon as it begins",
			kinds[f->kind].name);
	else
		describe(f->kind, &f->request, result, problem);
	/* from there it cannot go on: something was lost, or the server does not take it */
	if (step == STEP_WATCH && (f->told || result == CURLE_WRITE_ERROR || is_refused(status) ||
					  f->failures >= WATCH_FAILURES))
		step = STEP_LIST;
	f->page.next[0] = '\0';
	failed(f, step, problem, f->request.retry_after_ns);
}

static void done(struct follow *f, CURLcode result)
{
	int status = kube_request_status(&f->request);
	enum step step = f->step;

	COUNT(f->api, bytes, f->request.bytes);
	COUNT(f->api, errors, f->request.passed_over);
	if (is_watched(f) && (status == 410 || f->stale)) {
		/* at once the first time: the server has a newer list ready */
		restart(f, f->expired ? backoff_ms(f->api, f->expired) : 0);
		f->expired++;
	} else if (status == 200 && result == CURLE_OK && step == STEP_LIST) {
		page_done(f);
	} else if (status == 200 && result == CURLE_OK && step == STEP_GET) {
		get_done(f);
	} else if (ended_well(f, status, result)) {
		f->watch_failures = 0;
		went_well(f);
		/* what could not be read may have been an end */
		wait_for(f, f->missed || f->request.passed_over ? STEP_LIST : STEP_WATCH,
			random_ms(f->api, BACKOFF_MS));
	} else if (step == STEP_LIST && status == 200 && f->request.too_long && f->limit > 1) {
		/* the same page once more, and from it on */
		f->limit = f->limit > LIMIT_DIVISOR ? f->limit / LIMIT_DIVISOR : 1;
		wait_for(f, STEP_LIST, 0);
	} else {
		went_wrong(f, status, result);
	}
}

static void finish(struct kube_api *api)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(api->multi, &left))) {
		CURLcode result = message->data.result;
		CURL *easy = message->easy_handle;

		for (unsigned i = 0; i < KINDS; i++) {
			struct follow *f = &api->follow[i];

			if (f->request.easy != easy)
				continue;
			curl_multi_remove_handle(api->multi, easy);
			done(f, result);
			kube_request_end(&f->request);
		}
	}
}

/* What the names of all pods have in common comes before the pods. */
static bool is_held_back(const struct kube_api *api, unsigned kind)
{
	return kind == KUBE_PODS &&
	       !(api->follow[KUBE_THIS_NODE].tried && api->follow[KUBE_CLUSTER].tried);
}

/* A watch that goes on is well, though it may be a minute until it has anything to tell. */
static void look_at_watch(struct follow *f, uint64_t now_ns)
{
	if (f->step != STEP_WATCH || !f->problem[0] || now_ns - f->began_ns < WATCH_LEAST_NS ||
		kube_request_status(&f->request) != 200)
		return;
	f->watch_failures = 0;
	went_well(f);
}

static int due(struct kube_api *api)
{
	uint64_t now = clock_monotonic(), next = now + NS_PER_SEC;

	for (unsigned i = 0; i < KINDS; i++) {
		struct follow *f = &api->follow[i];

		look_at_watch(f, now);
		if (is_held_back(api, i))
			continue;
		if (f->step == STEP_WAIT && kinds[i].path && f->due_ns <= now)
			start(f, f->next_step);
		if (f->step == STEP_WAIT && kinds[i].path && f->due_ns < next)
			next = f->due_ns;
	}
	return next > now ? (int)((next - now) / NS_PER_MS) + 1 : 1;
}

static void *run(void *arg)
{
	struct kube_api *api = arg;

	while (!api->stop) {
		int wait_ms = due(api), running;

		curl_multi_perform(api->multi, &running);
		finish(api);
		curl_multi_poll(api->multi, NULL, 0, wait_ms, NULL);
	}
	return NULL;
}

/* As it stands in a URL. */
static int escape_node(const char *node, char *ret_node, size_t cap)
{
	char *escaped = curl_easy_escape(NULL, node, 0);

	if (!escaped)
		return -ENOMEM;
	snprintf(ret_node, cap, "%s", escaped);
	curl_free(escaped);
	return 0;
}

static int count_item(void *ctx, const json_t *object)
{
	(void)object;
	++*(unsigned *)ctx;
	return 0;
}

/* One object of a kind is enough. */
static int try_kind(const struct kubernetes_options *options, const char *node, unsigned kind,
	unsigned *ret_objects, char ret_problem[static KUBE_PROBLEM])
{
	char path[1024];
	struct kube_request request;
	struct kube_page page;
	CURLcode result;
	int err;

	snprintf(path, sizeof(path), kinds[kind].path, node);
	if (kind < KUBE_KINDS)
		snprintf(path + strlen(path), sizeof(path) - strlen(path), "&limit=1");
	err = kube_request_start(&request, options, path, TRY_SECONDS, NULL, NULL);
	if (err) {
		snprintf(ret_problem, KUBE_PROBLEM, "%s", start_problem(err));
		return err;
	}
	result = curl_easy_perform(request.easy);
	if (result || kube_request_status(&request) != 200) {
		describe(kind, &request, result, ret_problem);
		err = -EIO;
	} else if (kind < KUBE_KINDS) {
		err = kube_page_read(
			slice_of(request.body, request.len), count_item, ret_objects, &page);
		if (err)
			snprintf(ret_problem, KUBE_PROBLEM, "%s: the list is no Kubernetes list",
				kinds[kind].name);
	}
	kube_request_end(&request);
	return err;
}

int kube_api_try(const struct kubernetes_options *options, const char *node,
	char ret_problem[static KUBE_PROBLEM])
{
	char escaped[256];
	unsigned pods = 0, others = 0;
	int err = escape_node(node, escaped, sizeof(escaped));

	ret_problem[0] = '\0';
	if (err)
		return err;
	curl_global_init(CURL_GLOBAL_DEFAULT);
	for (unsigned i = 0; i < KINDS && !err; i++)
		if (kinds[i].path)
			err = try_kind(
				options, escaped, i, i == KUBE_PODS ? &pods : &others, ret_problem);
	curl_global_cleanup();
	if (!err && !pods) {
		snprintf(ret_problem, KUBE_PROBLEM, "pods: none on node %.100s, not even this one",
			node);
		err = -ENOENT;
	}
	return err;
}

int kube_api_new(const struct kubernetes_options *options, const char *node,
	struct kube_queue *queue, struct kube_api **ret_api)
{
	struct kube_api *api = calloc(1, sizeof(*api));

	if (!api)
		return -ENOMEM;
	curl_global_init(CURL_GLOBAL_DEFAULT);
	pthread_mutex_init(&api->lock, NULL);
	api->options = options;
	api->queue = queue;
	api->seed = (unsigned)clock_monotonic();
	api->scratch = calloc(1, sizeof(*api->scratch));
	api->multi = curl_multi_init();
	if (!api->scratch || !api->multi || escape_node(node, api->node, sizeof(api->node))) {
		kube_api_free(api);
		return -ENOMEM;
	}
	/* what was only got leaves its connection to those that are watched */
	curl_multi_setopt(api->multi, CURLMOPT_MAXCONNECTS, (long)KUBE_KINDS);
	for (unsigned i = 0; i < KINDS; i++) {
		api->follow[i].api = api;
		api->follow[i].kind = (enum kube_kind)i;
		api->follow[i].limit = PAGE_LIMIT;
		wait_for(&api->follow[i], i < KUBE_KINDS ? STEP_LIST : STEP_GET,
			random_ms(api, START_MS));
	}
	if (pthread_create(&api->thread, NULL, run, api)) {
		kube_api_free(api);
		return -ENOMEM;
	}
	api->started = true;
	pthread_setname_np(api->thread, "weft-kube");
	*ret_api = api;
	return 0;
}

void kube_api_free(struct kube_api *api)
{
	if (!api)
		return;
	if (api->started) {
		api->stop = true;
		kube_queue_close(api->queue);
		curl_multi_wakeup(api->multi);
		pthread_join(api->thread, NULL);
	}
	for (unsigned i = 0; i < KINDS; i++)
		if (api->follow[i].request.easy) {
			curl_multi_remove_handle(api->multi, api->follow[i].request.easy);
			kube_request_end(&api->follow[i].request);
		}
	if (api->multi)
		curl_multi_cleanup(api->multi);
	pthread_mutex_destroy(&api->lock);
	free(api->scratch);
	free(api);
	curl_global_cleanup();
}

void kube_api_stats(struct kube_api *api, struct kube_api_stats *ret_stats)
{
	pthread_mutex_lock(&api->lock);
	*ret_stats = api->stats;
	ret_stats->problem[0] = '\0';
	for (unsigned i = 0; i < KINDS && !ret_stats->problem[0]; i++)
		memcpy(ret_stats->problem, api->follow[i].problem, KUBE_PROBLEM);
	pthread_mutex_unlock(&api->lock);
}
