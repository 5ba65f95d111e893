/* SPDX-License-Identifier: Apache-2.0 */
/* Where the functions of a TLS library lie in an ELF file: a shared library under any name, or an
 * executable into which one was linked, or a Go program, which has its own. */
#pragma once
#include "weft/tls.h"

#include <stdbool.h>
#include <stdint.h>

#define TLS_SYMBOLS_MAX 32
#define TLS_RETURNS_MAX 48

struct tls_symbol {
	uint64_t offset; /* in the file */
	enum weft_tls_func func;
};

struct tls_symbols {
	unsigned n;
	struct tls_symbol v[TLS_SYMBOLS_MAX]; /* where they begin */
	/* Go's alone: every instruction by which one returns. Probes on return addresses would
	 * break a Go program, whose stacks move. */
	unsigned return_count;
	struct tls_symbol returns[TLS_RETURNS_MAX];
	const char *library; /* a name for people; NULL: none was found */
	bool go; /* it is a Go program */
};

/* Reads the file's symbols. Both a function that reads and one that writes must be there; else
 * nothing is found, which is no error. 0 or -errno: it is no ELF file of this machine's kind. */
int tls_symbols_find(int fd, struct tls_symbols *ret_symbols);
