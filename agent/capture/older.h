/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that are older than the tracing of their process. The BPF programs are made to look
 * at each one, TCP or Unix stream, whether a message is under way on it (bpf/start.h), by a call
 * that waits for the socket's lock. A thread of the process can hold that as long as it likes (in a
 * page fault, say), so a thread of its own asks, and nobody waits for it.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct capture;
struct older;

#define OLDER_QUEUE 1024

/* capture is borrowed, and used by the thread. 0 or -errno. */
int older_new(struct capture *capture, struct older **ret_older);
/* Takes NULL. A thread that hangs in a call is left behind, with what it uses. */
void older_free(struct older *older);

/* The process' verdict in the kernel is WEFT_LOOKING, and becomes WEFT_TRACED when all of its
 * connections were looked at. Where that can't be done, or the queue is full, it stays: the next
 * call on such a connection counts as the middle of something. */
void older_ask(struct older *older, uint32_t pid);

/* Waits until all are asked, at most so long; whether they are. */
bool older_wait(struct older *older, unsigned ms);
