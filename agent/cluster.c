/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include "core/cleanup.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/table.h"
#include "enrich/container.h"
#include "enrich/kube_api.h"
#include "enrich/kube_attrs.h"
#include "enrich/kube_peers.h"
#include "enrich/kube_pods.h"
#include "enrich/places.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

#define QUEUE_MAX   256 /* updates between the threads */
#define TURN_MAX    256 /* updates taken in one turn */
#define BUSY_NS     (200 * NS_PER_MS)
#define SAID_MAX    8192 /* what the log has been told of pods; then it is told again */
#define SAID_MINUTE 600 /* lines about pods in a minute, at most */

struct cluster {
	const struct kubernetes_options *options;
	const struct cluster_ops *ops;
	void *ctx;
	char node_name[256], pod_name[256], namespace[KUBE_LABEL];
	struct kube_node node;
	struct kube_where where;
	char cluster_uid[POD_UID_LEN + 1];
	struct kube_queue *queue;
	struct kube_api *api;
	struct kube_pods *pods;
	struct kube_peers *peers;
	struct places *places;
	struct procs *procs;
	bool rescan; /* what a pod says of itself has changed */
	bool synced; /* the log has it */
	uint64_t ticked_ns, taken_ns;
	struct table said; /* by what was said of which container */
	unsigned said_count; /* in this minute */
	uint64_t said_ns;
};

/* Processes of this pod get its name. */
struct naming {
	struct cluster *cluster;
	uint64_t pod;
};

static void name_one(void *ctx, struct proc *proc)
{
	const struct naming *naming = ctx;

	if (proc->pod == naming->pod)
		places_name(naming->cluster->places, proc);
}

static void on_pod(void *ctx, uint64_t key, bool words)
{
	struct cluster *c = ctx;
	struct naming naming = {c, key};

	c->rescan |= words;
	places_known(c->places, key);
	procs_each(c->procs, name_one, &naming);
	if (procs_replaced(c->procs, key))
		c->ops->reselected(c->ctx);
}

static bool on_wanted(void *ctx, struct proc *proc)
{
	return choice_traced(procs_choose(((struct cluster *)ctx)->procs, proc));
}

static bool on_strict(void *ctx)
{
	return procs_rules_pods(((struct cluster *)ctx)->procs);
}

static void on_lost(void *ctx, uint64_t pod)
{
	on_pod(ctx, pod, false);
}

static void on_release(void *ctx, struct span *span)
{
	struct cluster *c = ctx;

	c->ops->release(c->ctx, span);
}

static const struct places_ops PLACES_OPS = {
	.wanted = on_wanted,
	.strict = on_strict,
	.lost = on_lost,
	.release = on_release,
};

static bool is_on(const struct kubernetes_options *options)
{
	const char *why = "";
	bool available = kube_api_available(options, &why);

	if (options->use == KUBERNETES_ON && !available)
		log_warn("kubernetes.enabled is on, but the API server cannot be asked: pods have "
			 "no "
			 "names",
			LOG_STR("why", why));
	return options->use == KUBERNETES_ON || (options->use == KUBERNETES_AUTO && available);
}

/* In a pod the host's name is the pod's; the namespace comes with the service account. */
static void find_self(struct cluster *c)
{
	_fclose_ FILE *f = NULL;
	char path[512];

	if (gethostname(c->pod_name, sizeof(c->pod_name) - 1))
		c->pod_name[0] = '\0';
	snprintf(c->node_name, sizeof(c->node_name), "%s",
		c->options->node[0] ? c->options->node : c->pod_name);
	snprintf(path, sizeof(path), "%s/namespace", c->options->credentials);
	f = fopen(path, "re");
	if (!f || !fgets(c->namespace, sizeof(c->namespace), f))
		c->namespace[0] = '\0';
	c->namespace[strcspn(c->namespace, "\r\n")] = '\0';
}

static int make(struct cluster *c, struct resource_table *resources, struct counters *counters)
{
	const struct kubernetes_options *o = c->options;
	struct places_env env = {
		.options = o,
		.where = &c->where,
		.resources = resources,
		.counters = counters,
		.own_pod = c->pod_name,
		.own_namespace = c->namespace,
	};
	int err = kube_pods_new(o->max_pods, on_pod, c, &c->pods);

	if (!err)
		err = kube_peers_new(o->max_services, o->max_endpoints, &c->peers);
	env.pods = c->pods;
	if (!err)
		err = places_new(&env, &PLACES_OPS, c, &c->places);
	if (!err)
		err = kube_queue_new(QUEUE_MAX, &c->queue);
	if (!err)
		err = table_init(&c->said, SAID_MAX);
	return err;
}

