/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where functions of a Go program lie, stripped or not: by the table that its runtime needs to walk
 * stacks (.gopclntab; Go 1.16 to 1.26). And where they return: a probe on a return address would
 * break a Go program, whose stacks move.
 */
#pragma once
#include <libelf.h>
#include <stdbool.h>
#include <stdint.h>

#define GO_RETURNS_MAX 24 /* of a function */

struct go_function {
	uint64_t begin; /* offset in the file: behind the check of the stack's limit, after which
			   it may begin anew on a larger one; arguments are still in place */
	unsigned n;
	uint64_t returns[GO_RETURNS_MAX]; /* offsets of its return instructions */
};

/* Whether it is a Go program at all. */
bool go_is(Elf *elf);

/* The function by its full name ("crypto/tls.(*Conn).Read"). fd: of the same file. False if it is
 * not there, or takes its arguments on the stack (before Go 1.17; arm64: 1.18), or if a return
 * could not be told for sure. */
bool go_find(Elf *elf, int fd, const char *name, struct go_function *ret_function);
