/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/tls_symbols.h"

#include "capture/call_points.h"
#include "capture/elf_offset.h"
#include "capture/go_symbols.h"
#include "core/cleanup.h"

#include <errno.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTION_MAX (256ull << 20) /* of names or symbols; more is not read */
#define COMMENT_MAX (64ull << 10)

/* OpenSSL's names are BoringSSL's and LibreSSL's as well. */
static const struct {
	const char *name;
	enum weft_tls_func func;
} FUNCTIONS[] = {
	{"CryptoNative_BioWrite", WEFT_TLS_HAND}, /* .NET's, beside its OpenSSL */
	{"SSL_accept", WEFT_TLS_HANDSHAKE},
	{"SSL_connect", WEFT_TLS_HANDSHAKE},
	{"SSL_do_handshake", WEFT_TLS_HANDSHAKE},
	{"SSL_free", WEFT_TLS_FREE},
	{"SSL_peek", WEFT_TLS_HANDSHAKE}, /* what it reads is given by a read as well */
	{"SSL_peek_ex", WEFT_TLS_HANDSHAKE},
	{"SSL_read", WEFT_TLS_READ},
	{"SSL_read_early_data", WEFT_TLS_READ_EX},
	{"SSL_read_ex", WEFT_TLS_READ_EX},
	{"SSL_sendfile", WEFT_TLS_SENDFILE},
	{"SSL_shutdown", WEFT_TLS_HANDSHAKE},
	{"SSL_write", WEFT_TLS_WRITE},
	{"SSL_write_early_data", WEFT_TLS_WRITE_EX},
	{"SSL_write_ex", WEFT_TLS_WRITE_EX},
	{"gnutls_deinit", WEFT_TLS_FREE},
	{"gnutls_handshake", WEFT_TLS_HANDSHAKE},
	{"gnutls_record_recv", WEFT_TLS_READ},
	{"gnutls_record_send", WEFT_TLS_WRITE},
	{"gnutls_record_send2", WEFT_TLS_WRITE},
};

static void cleanup_elf(Elf **elf)
{
	if (*elf)
		elf_end(*elf);
}

static bool by_name(const char *name, enum weft_tls_func *ret_func)
{
	if (strncmp(name, "SSL_", 4) != 0 && strncmp(name, "gnutls_", 7) != 0 && *name != 'C')
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(FUNCTIONS); i++)
		if (strcmp(name, FUNCTIONS[i].name) == 0) {
			*ret_func = FUNCTIONS[i].func;
			return true;
		}
	return false;
}

static bool has(const struct tls_symbols *s, uint64_t offset)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->v[i].offset == offset)
			return true;
	return false;
}

/* An ELF file that is read. */
struct file {
	Elf *elf;
	int fd;
};

/* Whether a probe is well put elsewhere than on the function's first instruction. A handshake's
 * calls, and what frees a session, are too few to matter. */
static bool find_points(
	const struct file *file, const GElf_Sym *sym, uint64_t offset, struct call_points *ret)
{
	uint8_t code[CALL_FUNCTION_MAX];
	size_t n = sym->st_size;

	return n && n <= sizeof(code) && pread(file->fd, code, n, (off_t)offset) == (ssize_t)n &&
	       call_points_find(code, n, offset, ret);
}

static bool is_frequent(enum weft_tls_func func)
{
	return func == WEFT_TLS_READ || func == WEFT_TLS_WRITE || func == WEFT_TLS_READ_EX ||
	       func == WEFT_TLS_WRITE_EX;
}

static void take(
	const struct file *file, const GElf_Sym *sym, const char *name, struct tls_symbols *s)
{
	struct call_points points;
	enum weft_tls_func func;
	uint64_t offset;
	bool exits;

	if (GELF_ST_TYPE(sym->st_info) != STT_FUNC || sym->st_shndx == SHN_UNDEF ||
		s->n == TLS_SYMBOLS_MAX || !by_name(name, &func))
		return;
	/* two names of one function: its probes fire once */
	offset = elf_offset(file->elf, sym->st_value);
	if (!offset)
		return;
	exits = is_frequent(func) && find_points(file, sym, offset, &points) &&
		s->return_count + points.n <= TLS_RETURNS_MAX;
	if (exits)
		offset = points.enter;
	if (has(s, offset))
		return;
	s->v[s->n++] = (struct tls_symbol){offset, func, exits};
	for (unsigned i = 0; exits && i < points.n; i++)
		s->returns[s->return_count++] = (struct tls_symbol){points.exits[i], func, false};
	s->library = name[0] == 'S'   ? "OpenSSL"
		     : name[0] == 'g' ? "GnuTLS"
				      : ".NET's way to OpenSSL";
}

