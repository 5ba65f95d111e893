/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/go_symbols.h"

#include "capture/elf_offset.h"
#include "core/cleanup.h"

#include <gelf.h>
#include <string.h>
#ifdef __x86_64__
#include <Zydis/Decoder.h>
#endif

#define TABLE_MAX    (256u << 20)
#define FUNCTION_MAX (64u << 10) /* bytes of one */
#define NUDGE_MAX    (64u << 10) /* from the section's start to Go's own first function */
#define SAMPLES      64
#define CHECK_MAX    32 /* bytes of the check of the stack's limit */

/* Of the table's header (runtime/symtab.go, pcHeader), by its first word. */
enum format { GO_1_16, GO_1_18 };

struct table {
	const uint8_t *at;
	size_t len;
	enum format format;
	uint64_t functions; /* number */
	uint64_t names; /* where they begin */
	uint64_t entries; /* where the functions' places begin, behind which lies what is said of
			     each */
	uint64_t text; /* address of what places count from; 1.16: 0 */
};

static uint64_t get(const struct table *t, uint64_t at, unsigned bytes)
{
	uint64_t v = 0;

	if (at > t->len || t->len - at < bytes)
		return 0;
	memcpy(&v, t->at + at, bytes); /* the machine's own byte order */
	return v;
}

static Elf_Scn *section(Elf *elf, const char *name, GElf_Shdr *ret_head)
{
	Elf_Scn *scn = NULL;
	size_t names;

	if (elf_getshdrstrndx(elf, &names))
		return NULL;
	while ((scn = elf_nextscn(elf, scn))) {
		const char *found = gelf_getshdr(scn, ret_head)
					    ? elf_strptr(elf, names, ret_head->sh_name)
					    : NULL;

		/* a shared object's has another beginning */
		if (found &&
			(strcmp(found, name) == 0 || (strncmp(found, ".data.rel.ro", 12) == 0 &&
							     strcmp(found + 12, name) == 0)))
			return scn;
	}
	return NULL;
}

bool go_is(Elf *elf)
{
	GElf_Shdr head;

	return section(elf, ".go.buildinfo", &head);
}

static bool open_table(Elf *elf, struct table *ret)
{
	GElf_Shdr head;
	Elf_Scn *scn = section(elf, ".gopclntab", &head);
	Elf_Data *data = scn && head.sh_size <= TABLE_MAX ? elf_getdata(scn, NULL) : NULL;
	struct table *t = ret;
	unsigned word;

	if (!data || !data->d_buf || data->d_size < 80)
		return false;
	*t = (struct table){.at = data->d_buf, .len = data->d_size};
	switch (get(t, 0, 4)) {
	case 0xfffffffa:
		t->format = GO_1_16;
		break;
	case 0xfffffff0: /* 1.18 */
	case 0xfffffff1: /* 1.20 */
		t->format = GO_1_18;
		break;
	default:
		return false;
	}
	if (get(t, 7, 1) != 8) /* of a pointer */
		return false;
	word = t->format == GO_1_18;
	t->functions = get(t, 8, 8);
	t->text = word ? get(t, 24, 8) : 0;
	t->names = get(t, 24 + 8 * word, 8);
	t->entries = get(t, 56 + 8 * word, 8);
	return t->functions && t->functions < t->len / 8 && t->names < t->len &&
	       t->entries < t->len;
}

/* Where the i-th function begins, counted from t->text. One more than there are: where the last one
 * ends. */
static uint64_t entry(const struct table *t, uint64_t i)
{
	return t->format == GO_1_18 ? get(t, t->entries + 8 * i, 4)
				    : get(t, t->entries + 16 * i, 8);
}

static const char *name_of(const struct table *t, uint64_t i)
{
	uint64_t said = t->entries + (t->format == GO_1_18 ? get(t, t->entries + 8 * i + 4, 4)
							   : get(t, t->entries + 16 * i + 8, 8));
	uint64_t name = t->names + get(t, said + (t->format == GO_1_18 ? 4 : 8), 4);

	return name < t->len && memchr(t->at + name, 0, t->len - name) ? (const char *)t->at + name
								       : "";
}

/* Compares the stack's pointer with the limit that the goroutine has, as nearly every function does
 * first: only with registers for arguments is the goroutine in one. */