int cluster_new(const struct kubernetes_options *options, struct resource_table *resources,
	struct counters *counters, const struct cluster_ops *ops, void *ctx,
	struct cluster **ret_cluster)
{
	struct cluster *c;
	int err;

	*ret_cluster = NULL;
	if (!is_on(options))
		return 0;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->options = options;
	c->ops = ops;
	c->ctx = ctx;
	find_self(c);
	c->where.node_name = c->node_name;
	c->where.cluster_name = options->cluster_name;
	c->where.cluster_uid = c->cluster_uid;
	err = make(c, resources, counters);
	if (err) {
		cluster_free(c);
		return err;
	}
	*ret_cluster = c;
	return 0;
}

void cluster_free(struct cluster *c)
{
	if (!c)
		return;
	kube_api_free(c->api);
	kube_queue_free(c->queue);
	places_free(c->places);
	kube_peers_free(c->peers);
	kube_pods_free(c->pods);
	table_release(&c->said);
	free(c);
}

const char *cluster_node(const struct cluster *c)
{
	return c->node_name;
}

void cluster_follow(struct cluster *c, struct procs *procs)
{
	const char *why;
	int err;

	c->procs = procs;
	if (!kube_api_available(c->options, &why))
		return;
	err = kube_api_new(c->options, c->node_name, c->queue, &c->api);
	if (err)
		log_error("cannot follow the API server: pods have no names",
			LOG_STR("why", strerror(-err)));
}

void cluster_place(struct cluster *c, struct proc *proc, struct proc_place *ret_place)
{
	places_find(c->places, proc, ret_place);
}

void cluster_describe(struct cluster *c, struct proc *proc, struct process_attrs *attrs)
{
	places_describe(c->places, proc, attrs);
}

/* Whether the log is to have this line: once of each container, and not too many in a minute. */
static bool is_news(struct cluster *c, uint64_t key)
{
	uint64_t now = clock_monotonic();

	if (table_find(&c->said, key) != TABLE_NONE)
		return false;
	if (now - c->said_ns >= 60 * NS_PER_SEC) {
		c->said_ns = now;
		c->said_count = 0;
	}
	if (c->said_count++ >= SAID_MINUTE)
		return false;
	if (table_put(&c->said, key, 1)) {
		table_release(&c->said);
		if (table_init(&c->said, SAID_MAX) == 0)
			table_put(&c->said, key, 1);
	}
	return true;
}

static uint64_t said_key(const struct proc *proc, unsigned what)
{
	return XXH64(proc->cgroup, strlen(proc->cgroup), what);
}

static void say(struct cluster *c, const struct proc *proc, const char *line, const char *why,
	enum log_level level)
{
	struct proc copy = *proc;
	struct proc_place at;
	struct log_field fields[] = {
		LOG_STR("namespace", "?"),
		LOG_STR("pod", "?"),
		LOG_STR("container", "?"),
		LOG_STR("exe", proc->exe),
		LOG_STR("why", why),
	};

	places_find(c->places, &copy, &at);
	if (at.place == PLACE_POD) {
		fields[0] = LOG_STR("namespace", at.pod.namespace);
		fields[1] = LOG_STR("pod", at.pod.name);
		fields[2] = LOG_STR("container", at.pod.container ? at.pod.container : "?");
	}
	log_event(level, line, fields, ARRAY_SIZE(fields));
}

void cluster_decided(struct cluster *c, const struct proc *proc)
{
	bool traced = choice_traced(proc->choice);

	places_decided(c->places, proc);
	/* of the host's processes and of pods that are not known yet there is nothing to say */
	if (!proc->pod || proc->choice == CHOICE_WAITS || !is_news(c, said_key(proc, proc->choice)))
		return;
	say(c, proc, traced ? "pod is traced" : "pod is not traced", choice_text(proc->choice),
		LOG_INFO);
}

void cluster_reselect(struct cluster *c)
{
	places_reselect(c->places);
}

