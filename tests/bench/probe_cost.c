/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an empty probe costs a call, by the instruction that it is put on: some the kernel carries
 * out itself, the others are single-stepped. Prints a table in nanoseconds; no BPF is involved.
 * x86-64 only, as root.
 */
#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CALLS 20000

/* As functions begin. */
__asm__(".text\n"
	"begins_push: push %rbx\n pop %rbx\n ret\n"
	"begins_sub: sub $8, %rsp\n add $8, %rsp\n ret\n"
	"begins_endbr: endbr64\n push %rbx\n pop %rbx\n ret\n");
void begins_push(void);
void begins_sub(void);
void begins_endbr(void);

static uint64_t number_in(const char *path)
{
	FILE *f = fopen(path, "re");
	unsigned long n = 0;

	if (!f || fscanf(f, "%lu", &n) != 1) {
		perror(path);
		exit(1);
	}
	fclose(f);
	return n;
}

/* Where the function lies in our own file. */
static uint64_t offset_of(void (*function)(void))
{
	FILE *f = fopen("/proc/self/maps", "re");
	uintptr_t at = (uintptr_t)function;
	unsigned long from, to, offset;
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %*s %lx", &from, &to, &offset) == 3 && at >= from &&
			at < to) {
			fclose(f);
			return at - from + offset;
		}
	exit(1);
}

static int probe(void (*function)(void), bool returns)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = (uint32_t)number_in("/sys/bus/event_source/devices/uprobe/type"),
		.config = returns,
		.config1 = (uintptr_t) "/proc/self/exe",
		.config2 = offset_of(function),
	};
	int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0) {
		perror("perf_event_open");
		exit(1);
	}
	return fd;
}

static double cost(void (*function)(void))
{
	struct timespec begin, end;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (int i = 0; i < CALLS; i++)
		function();
	clock_gettime(CLOCK_MONOTONIC, &end);
	return ((double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec)) /
	       CALLS;
}

int main(void)
{
	static const struct {
		const char *name;
		void (*function)(void);
	} CASES[] = {
		{"push", begins_push},
		{"sub", begins_sub},
		{"endbr64", begins_endbr},
	};

	printf("| begins with | no probe | at its beginning | and at its return "
	       "|\n|---|---:|---:|---:|\n");
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		double none = cost(CASES[i].function), one, both;
		int enter = probe(CASES[i].function, false), leave;

		one = cost(CASES[i].function);
		leave = probe(CASES[i].function, true);
		both = cost(CASES[i].function);
		close(leave);
		close(enter);
		printf("| `%s` | %.0f | %.0f | %.0f |\n", CASES[i].name, none, one, both);
	}
	return 0;
}
