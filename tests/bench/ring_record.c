/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring_record FILE HOOKS PID...: attaches weft's hooks, traces these processes, says "ready", and
 * writes every record to the file until its standard input ends. For ring_replay.
 */
#include "capture/capture.h"
#include "core/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

struct recording {
	struct capture *capture;
	FILE *out;
	char **pids;
	int n;
};

static bool is_wanted(const struct recording *r, uint32_t pid)
{
	for (int i = 0; i < r->n; i++)
		if (strtoul(r->pids[i], NULL, 10) == pid)
			return true;
	return false;
}

static void on_record(void *ctx, const struct weft_record *rec, size_t size)
{
	struct recording *r = ctx;
	static const char pad[8];

	(void)size;
	if (!is_wanted(r, rec->pid)) {
		if (rec->type == WEFT_RECORD_PROC) /* decided: no */
			capture_untrace(r->capture, rec->pid);
		return;
	}
	fwrite(rec, rec->size, 1, r->out);
	fwrite(pad, -rec->size & 7u, 1, r->out);
}

int main(int argc, char **argv)
{
	struct capture_options options = {.transport = TRANSPORT_RINGBUF,
		.ring_bytes = 64u << 20,
		.max_connections = 65536,
		.max_processes = 4096};
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
	struct recording r = {.pids = argv + 3, .n = argc - 3};
	enum hooks hooks = HOOKS_SOCK;
	char why[256];
	sigset_t mask;

	if (argc < 4) {
		fprintf(stderr, "usage: ring_record FILE sock|syscalls|fentry PID...\n");
		return 2;
	}
	if (strcmp(argv[2], "syscalls") == 0)
		hooks = HOOKS_SYSCALLS;
	else if (strcmp(argv[2], "fentry") == 0)
		hooks = HOOKS_FENTRY;
	r.out = fopen(argv[1], "we");
	if (!r.out) {
		fprintf(stderr, "ring_record: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	if (capture_open(
		    &options, hooks, TRANSPORT_RINGBUF, false, on_record, &r, &r.capture, why)) {
		fprintf(stderr, "ring_record: %s\n", why);
		return 1;
	}
	for (int i = 3; i < argc; i++)
		capture_trace(r.capture, (uint32_t)strtoul(argv[i], NULL, 10), WEFT_TRACED);
	puts("ready");
	fflush(stdout);
	sigemptyset(&mask);
	while (poll(&in, 1, 0) == 0) {
		capture_read(r.capture, false);
		capture_wait(r.capture, false, 5, &mask);
	}
	capture_detach(r.capture);
	capture_read(r.capture, true);
	fprintf(stderr, "ring_record: %llu records lost\n",
		(unsigned long long)capture_lost(r.capture));
	if (fclose(r.out)) {
		fprintf(stderr, "ring_record: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	capture_detach(r.capture);
	return capture_lost(r.capture) ? 1 : 0;
}