void cluster_hidden(struct cluster *c, const struct proc *proc)
{
	if (proc->pod && is_news(c, said_key(proc, UINT16_MAX)))
		say(c, proc, "pod serves connections that are not understood",
			"encrypted, or of a protocol that weft does not know", LOG_WARN);
}

bool cluster_unread(struct cluster *c, const struct proc *proc, const char *why)
{
	if (!proc->pod)
		return false;
	if (is_news(c, said_key(proc, UINT16_MAX - 1)))
		say(c, proc, "pod uses TLS that is not traced", why, LOG_WARN);
	return true;
}

bool cluster_is_probe(const struct cluster *c, const struct exchange *ex)
{
	static const struct slice KUBELET = {"kube-probe/", 11};

	/* any pod could call itself so: the kubelet is none */
	return ex->role == ROLE_SERVER && !c->options->trace_probes &&
	       slice_starts(ex->http.user_agent, KUBELET) &&
	       !kube_pods_have(c->pods, ex->ends->remote_addr);
}

void cluster_name_peer(const struct cluster *c, const struct exchange *ex, struct span *span)
{
	struct kube_peer peer;

	if (ex->role != ROLE_CLIENT || ex->ends->path ||
		!kube_peers_find(c->peers, ex->ends->remote_addr, ex->ends->remote_port, &peer))
		return;
	span_add_str(span, SLICE("service.peer.name"), peer.name);
	span_add_str(span, SLICE("service.peer.namespace"), peer.namespace);
}

bool cluster_settle(struct cluster *c, struct span *span)
{
	return places_settle(c->places, span);
}

static void take_pod(struct cluster *c, const struct kube_update *u, uint64_t now_ns)
{
	switch (u->op) {
	case KUBE_PUT:
		kube_pods_put(c->pods, &u->pod);
		break;
	case KUBE_GONE:
		kube_pods_gone(c->pods, u->pod.uid, now_ns);
		break;
	case KUBE_LIST_BEGIN:
		kube_pods_list_begin(c->pods);
		break;
	case KUBE_LIST_END:
		kube_pods_list_end(c->pods, now_ns);
		if (!c->synced) {
			struct kube_pods_stats stats;

			c->synced = true;
			kube_pods_stats(c->pods, &stats);
			log_info("pods of this node are known", LOG_STR("node", c->node_name),
				LOG_INT("pods", stats.known));
		}
		break;
	}
}

static void take_peer(struct cluster *c, const struct kube_update *u)
{
	bool slices = u->kind == KUBE_SLICES;

	switch (u->op) {
	case KUBE_PUT:
		if (slices)
			kube_peers_put_slice(c->peers, &u->slice);
		else
			kube_peers_put_service(c->peers, &u->service);
		break;
	case KUBE_GONE:
		if (slices)
			kube_peers_slice_gone(c->peers, u->slice.namespace, u->slice.name);
		else
			kube_peers_service_gone(c->peers, u->service.namespace, u->service.name);
		break;
	case KUBE_LIST_BEGIN:
		kube_peers_list_begin(c->peers, slices);
		break;
	case KUBE_LIST_END:
		kube_peers_list_end(c->peers, slices);
		break;
	}
}

static void take(struct cluster *c, const struct kube_update *u, uint64_t now_ns)
{
	switch (u->kind) {
	case KUBE_PODS:
		take_pod(c, u, now_ns);
		break;
	case KUBE_SERVICES:
	case KUBE_SLICES:
		take_peer(c, u);
		break;
	case KUBE_THIS_NODE:
		c->node = u->node;
		c->where.node = &c->node;
		break;
	case KUBE_CLUSTER:
		memcpy(c->cluster_uid, u->cluster_uid, sizeof(c->cluster_uid));
		break;
	case KUBE_KINDS:
		break;
	}
}

bool cluster_tick(struct cluster *c, uint64_t now_ns, bool all)
{
	for (unsigned i = 0; i < TURN_MAX; i++) {
		_free_ struct kube_update *u = kube_queue_take(c->queue);

		if (!u)
			break;
		take(c, u, now_ns);
		c->taken_ns = now_ns;
	}
	if (now_ns - c->ticked_ns >= NS_PER_SEC) {
		c->ticked_ns = now_ns;
		kube_pods_tick(c->pods, now_ns);
	}
	if (c->rescan && !procs_scanning(c->procs)) {
		/* processes that were of no interest are in no table */
		c->rescan = false;
		procs_rescan(c->procs);
	}
	places_tick(c->places, now_ns, all);
	/* updates come in bursts: who sleeps between two of a list's makes it last for minutes */
	return now_ns - c->taken_ns < BUSY_NS || places_waiting(c->places);
}

