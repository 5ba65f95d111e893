/* SPDX-License-Identifier: Apache-2.0 */
/*
 * empty_hooks sock|syscalls: attaches the hooks that weft would, with programs that do nothing,
 * says "ready" and keeps them until its standard input ends. The bench compares weft with this.
 */
#include "empty_life.skel.h"
#include "empty_sock.skel.h"
#include "empty_syscalls.skel.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct empty_life *life = NULL;
	struct empty_sock *sock = NULL;
	struct empty_syscalls *syscalls = NULL;
	bool want_sock, attached = false;
	char c;

	if (argc != 2 || (strcmp(argv[1], "sock") && strcmp(argv[1], "syscalls"))) {
		fprintf(stderr, "usage: empty_hooks sock|syscalls\n");
		return 2;
	}
	want_sock = !strcmp(argv[1], "sock");

	life = empty_life__open_and_load();
	if (!life || empty_life__attach(life))
		goto out;
	if (want_sock) {
		sock = empty_sock__open_and_load();
		attached = sock && !empty_sock__attach(sock);
	} else {
		syscalls = empty_syscalls__open_and_load();
		attached = syscalls && !empty_syscalls__attach(syscalls);
	}
	if (attached) {
		puts("ready");
		fflush(stdout);
		while (read(STDIN_FILENO, &c, 1) > 0)
			;
	}
out:
	empty_syscalls__destroy(syscalls);
	empty_sock__destroy(sock);
	empty_life__destroy(life);
	if (!attached)
		fprintf(stderr, "empty_hooks: could not attach\n");
	return attached ? 0 : 1;
}
