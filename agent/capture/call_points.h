/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where in a function a probe is cheap. A probe is a breakpoint; the instruction under it is then
 * executed out of place, with a second trap behind it, unless it is one of the few that the kernel
 * carries out itself. On a virtual machine that second trap can leave the guest, and cost more than
 * all else. And a probe on the return address, which the kernel puts in place at the function's
 * first instruction, is another trap. So both are put on instructions of those few: where the
 * arguments are still in their registers, and where the result already is in its own.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CALL_EXITS_MAX    4
#define CALL_FUNCTION_MAX 1024u /* bytes; a longer one is not looked at */

struct call_points {
	uint64_t enter; /* offset in the file: passed once in each call */
	unsigned n;
	uint64_t exits[CALL_EXITS_MAX]; /* one of them is passed once in each call that returns */
};

/* code: the function's, len bytes, which lie at offset in the file. False if there are no such
 * places, or if it is not certain. Only on x86-64: other kernels carry out other instructions. */
bool call_points_find(
	const uint8_t *code, size_t len, uint64_t offset, struct call_points *ret_points);
