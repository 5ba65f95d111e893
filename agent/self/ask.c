/* SPDX-License-Identifier: Apache-2.0 */
#include "self/ask.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct ask {
	pthread_mutex_t one; /* held by who asks */
	pthread_mutex_t lock; /* of the rest */
	pthread_cond_t answered;
	_Atomic bool pending;
	bool done;
	char question[ASK_TEXT];
	char *answer;
};

int ask_new(struct ask **ret_ask)
{
	struct ask *ask = calloc(1, sizeof(*ask));
	pthread_condattr_t attr;

	if (!ask)
		return -ENOMEM;
	pthread_mutex_init(&ask->one, NULL);
	pthread_mutex_init(&ask->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&ask->answered, &attr);
	pthread_condattr_destroy(&attr);
	*ret_ask = ask;
	return 0;
}

void ask_free(struct ask *ask)
{
	if (!ask)
		return;
	pthread_cond_destroy(&ask->answered);
	pthread_mutex_destroy(&ask->lock);
	pthread_mutex_destroy(&ask->one);
	free(ask->answer);
	free(ask);
}

static struct timespec in_ms(unsigned ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

char *ask_wait(struct ask *ask, const char *question, unsigned timeout_ms)
{
	struct timespec until = in_ms(timeout_ms);
	char *answer;

	pthread_mutex_lock(&ask->one);
	pthread_mutex_lock(&ask->lock);
	/* the answer to a question that was given up */
	free(ask->answer);
	ask->answer = NULL;
	ask->done = false;
	snprintf(ask->question, sizeof(ask->question), "%s", question);
	ask->pending = true;
	while (!ask->done)
		if (pthread_cond_timedwait(&ask->answered, &ask->lock, &until))
			break;
	ask->pending = false;
	answer = ask->done ? ask->answer : NULL;
	if (ask->done)
		ask->answer = NULL;
	pthread_mutex_unlock(&ask->lock);
	pthread_mutex_unlock(&ask->one);
	return answer;
}

bool ask_pending(struct ask *ask, char ret_question[static ASK_TEXT])
{
	bool pending;

	if (!ask->pending)
		return false;
	pthread_mutex_lock(&ask->lock);
	pending = ask->pending;
	snprintf(ret_question, ASK_TEXT, "%s", ask->question);
	pthread_mutex_unlock(&ask->lock);
	return pending;
}

void ask_answer(struct ask *ask, char *text)
{
	pthread_mutex_lock(&ask->lock);
	free(ask->answer);
	ask->answer = text;
	ask->done = true;
	ask->pending = false;
	pthread_cond_signal(&ask->answered);
	pthread_mutex_unlock(&ask->lock);
}
