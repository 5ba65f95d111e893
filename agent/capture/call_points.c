/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/call_points.h"

#ifdef __x86_64__

#include <Zydis/Zydis.h>
#include <string.h>

#define INSTRUCTIONS_MAX 256
#define ENTER_MAX        64 /* bytes from the beginning */

/* What the kernel carries out itself (arch/x86/kernel/uprobes.c), and what matters of the rest. */
enum kind {
	NOP,
	PUSH,
	CALL,
	JUMP, /* always */
	BRANCH, /* or not */
	RETURN,
	OTHER,
	ELSEWHERE, /* leads to a place that is not told here */
};

struct instruction {
	uint32_t at;
	int64_t target; /* of JUMP and BRANCH: in the function, if it is not less than 0 */
	enum kind kind;
	bool writes_result, writes_arguments;
};

struct function {
	unsigned n;
	uint32_t len;
	struct instruction v[INSTRUCTIONS_MAX];
};

static enum kind kind_by_bytes(const uint8_t *b, size_t len)
{
	if (len == 1 && b[0] == 0x90)
		return NOP;
	if ((len == 1 && b[0] >= 0x50 && b[0] <= 0x57) ||
		(len == 2 && b[0] == 0x41 && b[1] >= 0x50 && b[1] <= 0x57))
		return PUSH;
	if (len == 5 && b[0] == 0xe8)
		return CALL;
	if ((len == 2 && b[0] == 0xeb) || (len == 5 && b[0] == 0xe9))
		return JUMP;
	if ((len == 2 && b[0] >= 0x70 && b[0] <= 0x7f) ||
		(len == 6 && b[0] == 0x0f && b[1] >= 0x80 && b[1] <= 0x8f))
		return BRANCH;
	return OTHER;
}

/* Counted from the next instruction. */
static int32_t distance(const uint8_t *code, size_t len)
{
	int32_t d;

	if (len == 2)
		return (int8_t)code[1];
	memcpy(&d, code + len - sizeof(d), sizeof(d));
	return d;
}

static void note_writes(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operands,
	struct instruction *i)
{
	for (unsigned k = 0; k < z->operand_count; k++) {
		if (!(operands[k].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			continue;
		/* some have a part of their result in memory */
		if (operands[k].type == ZYDIS_OPERAND_TYPE_MEMORY)
			i->writes_result = true;
		if (operands[k].type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		switch (ZydisRegisterGetLargestEnclosing(
			ZYDIS_MACHINE_MODE_LONG_64, operands[k].reg.value)) {
		case ZYDIS_REGISTER_RAX:
			i->writes_result = true;
			break;
		case ZYDIS_REGISTER_RDI:
		case ZYDIS_REGISTER_RSI:
		case ZYDIS_REGISTER_RDX:
		case ZYDIS_REGISTER_RCX:
			i->writes_arguments = true;
			break;
		default:
			break;
		}
	}
}

static enum kind kind_of(const ZydisDecodedInstruction *z, const uint8_t *code)
{
	enum kind kind = kind_by_bytes(code, z->length);

	if (kind != OTHER)
		return kind;
	switch (z->meta.category) {
	case ZYDIS_CATEGORY_RET:
		return RETURN;
	case ZYDIS_CATEGORY_COND_BR:
	case ZYDIS_CATEGORY_UNCOND_BR:
		return ELSEWHERE;
	default:
		return OTHER;
	}
}

/* Every instruction from the first on. False: not all can be told. */
static bool read_function(const uint8_t *code, size_t len, struct function *f)
{
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction z;
	ZydisDecoder decoder;

	if (!ZYAN_SUCCESS(
		    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)))
		return false;
	f->n = 0;
	f->len = (uint32_t)len;
	for (size_t at = 0; at < len; at += z.length) {
		struct instruction *i = &f->v[f->n++];

		if (f->n == INSTRUCTIONS_MAX || !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder,
							code + at, len - at, &z, operands)))
			return false;
		*i = (struct instruction){
			.at = (uint32_t)at, .target = -1, .kind = kind_of(&z, code + at)};
		note_writes(&z, operands, i);
		if (i->kind == JUMP || i->kind == BRANCH) {
			i->target = (int64_t)(at + z.length) + distance(code + at, z.length);
			if (i->target < 0 || i->target >= (int64_t)len)
				return false; /* it may come back, who knows where */
		}
		if (i->kind == ELSEWHERE)
			return false;
	}
	return f->n;
}

/* Whether anything jumps to an instruction from the first to the last of these. */
static bool is_target(const struct function *f, unsigned first, unsigned last)
{
	for (unsigned i = 0; i < f->n; i++)
		if (f->v[i].target >= f->v[first].at && f->v[i].target <= f->v[last].at)
			return true;
	return false;
}

static bool find_enter(const struct function *f, unsigned *ret_index)
{
	unsigned i = 0;

	while (i < f->n && f->v[i].kind == OTHER) {
		if (f->v[i].writes_arguments)
			return false;
		i++;
	}
	*ret_index = i;
	/* not a call: the kernel may carry it out on the normal stack alone, where the process has
	 * a shadow stack */
	return i < f->n && f->v[i].kind != RETURN && f->v[i].kind != CALL &&
	       f->v[i].at < ENTER_MAX && !is_target(f, 0, i);
}

/* A call with nothing behind it, as of __stack_chk_fail. */
static bool never_comes_back(const struct function *f, int64_t target)
{
	for (unsigned i = 0; i < f->n; i++)
		if (f->v[i].at == target) {
			unsigned next = i + 1;

			while (next < f->n && f->v[next].kind == NOP)
				next++;
			return f->v[i].kind == CALL && next == f->n;
		}
	return false;
}

/* From the return backwards, as long as there is one way to it. */
static bool find_exit(const struct function *f, unsigned returns, unsigned *ret_index)
{
	for (unsigned i = returns; i > 0 && !is_target(f, i, i); i--) {
		const struct instruction *before = &f->v[i - 1];

		if (before->kind == NOP ||
			(before->kind == BRANCH && never_comes_back(f, before->target))) {
			*ret_index = i - 1;
			return true;
		}
		if (before->kind != OTHER || before->writes_result)
			return false;
	}
	return false;
}

bool call_points_find(const uint8_t *code, size_t len, uint64_t offset, struct call_points *ret)
{
	struct function f;
	unsigned at;

	*ret = (struct call_points){0};
	if (len > CALL_FUNCTION_MAX || !read_function(code, len, &f) || !find_enter(&f, &at))
		return false;
	ret->enter = offset + f.v[at].at;
	for (unsigned i = 0; i < f.n; i++) {
		if (f.v[i].kind != RETURN)
			continue;
		if (ret->n == CALL_EXITS_MAX || !find_exit(&f, i, &at) ||
			offset + f.v[at].at == ret->enter)
			return false;
		ret->exits[ret->n++] = offset + f.v[at].at;
	}
	return ret->n;
}

#else

bool call_points_find(const uint8_t *code, size_t len, uint64_t offset, struct call_points *ret)
{
	(void)code;
	(void)len;
	(void)offset;
	*ret = (struct call_points){0};
	return false;
}

#endif