unsigned cluster_waiting(const struct cluster *c)
{
	return places_waiting(c->places);
}

void cluster_mark(const struct cluster *c)
{
	places_mark(c->places);
}

/* The rows of one container. */
struct census {
	struct cluster *cluster;
	struct roster *roster;
	const struct kube_pod *pod;
	int container;
	uint64_t key; /* of the pod's processes */
	bool any; /* processes of this container are known */
};

static struct roster_row row_of(const struct census *census, enum choice choice)
{
	const struct kube_pod *pod = census->pod;
	struct roster_row row = {.traced = choice_traced(choice), .why = choice_text(choice)};

	snprintf(row.namespace, sizeof(row.namespace), "%s", kube_pod_text(pod, pod->namespace));
	snprintf(row.pod, sizeof(row.pod), "%s", kube_pod_text(pod, pod->name));
	snprintf(row.container, sizeof(row.container), "%s",
		kube_pod_text(pod, pod->containers[census->container].name));
	return row;
}

static void count_process(void *ctx, struct proc *proc)
{
	struct census *census = ctx;
	const char *base = strrchr(proc->exe, '/');
	struct container container;
	struct roster_row row;

	if (proc->pod != census->key || !container_of_cgroup(slice_str(proc->cgroup), &container) ||
		strcmp(container.id, census->pod->containers[census->container].id) != 0)
		return;
	census->any = true;
	row = row_of(census, proc->choice);
	snprintf(row.exe, sizeof(row.exe), "%s", base ? base + 1 : proc->exe);
	row.processes = 1;
	row.requests = proc->requests;
	row.hidden = proc->hidden;
	roster_add(census->roster, &row);
}

/* Of a container without a process in the table: what would be decided of one. */
static void count_container(struct census *census)
{
	const struct kube_pod *pod = census->pod;
	const char *uid = pod->static_uid[0] ? pod->static_uid : pod->uid;
	struct proc proc = {.pid = UINT32_MAX};
	struct roster_row row;

	census->key = kube_pod_key(slice_str(uid));
	census->any = false;
	procs_each(census->cluster->procs, count_process, census);
	if (census->any)
		return;
	snprintf(proc.cgroup, sizeof(proc.cgroup), "/kubepods/pod%s/%s", uid,
		pod->containers[census->container].id);
	row = row_of(census, procs_choose(census->cluster->procs, &proc));
	roster_add(census->roster, &row);
}

static void count_pod(void *ctx, const struct kube_pod *pod)
{
	struct census *census = ctx;

	census->pod = pod;
	for (census->container = 0; census->container < pod->container_count; census->container++)
		if (pod->containers[census->container].id[0])
			count_container(census);
}

void cluster_roster(struct cluster *c, struct roster *roster)
{
	struct census census = {.cluster = c, .roster = roster};

	kube_pods_each(c->pods, count_pod, &census);
}

void cluster_snapshot(struct cluster *c, struct snapshot_kube *ret)
{
	struct kube_pods_stats pods;
	struct kube_peers_stats peers;
	struct kube_api_stats api = {0};

	kube_pods_stats(c->pods, &pods);
	kube_peers_stats(c->peers, &peers);
	if (c->api)
		kube_api_stats(c->api, &api);
	*ret = (struct snapshot_kube){
		.on = true,
		.pods_synced = api.synced[KUBE_PODS],
		.peers_synced = api.synced[KUBE_SERVICES] && api.synced[KUBE_SLICES],
		.pods = pods.known,
		.services = peers.services,
		.endpoints = peers.endpoints,
		.full = pods.full + peers.full,
		.cut = pods.cut + peers.cut,
		.requests = api.requests,
		.lists = api.lists,
		.watches = api.watches,
		.events = api.events,
		.errors = api.errors,
		.bytes = api.bytes,
	};
	snprintf(ret->problem, sizeof(ret->problem), "%s", api.problem);
}
