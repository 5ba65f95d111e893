/* SPDX-License-Identifier: Apache-2.0 */
/* A question from another thread that only the pipeline thread can answer, since what it asks for
 * is that thread's. One at a time. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define ASK_TEXT 256

struct ask;

int ask_new(struct ask **ret_ask);
void ask_free(struct ask *ask);

/* Any thread but the pipeline's. The answer, to be freed; NULL: none came in that time, or there
 * was no memory. */
char *ask_wait(struct ask *ask, const char *question, unsigned timeout_ms);

/* Pipeline thread: whether somebody asks, and what. Cheap when nobody does. */
bool ask_pending(struct ask *ask, char ret_question[static ASK_TEXT]);
/* Takes the answer over; NULL: there is none. */
void ask_answer(struct ask *ask, char *text);