static bool begins_a_function(int fd, uint64_t offset)
{
	uint8_t code[16];

	if (!offset || pread(fd, code, sizeof(code), (off_t)offset) != (ssize_t)sizeof(code))
		return false;
#ifdef __x86_64__
	if (code[0] == 0x4c && code[1] == 0x8d && code[2] == 0x64) /* lea -n(%rsp),%r12 */
		return code[5] == 0x4d && code[6] == 0x3b && code[7] == 0x66;
	if (code[0] == 0x4c && code[1] == 0x8d && code[2] == 0xa4)
		return code[8] == 0x4d && code[9] == 0x3b && code[10] == 0x66;
	return code[0] == 0x49 && code[1] == 0x3b && code[2] == 0x66; /* cmp n(%r14),%rsp */
#else /* arm64 */
	uint32_t word;

	memcpy(&word, code, sizeof(word));
	return word == 0xf9400b90; /* ldr x16, [x28, #16] */
#endif
}

/* How many of a sample of functions begin like one if places count from `text`. */
static unsigned fitting(Elf *elf, int fd, const struct table *t, uint64_t text)
{
	unsigned n = 0;

	for (unsigned i = 0; i < SAMPLES; i++) {
		uint64_t at = entry(t, t->functions * i / SAMPLES);

		n += begins_a_function(fd, elf_offset(elf, text + at));
		if (i == SAMPLES / 4 && n < 2) /* not here */
			return 0;
	}
	return n;
}

/* Since Go 1.26 the table does not say what its places count from: the code's section begins with
 * it, but for what a C compiler's linker puts before. */
static bool find_text(Elf *elf, int fd, struct table *t)
{
	GElf_Shdr head;

	if (t->format == GO_1_16 || (t->text && fitting(elf, fd, t, t->text) > SAMPLES / 3))
		return true;
	if (!section(elf, ".text", &head))
		return false;
	for (uint64_t nudge = 0; nudge < NUDGE_MAX && nudge < head.sh_size; nudge += 16)
		if (fitting(elf, fd, t, head.sh_addr + nudge) > SAMPLES / 3) {
			t->text = head.sh_addr + nudge;
			return true;
		}
	return false;
}

#ifdef __x86_64__

/* Every instruction from the first on: a byte that looks like a return may be part of another. */
static bool decode(const uint8_t *code, size_t len, uint64_t offset, struct go_function *ret)
{
	ZydisDecodedInstruction instruction;
	ZydisDecoder decoder;
	size_t at = 0;

	if (!ZYAN_SUCCESS(
		    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)))
		return false;
	for (; at < len; at += instruction.length) {
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(
			    &decoder, NULL, code + at, len - at, &instruction)))
			return false;
		if (!ret->begin && instruction.mnemonic == ZYDIS_MNEMONIC_JBE)
			ret->begin = offset + at + instruction.length;
		if (instruction.mnemonic != ZYDIS_MNEMONIC_RET)
			continue;
		if (ret->n == GO_RETURNS_MAX)
			return false;
		ret->returns[ret->n++] = offset + at;
	}
	return ret->n && ret->begin && ret->begin - offset <= CHECK_MAX;
}

#else /* arm64 */

static bool decode(const uint8_t *code, size_t len, uint64_t offset, struct go_function *ret)
{
	for (size_t at = 0; at + 4 <= len; at += 4) {
		uint32_t word;

		memcpy(&word, code + at, sizeof(word));
		if (!ret->begin && (word & 0xff00001f) == 0x54000009) /* b.ls */
			ret->begin = offset + at + 4;
		if (word != 0xd65f03c0) /* ret */
			continue;
		if (ret->n == GO_RETURNS_MAX)
			return false;
		ret->returns[ret->n++] = offset + at;
	}
	return ret->n && ret->begin && ret->begin - offset <= CHECK_MAX;
}

#endif

bool go_find(Elf *elf, int fd, const char *name, struct go_function *ret)
{
	_free_ uint8_t *code = NULL;
	uint64_t i = 0, len, offset;
	struct table t;

	*ret = (struct go_function){0};
	if (!open_table(elf, &t) || !find_text(elf, fd, &t))
		return false;
	while (i < t.functions && strcmp(name_of(&t, i), name) != 0)
		i++;
	if (i == t.functions)
		return false;
	offset = elf_offset(elf, t.text + entry(&t, i));
	len = entry(&t, i + 1) - entry(&t, i);
	if (!begins_a_function(fd, offset) || !len || len > FUNCTION_MAX)
		return false;
	code = malloc(len);
	return code && pread(fd, code, len, (off_t)offset) == (ssize_t)len &&
	       decode(code, len, offset, ret);
}
