/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/call_points.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#ifdef __x86_64__

#define OFFSET 0x1000u

/* As compilers make OpenSSL's SSL_read, with a check of the stack. */
static const uint8_t PROTECTED[] = {
	0x48, 0x83, 0xec, 0x18, /* 0: sub $24,%rsp */
	0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0, /* 4: mov %fs:40,%rax */
	0x48, 0x89, 0x44, 0x24, 0x08, /* 13: mov %rax,8(%rsp) */
	0x31, 0xc0, /* 18: xor %eax,%eax */
	0x85, 0xd2, /* 20: test %edx,%edx */
	0x78, 0x27, /* 22: js 63 */
	0x48, 0x89, 0xe1, /* 24: mov %rsp,%rcx */
	0x48, 0x63, 0xd2, /* 27: movslq %edx,%rdx */
	0xe8, 0, 0, 0, 0, /* 30: call */
	0x85, 0xc0, /* 35: test %eax,%eax */
	0x7e, 0x03, /* 37: jle 42 */
	0x8b, 0x04, 0x24, /* 39: mov (%rsp),%eax */
	0x48, 0x8b, 0x54, 0x24, 0x08, /* 42: mov 8(%rsp),%rdx */
	0x64, 0x48, 0x2b, 0x14, 0x25, 0x28, 0, 0, 0, /* 47: sub %fs:40,%rdx */
	0x75, 0x0c, /* 56: jne 70 */
	0x48, 0x83, 0xc4, 0x18, /* 58: add $24,%rsp */
	0xc3, /* 62: ret */
	0xb8, 0xff, 0xff, 0xff, 0xff, /* 63: mov $-1,%eax */
	0xeb, 0xe4, /* 68: jmp 42 */
	0xe8, 0, 0, 0, 0, /* 70: call, which does not come back */
	0x90, /* 75: nop */
};

static bool find_changed(
	size_t at, const void *bytes, size_t n, size_t len, struct call_points *ret)
{
	uint8_t code[sizeof(PROTECTED) + 16];

	memset(code, 0x90, sizeof(code));
	memcpy(code, PROTECTED, sizeof(PROTECTED));
	memcpy(code + at, bytes, n);
	return call_points_find(code, len, OFFSET, ret);
}

Test(call_points, where_arguments_and_result_are)
{
	static const uint8_t ENDBR[] = {0xf3, 0x0f, 0x1e, 0xfa};
	uint8_t code[sizeof(ENDBR) + sizeof(PROTECTED)];
	struct call_points p;

	cr_assert(call_points_find(PROTECTED, sizeof(PROTECTED), OFFSET, &p));
	cr_assert_eq(p.enter, OFFSET + 22);
	cr_assert_eq(p.n, 1);
	cr_assert_eq(p.exits[0], OFFSET + 56);
	memcpy(code, ENDBR, sizeof(ENDBR));
	memcpy(code + sizeof(ENDBR), PROTECTED, sizeof(PROTECTED));
	cr_assert(call_points_find(code, sizeof(code), OFFSET, &p));
	cr_assert_eq(p.enter, OFFSET + 26);
	cr_assert_eq(p.exits[0], OFFSET + 60);
}

/* Whatever is not certain is left to a probe on the return address. */
Test(call_points, not_certain)
{
	static const struct {
		const char *what;
		size_t at;
		const char *bytes;
		size_t n, len;
	} CASES[] = {
		{"a jump to behind the exit", 68, "\xeb\xf4", 2, 0},
		{"a jump to the return", 68, "\xeb\xf8", 2, 0},
		{"a loop over the entry", 68, "\xeb\xbc", 2, 0},
		{"a jump out of the function", 68, "\xeb\x7f", 2, 0},
		{"a jump to who knows where", 68, "\xff\xe0", 2, 0},
		{"the result is made later", 58, "\x48\x83\xc8\xff", 4, 0},
		{"a part of it is stored later", 58, "\x48\x89\x04\x24", 4, 0},
		{"an argument is gone", 18, "\x31\xff", 2, 0},
		{"a call comes first", 22, "\xe8\0\0\0\0\x90\x90\x90", 8, 0},
		{"the check can come back", 75, "\xc3", 1, 0},
		{"another way out", 63, "\xc3\xc3\xc3\xc3\xc3", 5, 0},
		{"no instruction", 63, "\x06\x06\x06\x06\x06", 5, 0},
		{"cut in an instruction", 0, "", 0, 72},
		{"nothing", 0, "", 0, 0},
	};
	struct call_points p;

	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		size_t len = CASES[i].n ? sizeof(PROTECTED) : CASES[i].len;

		cr_assert_not(find_changed(CASES[i].at, CASES[i].bytes, CASES[i].n, len, &p), "%s",
			CASES[i].what);
	}
}

Test(call_points, without_check)
{
	/* push %rbx; mov %rdi,%rbx; call; pop %rbx; ret */
	static const uint8_t PLAIN[] = {0x53, 0x48, 0x89, 0xfb, 0xe8, 0, 0, 0, 0, 0x5b, 0xc3};
	struct call_points p;

	cr_assert_not(call_points_find(PLAIN, sizeof(PLAIN), OFFSET, &p));
}

/* Whose code it is, nobody knows. */
Test(call_points, anything)
{
	uint8_t code[CALL_FUNCTION_MAX + 1];
	struct call_points p;

	srand(1);
	for (int turn = 0; turn < 20000; turn++) {
		size_t len = (size_t)rand() % 96;
		uint8_t *copy = malloc(len + 1);

		for (size_t i = 0; i < len; i++)
			code[i] = (uint8_t)rand();
		if (turn % 2 && len >= sizeof(PROTECTED)) { /* nearly one */
			memcpy(code, PROTECTED, sizeof(PROTECTED));
			code[(size_t)rand() % sizeof(PROTECTED)] = (uint8_t)rand();
		}
		memcpy(copy, code, len);
		if (call_points_find(copy, len, OFFSET, &p)) {
			cr_assert(p.n >= 1 && p.n <= CALL_EXITS_MAX);
			cr_assert(p.enter >= OFFSET && p.enter < OFFSET + len);
			for (unsigned i = 0; i < p.n; i++)
				cr_assert(p.exits[i] > p.enter && p.exits[i] < OFFSET + len);
		}
		free(copy);
	}
	cr_assert_not(call_points_find(code, sizeof(code), OFFSET, &p));
}

#else

Test(call_points, none)
{
	static const uint8_t RETURN[] = {0xc0, 0x03, 0x5f, 0xd6};
	struct call_points p;

	cr_assert_not(call_points_find(RETURN, sizeof(RETURN), 0, &p));
}

#endif
