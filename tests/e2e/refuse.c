// SPDX-License-Identifier: Apache-2.0
/*
 * Preloaded into weft: a kernel that refuses to load the BPF program whose name is in REFUSE, as a
 * verifier does that is not the one it was written for.
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

long syscall(long number, ...)
{
	static long (*next)(long, ...);
	const char *refused = getenv("REFUSE");
	const union bpf_attr *attr;
	va_list list;
	long v[6];

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		v[i] = va_arg(list, long);
	va_end(list);
	attr = (const union bpf_attr *)v[1];
	if (number == SYS_bpf && v[0] == BPF_PROG_LOAD && refused &&
		!strncmp(attr->prog_name, refused, sizeof(attr->prog_name) - 1)) {
		errno = EACCES;
		return -1;
	}
	if (!next)
		next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	return next(number, v[0], v[1], v[2], v[3], v[4], v[5]);
}