static void read_table(
	const struct file *file, Elf_Scn *section, const GElf_Shdr *head, struct tls_symbols *s)
{
	Elf *elf = file->elf;
	Elf_Scn *strings = elf_getscn(elf, head->sh_link);
	GElf_Shdr names;
	Elf_Data *data;

	if (!strings || !gelf_getshdr(strings, &names) || names.sh_size > SECTION_MAX ||
		head->sh_size > SECTION_MAX || !head->sh_entsize)
		return;
	data = elf_getdata(section, NULL);
	for (uint64_t i = 0; data && i < head->sh_size / head->sh_entsize; i++) {
		GElf_Sym sym;
		const char *name;

		if (!gelf_getsym(data, (int)i, &sym))
			break;
		name = sym.st_name ? elf_strptr(elf, head->sh_link, sym.st_name) : NULL;
		if (name)
			take(file, &sym, name, s);
	}
}

static bool is_whole(const struct tls_symbols *s)
{
	unsigned found = 0;

	for (unsigned i = 0; i < s->n; i++)
		found |= 1u << s->v[i].func;
	return found & (1u << WEFT_TLS_HAND) ||
	       (found & (1u << WEFT_TLS_READ) && found & (1u << WEFT_TLS_WRITE));
}

/* Go's own TLS. */
static void find_go(Elf *elf, int fd, struct tls_symbols *s)
{
	static const struct {
		const char *name;
		enum weft_tls_func func;
	} GO[] = {
		{"crypto/tls.(*Conn).Read", WEFT_TLS_GO_READ},
		{"crypto/tls.(*Conn).Write", WEFT_TLS_GO_WRITE},
	};

	*s = (struct tls_symbols){.go = true};
	for (unsigned i = 0; i < ARRAY_SIZE(GO); i++) {
		struct go_function f;

		if (!go_find(elf, fd, GO[i].name, &f)) {
			*s = (struct tls_symbols){.go = true};
			return;
		}
		s->v[s->n++] = (struct tls_symbol){f.begin, GO[i].func, true};
		for (unsigned k = 0; k < f.n; k++)
			s->returns[s->return_count++] =
				(struct tls_symbol){f.returns[k], GO[i].func, false};
	}
	s->library = "Go crypto/tls";
}

/* Compilers leave their names in .comment, which stripping keeps. */
static bool is_rust(Elf *elf, size_t names)
{
	static const char MARK[] = "rustc version";
	Elf_Scn *section = NULL;

	while ((section = elf_nextscn(elf, section))) {
		GElf_Shdr head;
		const char *name;
		Elf_Data *data;

		if (!gelf_getshdr(section, &head) || head.sh_type != SHT_PROGBITS ||
			head.sh_size > COMMENT_MAX)
			continue;
		name = elf_strptr(elf, names, head.sh_name);
		if (!name || strcmp(name, ".comment") != 0)
			continue;
		data = elf_getdata(section, NULL);
		return data && data->d_buf &&
		       memmem(data->d_buf, data->d_size, MARK, sizeof(MARK) - 1);
	}
	return false;
}

bool tls_symbols_rust(int fd)
{
	__attribute__((cleanup(cleanup_elf))) Elf *elf =
		elf_version(EV_CURRENT) == EV_NONE ? NULL : elf_begin(fd, ELF_C_READ, NULL);
	size_t names;

	return elf && elf_getshdrstrndx(elf, &names) == 0 && is_rust(elf, names);
}

int tls_symbols_find(int fd, struct tls_symbols *ret)
{
	/* not mapped: whose file it is can cut it short meanwhile */
	__attribute__((cleanup(cleanup_elf))) Elf *elf =
		elf_version(EV_CURRENT) == EV_NONE ? NULL : elf_begin(fd, ELF_C_READ, NULL);
	static const uint32_t TABLES[] = {SHT_DYNSYM, SHT_SYMTAB};
	GElf_Ehdr head;
	size_t names;

	*ret = (struct tls_symbols){0};
	if (!elf || !gelf_getehdr(elf, &head))
		return -ENOEXEC;
#if defined(__x86_64__)
	if (head.e_machine != EM_X86_64)
		return -ENOEXEC;
#elif defined(__aarch64__)
	if (head.e_machine != EM_AARCH64)
		return -ENOEXEC;
#endif
	/* what is exported first: the other table can be much larger */
	for (unsigned i = 0; i < ARRAY_SIZE(TABLES) && !is_whole(ret); i++) {
		Elf_Scn *section = NULL;

		while ((section = elf_nextscn(elf, section))) {
			GElf_Shdr sh;

			if (gelf_getshdr(section, &sh) && sh.sh_type == TABLES[i])
				read_table(&(struct file){elf, fd}, section, &sh, ret);
		}
	}
	if (is_whole(ret)) {
		ret->hands = ret->v[0].func == WEFT_TLS_HAND && ret->n == 1;
		return 0;
	}
	*ret = (struct tls_symbols){0};
	if (go_is(elf))
		find_go(elf, fd, ret);
	else
		ret->rust = elf_getshdrstrndx(elf, &names) == 0 && is_rust(elf, names);
	return 0;
}
