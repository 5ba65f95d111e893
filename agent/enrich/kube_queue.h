/* SPDX-License-Identifier: Apache-2.0 */
/* From the API server's thread to the pipeline's: updates in order, a bounded number. Who puts
 * waits for room, since none may be lost; the API server waits with it. */
#pragma once
#include "enrich/kube_update.h"

struct kube_queue;

int kube_queue_new(unsigned max, struct kube_queue **ret_queue);
void kube_queue_free(struct kube_queue *queue);

/* Copies as much of the update as it holds. Waits for room. -ESHUTDOWN after kube_queue_close,
 * -ENOMEM.
 */
int kube_queue_put(struct kube_queue *queue, const struct kube_update *update);
/* Nobody takes any more. */
void kube_queue_close(struct kube_queue *queue);

/* Takes the oldest, never waits; NULL: none. To be freed by free(). */
struct kube_update *kube_queue_take(struct kube_queue *queue);
