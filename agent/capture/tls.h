/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TLS libraries of traced processes: found among the files that they map, in their own mount
 * namespaces, and probed, once a file and not once a process. A thread of its own reads the files;
 * it is the one that keeps the capabilities that attaching takes.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct capture;
struct tls;

/* Whether what a process sends through TLS can be read. */
enum tls_state {
	TLS_NOT_LOOKED, /* not yet */
	TLS_NO_LIBRARY, /* it maps none that is known */
	TLS_PROBED, /* its library is probed */
	TLS_REFUSED, /* it is not: see the log */
	TLS_JAVA, /* no library, and a Java virtual machine: JSSE */
	TLS_GO, /* written in Go, whose own cannot be probed in this program */
	TLS_HIDDEN, /* a library's file was deleted, and there is no right to look at it */
	TLS_RUST, /* no library, and compiled from Rust: rustls, most likely */
};

/* What this means for people; NULL if it can be read. */
const char *tls_state_text(enum tls_state state);

/* Borrows capture, and uses it in the thread, which keeps this thread's capabilities to attach:
 * call this before they are given up. 0 or -errno. */
int tls_new(struct capture *capture, unsigned max_processes, struct tls **ret_tls);
/* Takes the probes off, and looks at nothing any more. A thread that hangs in a call (a file on a
 * file system that does not answer) is left behind with what it uses: false. Takes NULL. */
bool tls_stop(struct tls *tls);
void tls_free(struct tls *tls); /* takes NULL; after tls_stop */

/* These come back at once. */
void tls_began(struct tls *tls, uint32_t pid); /* the process is traced; again after each exec */
void tls_used(struct tls *tls, uint32_t pid); /* it used TLS: it may have loaded a library */
void tls_ended(struct tls *tls, uint32_t pid); /* it is gone, or traced no longer */
enum tls_state tls_state(struct tls *tls, uint32_t pid);

struct tls_stats {
	unsigned libraries; /* files that are probed */
	uint64_t refused; /* files that could not be */
	uint64_t dropped; /* processes that were not looked at: too many at once */
};
void tls_stats(struct tls *tls, struct tls_stats *ret_stats);
