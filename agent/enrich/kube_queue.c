/* SPDX-License-Identifier: Apache-2.0 */
#include "enrich/kube_queue.h"

#include "core/cleanup.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

struct kube_queue {
	pthread_mutex_t lock;
	pthread_cond_t room;
	bool closed;
	unsigned max, head, count;
	_Atomic unsigned waiting; /* = count, to be looked at without the lock */
	struct kube_update *v[];
};

int kube_queue_new(unsigned max, struct kube_queue **ret_queue)
{
	struct kube_queue *q = calloc(1, sizeof(*q) + max * sizeof(struct kube_update *));

	if (!q)
		return -ENOMEM;
	q->max = max;
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->room, NULL);
	*ret_queue = q;
	return 0;
}

void kube_queue_free(struct kube_queue *q)
{
	if (!q)
		return;
	for (unsigned i = 0; i < q->count; i++)
		free(q->v[(q->head + i) % q->max]);
	pthread_mutex_destroy(&q->lock);
	pthread_cond_destroy(&q->room);
	free(q);
}

static size_t size_of(const struct kube_update *update)
{
	size_t size = offsetof(struct kube_update, pod);

	if (update->op != KUBE_PUT && update->op != KUBE_GONE)
		return size;
	switch (update->kind) {
	case KUBE_PODS:
		return size + offsetof(struct kube_pod, text) + update->pod.used;
	case KUBE_SERVICES:
		return size + sizeof(update->service);
	case KUBE_SLICES:
		return size + offsetof(struct kube_slice, ips) +
		       update->slice.count * sizeof(update->slice.ips[0]);
	case KUBE_THIS_NODE:
		return size + sizeof(update->node);
	default:
		return size + sizeof(update->cluster_uid);
	}
}

int kube_queue_put(struct kube_queue *q, const struct kube_update *update)
{
	size_t size = size_of(update);
	_free_ struct kube_update *copy = malloc(size);
	int r = 0;

	if (!copy)
		return -ENOMEM;
	memcpy(copy, update, size);
	pthread_mutex_lock(&q->lock);
	while (q->count == q->max && !q->closed)
		pthread_cond_wait(&q->room, &q->lock);
	if (q->closed) {
		r = -ESHUTDOWN;
	} else {
		q->v[(q->head + q->count++) % q->max] = TAKE_PTR(copy);
		q->waiting = q->count;
	}
	pthread_mutex_unlock(&q->lock);
	return r;
}

void kube_queue_close(struct kube_queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->closed = true;
	pthread_cond_broadcast(&q->room);
	pthread_mutex_unlock(&q->lock);
}

struct kube_update *kube_queue_take(struct kube_queue *q)
{
	struct kube_update *update = NULL;

	if (!q->waiting)
		return NULL;
	pthread_mutex_lock(&q->lock);
	if (q->count) {
		update = q->v[q->head];
		q->head = (q->head + 1) % q->max;
		q->waiting = --q->count;
		pthread_cond_signal(&q->room);
	}
	pthread_mutex_unlock(&q->lock);
	return update;
}
