/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A web server that does everything through one io_uring: accept, connect, recv, send.
 *
 *   uring_server PORT LEAF_PORT [worker|sqpoll]
 *
 * GET /call/X asks the leaf, on a connection of its own, for /leaf/X, and replies when that has
 * replied; anything else is answered at once. worker: the ring hands every operation to its
 * workers; sqpoll: a kernel thread submits. Exits with 77 where there is no io_uring.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNS   64
#define BYTES   4096
#define SKIPPED 77

enum step { ACCEPT, GET, CONNECT, ASK, HEAR, REPLY };

struct conn {
	int fd, leaf;
	enum step step;
	size_t len, sent;
	char path[128];
	char bytes[BYTES];
};

static struct io_uring ring;
static struct conn conns[CONNS + 1]; /* the last one accepts */
static struct sockaddr_in leaf_addr;
static unsigned sqe_flags;

static struct io_uring_sqe *entry(struct conn *c, enum step step)
{
	struct io_uring_sqe *sqe;

	while (!(sqe = io_uring_get_sqe(&ring)))
		io_uring_submit(&ring);
	c->step = step;
	return sqe;
}

static void go(struct io_uring_sqe *sqe, struct conn *c)
{
	io_uring_sqe_set_data(sqe, c);
	io_uring_sqe_set_flags(sqe, sqe_flags);
}

static void receive(struct conn *c, enum step step, int fd)
{
	struct io_uring_sqe *sqe = entry(c, step);

	io_uring_prep_recv(sqe, fd, c->bytes + c->len, BYTES - 1 - c->len, 0);
	go(sqe, c);
}

static void transmit(struct conn *c, enum step step, int fd)
{
	struct io_uring_sqe *sqe = entry(c, step);

	io_uring_prep_send(sqe, fd, c->bytes + c->sent, c->len - c->sent, MSG_NOSIGNAL);
	go(sqe, c);
}

static void reply(struct conn *c)
{
	c->len = (size_t)snprintf(c->bytes, BYTES,
		"HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(c->path), c->path);
	c->sent = 0;
	transmit(c, REPLY, c->fd);
}

static void hang_up(struct conn *c)
{
	close(c->fd);
	if (c->leaf >= 0)
		close(c->leaf);
	c->fd = c->leaf = -1;
}

/* The request is there. */
static void serve(struct conn *c)
{
	struct io_uring_sqe *sqe;

	if (sscanf(c->bytes, "GET %127s", c->path) != 1) {
		hang_up(c);
		return;
	}
	if (strncmp(c->path, "/call/", 6) != 0) {
		reply(c);
		return;
	}
	c->leaf = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	sqe = entry(c, CONNECT);
	io_uring_prep_connect(sqe, c->leaf, (struct sockaddr *)&leaf_addr, sizeof(leaf_addr));
	go(sqe, c);
}

static void accept_one(void)
{
	struct conn *c = &conns[CONNS];
	struct io_uring_sqe *sqe = entry(c, ACCEPT);

	io_uring_prep_accept(sqe, c->fd, NULL, NULL, SOCK_CLOEXEC);
	go(sqe, c);
}

static void accepted(int fd)
{
	for (struct conn *c = conns; c < conns + CONNS; c++)
		if (c->fd < 0) {
			*c = (struct conn){.fd = fd, .leaf = -1};
			receive(c, GET, fd);
			return;
		}
	close(fd);
}

static void done(struct conn *c, int res)
{
	if (c->step == ACCEPT) {
		if (res >= 0)
			accepted(res);
		accept_one();
		return;
	}
	if (res < 0 || (res == 0 && c->step != CONNECT && c->step != HEAR)) {
		hang_up(c);
		return;
	}
	switch (c->step) {
	case GET:
		c->len += (size_t)res;
		c->bytes[c->len] = '\0';
		if (strstr(c->bytes, "\r\n\r\n"))
			serve(c);
		else
			receive(c, GET, c->fd);
		break;
	case CONNECT:
		c->len = (size_t)snprintf(c->bytes, BYTES, "GET /leaf/%s HTTP/1.0\r\n\r\n",
			c->path + strlen("/call/"));
		c->sent = 0;
		transmit(c, ASK, c->leaf);
		break;
	case ASK:
		c->sent += (size_t)res;
		if (c->sent < c->len) {
			transmit(c, ASK, c->leaf);
			break;
		}
		c->len = 0;
		receive(c, HEAR, c->leaf);
		break;
	case HEAR: /* to the end of the connection */
		if (res > 0) {
			receive(c, HEAR, c->leaf);
			break;
		}
		close(c->leaf);
		c->leaf = -1;
		reply(c);
		break;
	case REPLY:
		c->sent += (size_t)res;
		if (c->sent < c->len) {
			transmit(c, REPLY, c->fd);
			break;
		}
		c->len = 0;
		receive(c, GET, c->fd);
		break;
	case ACCEPT:
		break;
	}
}

static int listen_on(const char *port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)atoi(port))};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 64))
		return -1;
	return fd;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 3 ? argv[3] : "";
	struct io_uring_params params = {0};
	int r;

	if (argc < 3)
		return 2;
	if (!strcmp(mode, "worker"))
		sqe_flags = IOSQE_ASYNC;
	if (!strcmp(mode, "sqpoll")) {
		params.flags = IORING_SETUP_SQPOLL;
		params.sq_thread_idle = 1000;
	}
	r = io_uring_queue_init_params(256, &ring, &params);
	if (r < 0) {
		printf("skip: no io_uring: %s\n", strerror(-r));
		return SKIPPED;
	}
	leaf_addr = (struct sockaddr_in){.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)atoi(argv[2]))};
	for (struct conn *c = conns; c < conns + CONNS; c++)
		c->fd = c->leaf = -1;
	conns[CONNS].fd = listen_on(argv[1]);
	if (conns[CONNS].fd < 0) {
		perror("listen");
		return 1;
	}
	accept_one();
	for (;;) {
		struct io_uring_cqe *cqe;
		struct conn *c;
		int res;

		r = io_uring_submit_and_wait(&ring, 1);
		if (r < 0 && r != -EINTR)
			return 1;
		while (io_uring_peek_cqe(&ring, &cqe) == 0) {
			c = io_uring_cqe_get_data(cqe);
			res = cqe->res;
			io_uring_cqe_seen(&ring, cqe);
			done(c, res);
		}
	}
}
