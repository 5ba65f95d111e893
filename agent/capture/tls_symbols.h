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
	uint64_t offset; /* in the file: where a call of it can be seen to begin */
	enum weft_tls_func func;
	bool exits; /* where it returns is known as well */
};

struct tls_symbols {
	unsigned n;
	struct tls_symbol v[TLS_SYMBOLS_MAX];
	/* Go's: every instruction by which one returns, as probes on return addresses would break a
	 * Go program, whose stacks move. And of the others that have exits. */
	unsigned return_count;
	struct tls_symbol returns[TLS_RETURNS_MAX];
	const char *library; /* a name for people; NULL: none was found */
	bool go; /* it is a Go program */
	bool hands; /* there is no library in it, but what hands bytes to one */
	bool rust; /* some of it was compiled from Rust, whose TLS libraries have no symbols to find
		    */
};

/* Reads the file's symbols. Both a function that reads and one that writes must be there, or what
 * hands bytes to a library elsewhere; else nothing is found, which is no error. 0 or -errno: it is
 * no ELF file of this machine's kind. */
int tls_symbols_find(int fd, struct tls_symbols *ret_symbols);

/* Only whether some of it was compiled from Rust. */
bool tls_symbols_rust(int fd);
