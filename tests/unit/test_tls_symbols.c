/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/tls_symbols.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* A library that is linked into the executable, as OpenSSL is into Node.js. */
int SSL_read(void *ssl, void *to, int n);
int SSL_write(void *ssl, const void *from, int n);
void SSL_free(void *ssl);

int SSL_read(void *ssl, void *to, int n)
{
	return ssl && to ? n + 1 : 0;
}

int SSL_write(void *ssl, const void *from, int n)
{
	return ssl && from ? n - 1 : 0;
}

void SSL_free(void *ssl)
{
	(void)ssl;
}

static const struct tls_symbol *find(const struct tls_symbols *s, enum weft_tls_func func)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->v[i].func == func)
			return &s->v[i];
	return NULL;
}

static void is_code_of(int fd, const struct tls_symbol *symbol, const void *function)
{
	char code[16];

	cr_assert(symbol);
	cr_assert_eq(pread(fd, code, sizeof(code), (off_t)symbol->offset), (ssize_t)sizeof(code));
	cr_assert_arr_eq(code, function, sizeof(code));
}

Test(tls_symbols, own_executable)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	struct tls_symbols s;

	cr_assert_eq(tls_symbols_find(fd, &s), 0);
	cr_assert_eq(s.n, 3);
	cr_assert_str_eq(s.library, "OpenSSL");
	is_code_of(fd, find(&s, WEFT_TLS_READ), (const void *)SSL_read);
	is_code_of(fd, find(&s, WEFT_TLS_WRITE), (const void *)SSL_write);
	is_code_of(fd, find(&s, WEFT_TLS_FREE), (const void *)SSL_free);
	close(fd);
}

Test(tls_symbols, no_library)
{
	int fd = open("/bin/true", O_RDONLY);
	struct tls_symbols s;

	cr_assert_eq(tls_symbols_find(fd, &s), 0);
	cr_assert_eq(s.n, 0);
	cr_assert_null(s.library);
	cr_assert_not(s.rust);
	close(fd);
}

Test(tls_symbols, no_executable)
{
	int fd = open("/etc/passwd", O_RDONLY);
	struct tls_symbols s;

	cr_assert_eq(tls_symbols_find(fd, &s), -ENOEXEC);
	close(fd);
}

/* Cut short, as a file is that is being written. */
Test(tls_symbols, cut)
{
	static char bytes[1 << 22];
	int fd = open("/proc/self/exe", O_RDONLY), part = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	ssize_t n = read(fd, bytes, sizeof(bytes));

	cr_assert_gt(n, 4096);
	cr_assert_geq(part, 0);
	for (ssize_t len = 0; len < n; len += n / 257 + 1) {
		struct tls_symbols s;

		cr_assert_eq(ftruncate(part, 0), 0);
		cr_assert_eq(pwrite(part, bytes, (size_t)len, 0), len);
		tls_symbols_find(part, &s);
		cr_assert_leq(s.n, 3);
	}
	close(part);
	close(fd);
}
