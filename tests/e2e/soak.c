/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections and processes in number, for test_soak.py.
 *
 *   soak hold PORT COUNT           for every line on standard input asks once on each of COUNT
 *                                  connections, opened at the first; closes them at its end
 *   soak load PORT RATE SECONDS    RATE connections a second, a request each
 *   soak fork PORT COUNT SECONDS   COUNT processes one after the other, spread over the time
 *   soak ask PORT                  one connection, one request
 *
 * Every request must be answered, else it ends with a message and a status that is not 0. Each step
 * prints a line: how many requests; load and fork also how late the last of them was, in ms.
 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BURST     20 /* opened before the first of them is read: what lives at a time */
#define ADDRESSES 64 /* to call from: one has not ports enough */
#define BODY      "ok\n"

static struct sockaddr_in server = {.sin_family = AF_INET};
static const char *self;

static const char *const REQUESTS[] = {
	"GET /leaf/soak HTTP/1.1\r\nHost: t\r\n\r\n",
	"GET /leaf/soak HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
};

/* Never from 127.0.0.1, whose ports others take by chance. */
static int dial(unsigned index)
{
	struct sockaddr_in from = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(0x7f010001 + index % ADDRESSES),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

	if (fd < 0)
		err(1, "socket");
	/* a port that is free towards this server, not towards everybody */
	if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof(yes)) ||
		bind(fd, (struct sockaddr *)&from, sizeof(from)))
		err(1, "bind");
	if (connect(fd, (struct sockaddr *)&server, sizeof(server)))
		err(1, "connect");
	return fd;
}

static void ask(int fd, bool last)
{
	size_t len = strlen(REQUESTS[last]);

	if (send(fd, REQUESTS[last], len, MSG_NOSIGNAL) != (ssize_t)len)
		err(1, "send");
}

/* last: the server ends the connection. */
static void hear(int fd, bool last)
{
	char reply[1024];
	size_t len = 0;

	while (len < strlen(BODY) || memcmp(reply + len - strlen(BODY), BODY, strlen(BODY)) != 0) {
		ssize_t n = recv(fd, reply + len, sizeof(reply) - len, 0);

		if (n < 0)
			err(1, "recv");
		if (n == 0)
			errx(1, "no whole reply: %.*s", (int)len, reply);
		len += (size_t)n;
	}
	if (strncmp(reply, "HTTP/1.1 200 ", 13) != 0)
		errx(1, "not answered: %.*s", (int)len, reply);
	if (last && recv(fd, reply, sizeof(reply), 0) != 0)
		errx(1, "not closed");
}

static void hold(unsigned count)
{
	const struct rlimit room = {count + 64, count + 64};
	int *fds = calloc(count, sizeof(*fds));
	char line[16];
	bool fresh = true;

	if (!fds || setrlimit(RLIMIT_NOFILE, &room))
		err(1, "room for %u connections", count);
	while (fgets(line, sizeof(line), stdin)) {
		for (unsigned begin = 0, end; begin < count; begin = end) {
			end = begin + BURST < count ? begin + BURST : count;
			for (unsigned i = begin; i < end; i++) {
				if (fresh)
					fds[i] = dial(i);
				ask(fds[i], false);
			}
			for (unsigned i = begin; i < end; i++)
				hear(fds[i], false);
		}
		fresh = false;
		printf("%u requests\n", count);
	}
	free(fds);
}

/* Sleeps until the step-th of `steps` that are spread over the time; how late it is by now, in ms.
 */
static long pace(
	const struct timespec *begin, unsigned long step, unsigned long steps, unsigned seconds)
{
	unsigned long long ns =
		(unsigned long long)begin->tv_nsec + 1000000000ull * seconds * step / steps;
	struct timespec due = {begin->tv_sec + (time_t)(ns / 1000000000), (long)(ns % 1000000000)},
			now;

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - due.tv_sec) * 1000 + (now.tv_nsec - due.tv_nsec) / 1000000;
}

/* The server ends every other connection, the client the rest. */
static void load(unsigned rate, unsigned seconds)
{
	unsigned long bursts = (unsigned long)rate * seconds / BURST;
	struct timespec begin;
	int fds[BURST];
	long late = 0;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (unsigned long burst = 0; burst < bursts; burst++) {
		late = pace(&begin, burst, bursts, seconds);
		for (unsigned i = 0; i < BURST; i++) {
			fds[i] = dial((unsigned)burst * BURST + i);
			ask(fds[i], i % 2);
		}
		for (unsigned i = 0; i < BURST; i++) {
			hear(fds[i], i % 2);
			close(fds[i]);
		}
	}
	printf("%lu requests, %ld ms late\n", bursts * BURST, late);
}

static void ask_once(unsigned index)
{
	int fd = dial(index);

	ask(fd, false);
	hear(fd, false);
	close(fd);
}

/* Of four: one ends at once, one becomes another program, one asks, one asks as a program of its
 * own. */
static void child(unsigned index, char *port)
{
	switch (index % 4) {
	case 1:
		execl("/bin/true", "true", NULL);
		err(1, "/bin/true");
	case 2:
		ask_once(index);
		break;
	case 3:
		execl(self, self, "ask", port, NULL);
		err(1, "%s", self);
	}
	_exit(0);
}

static void forks(char *port, unsigned count, unsigned seconds)
{
	struct timespec begin;
	unsigned asked = 0;
	long late = 0;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (unsigned i = 0; i < count; i++) {
		int status;
		pid_t pid;

		late = pace(&begin, i, count, seconds);
		pid = fork();
		if (pid == 0)
			child(i, port);
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
			err(1, "child %u", i);
		asked += i % 4 >= 2;
	}
	printf("%u requests, %ld ms late\n", asked, late);
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";
	unsigned n[2] = {0, 0};

	for (int i = 0; i < 2 && i + 3 < argc; i++)
		n[i] = (unsigned)strtoul(argv[i + 3], NULL, 10);
	if (argc > 2) {
		self = argv[0];
		server.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
		server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!strcmp(what, "hold") && n[0])
		hold(n[0]);
	else if (!strcmp(what, "load") && n[0] && n[1])
		load(n[0], n[1]);
	else if (!strcmp(what, "fork") && n[0] && n[1])
		forks(argv[2], n[0], n[1]);
	else if (!strcmp(what, "ask"))
		ask_once(0);
	else
		errx(2, "soak hold PORT COUNT | load PORT RATE SECONDS | fork PORT COUNT SECONDS | "
			"ask PORT");
	return 0;
}
