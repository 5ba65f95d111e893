/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Speaks HTTP with itself over one TCP connection (or Unix stream socket), a client thread and a
 * server thread, with a chosen call to send and a chosen call to receive:
 *
 *   syscalls SEND RECV [STORY]
 *
 * Prints "ok" and exits 0 when every byte arrived; 77 when the kernel lacks what was asked for.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>
#ifdef HAVE_LIBURING
#include <liburing.h>
#endif

#define BODY    3000
#define MESSAGE 4096
#define SKIPPED 77
#define PIECES  5

#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY 60
#endif
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

struct message {
	char bytes[MESSAGE];
	size_t head; /* length of the head */
	size_t len; /* of all */
};

struct way; /* how to send or to receive */

struct story {
	const char *name;
	int protocol; /* of the sockets */
	bool local; /* Unix sockets */
	int rounds; /* exchanges */
	bool close_reply; /* the reply ends with the connection */
	bool half_close; /* the client shuts its side down after the request */
	bool reset; /* the server resets instead of replying */
	bool mute; /* the server never replies, the client gives up */
	bool urgent; /* an urgent byte between the requests */
	unsigned readers; /* threads that read the server's socket */
};

struct side {
	int fd;
	const struct way *send;
	const struct way *recv;
	const struct story *story;
};

struct way {
	const char *name;
	int (*prepare)(int fd);
	ssize_t (*go)(int fd, char *buf, size_t n, size_t head);
};

static void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static void skip(const char *why)
{
	printf("skip: %s\n", why);
	exit(SKIPPED);
}

/* Cuts a buffer into PIECES vectors of unequal lengths; the count of vectors. */
static int cut(struct iovec iov[static PIECES], char *buf, size_t n)
{
	size_t at = 0;
	int i = 0;

	for (; i < PIECES - 1 && at + 7 * (size_t)(i + 1) < n; i++) {
		iov[i] = (struct iovec){buf + at, 7 * (size_t)(i + 1)};
		at += iov[i].iov_len;
	}
	iov[i] = (struct iovec){buf + at, n - at};
	return i + 1;
}

/* --- ways to send: all take the whole message and give what they moved of it --- */

static ssize_t send_write(int fd, char *buf, size_t n, size_t head)
{
	(void)head;
	return write(fd, buf, n);
}

static ssize_t send_writev(int fd, char *buf, size_t n, size_t head)
{
	struct iovec iov[PIECES];

	(void)head;
	return writev(fd, iov, cut(iov, buf, n));
}

static ssize_t send_pwritev2(int fd, char *buf, size_t n, size_t head)
{
	struct iovec iov[PIECES];

	(void)head;
	return pwritev2(fd, iov, cut(iov, buf, n), -1, 0);
}

static ssize_t send_sendto(int fd, char *buf, size_t n, size_t head)
{
	(void)head;
	return sendto(fd, buf, n, MSG_NOSIGNAL, NULL, 0);
}

static ssize_t send_sendmsg(int fd, char *buf, size_t n, size_t head)
{
	struct iovec iov[PIECES];
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)cut(iov, buf, n)};

	(void)head;
	return sendmsg(fd, &msg, MSG_NOSIGNAL);
}

static ssize_t sum(const struct mmsghdr *msgs, int n)
{
	ssize_t total = 0;

	for (int i = 0; i < n; i++)
		total += msgs[i].msg_len;
	return n < 0 ? n : total;
}

static ssize_t send_sendmmsg1(int fd, char *buf, size_t n, size_t head)
{
	struct iovec iov[PIECES];
	struct mmsghdr msg = {{.msg_iov = iov, .msg_iovlen = (size_t)cut(iov, buf, n)}, 0};

	(void)head;
	return sum(&msg, sendmmsg(fd, &msg, 1, MSG_NOSIGNAL));
}

static ssize_t send_sendmmsg(int fd, char *buf, size_t n, size_t head)
{
	struct iovec iov[3] = {{buf, 20}, {buf + 20, 11}, {buf + 31, n - 31}};
	struct mmsghdr msgs[3] = {
		{{.msg_iov = &iov[0], .msg_iovlen = 1}, 0},
		{{.msg_iov = &iov[1], .msg_iovlen = 1}, 0},
		{{.msg_iov = &iov[2], .msg_iovlen = 1}, 0},
	};

	(void)head;
	return sum(msgs, sendmmsg(fd, msgs, 3, MSG_NOSIGNAL));
}

/* A file that holds the bytes. */
static int file_of(const char *buf, size_t n)
{
	int file = memfd_create("body", MFD_CLOEXEC);

	if (file < 0 || write(file, buf, n) != (ssize_t)n || lseek(file, 0, SEEK_SET) < 0)
		fail("memfd");
	return file;
}

static ssize_t sendfile_from(int fd, char *buf, size_t n, size_t from)
{
	int file;
	ssize_t moved;

	if (from && send(fd, buf, from, MSG_MORE | MSG_NOSIGNAL) != (ssize_t)from)
		return -1;
	if (from == n)
		return (ssize_t)n;
	file = file_of(buf + from, n - from);
	moved = sendfile(fd, file, NULL, n - from);
	close(file);
	return moved < 0 ? moved : (ssize_t)from + moved;
}

static ssize_t send_sendfile(int fd, char *buf, size_t n, size_t head)
{
	return sendfile_from(fd, buf, n, head);
}

static ssize_t send_sendfile_all(int fd, char *buf, size_t n, size_t head)
{
	(void)head;
	return sendfile_from(fd, buf, n, 0);
}

static ssize_t send_splice(int fd, char *buf, size_t n, size_t head)
{
	int ends[2];
	ssize_t moved;

	if (send(fd, buf, head, MSG_NOSIGNAL) != (ssize_t)head)
		return -1;
	if (head == n)
		return (ssize_t)n;
	if (pipe2(ends, O_CLOEXEC) || write(ends[1], buf + head, n - head) != (ssize_t)(n - head))
		fail("pipe");
	moved = splice(ends[0], NULL, fd, NULL, n - head, 0);
	close(ends[0]);
	close(ends[1]);
	return moved < 0 ? moved : (ssize_t)head + moved;
}

static ssize_t send_more(int fd, char *buf, size_t n, size_t head)
{
	(void)head;
	for (size_t at = 0; at < 30; at += 10)
		if (send(fd, buf + at, 10, MSG_MORE | MSG_NOSIGNAL) != 10)
			return -1;
	return 30 + send(fd, buf + 30, n - 30, MSG_NOSIGNAL);
}

static ssize_t send_cork(int fd, char *buf, size_t n, size_t head)
{
	const int on = 1, off = 0;
	ssize_t moved;

	(void)head;
	setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
	moved = write(fd, buf, 17) + write(fd, buf + 17, n - 17);
	setsockopt(fd, IPPROTO_TCP, TCP_CORK, &off, sizeof(off));
	return moved;
}

static ssize_t send_bytes(int fd, char *buf, size_t n, size_t head)
{
	for (size_t at = 0; at < head; at++)
		if (write(fd, buf + at, 1) != 1)
			return -1;
	return n == head ? (ssize_t)n : (ssize_t)head + write(fd, buf + head, n - head);
}

static int prepare_zerocopy(int fd)
{
	const int on = 1;

	return setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on));
}

static ssize_t send_zerocopy(int fd, char *buf, size_t n, size_t head)
{
	char control[128];
	struct msghdr note = {.msg_control = control, .msg_controllen = sizeof(control)};
	struct pollfd poller = {.fd = fd};
	ssize_t moved = send(fd, buf, n, MSG_ZEROCOPY | MSG_NOSIGNAL);

	(void)head;
	/* The pages are ours again when the error queue says so. */
	if (moved > 0 && poll(&poller, 1, 2000) == 1)
		recvmsg(fd, &note, MSG_ERRQUEUE);
	return moved;
}

/* --- ways to receive: any number of bytes, as read(2) does --- */

static ssize_t recv_read(int fd, char *buf, size_t n, size_t head)
{
	(void)head;
	return read(fd, buf, n);
}

static ssize_t recv_readv(int fd, char *buf, size_t n, size_t head)
{
	struct iovec iov[PIECES];

	(void)head;
	return readv(fd, iov, cut(iov, buf, n));
}

static ssize_t recv_preadv2(int fd, char *buf, size_t n, size_t head)
{
	struct iovec iov[PIECES];

	(void)head;
	return preadv2(fd, iov, cut(iov, buf, n), -1, 0);
}

static ssize_t recv_recvfrom(int fd, char *buf, size_t n, size_t head)
{
	(void)head;
	return recvfrom(fd, buf, n, 0, NULL, NULL);
}

static ssize_t recv_recvmsg(int fd, char *buf, size_t n, size_t head)
{
	struct iovec iov[PIECES];
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)cut(iov, buf, n)};

	(void)head;
	return recvmsg(fd, &msg, 0);
}

static ssize_t recv_recvmmsg1(int fd, char *buf, size_t n, size_t head)
{
	struct iovec iov[PIECES];
	struct mmsghdr msg = {{.msg_iov = iov, .msg_iovlen = (size_t)cut(iov, buf, n)}, 0};

	(void)head;
	return sum(&msg, recvmmsg(fd, &msg, 1, MSG_WAITFORONE, NULL));
}

static ssize_t recv_recvmmsg(int fd, char *buf, size_t n, size_t head)
{
	struct iovec iov[2] = {{buf, 16}, {buf + 16, n - 16}};
	struct mmsghdr msgs[2] = {
		{{.msg_iov = &iov[0], .msg_iovlen = 1}, 0},
		{{.msg_iov = &iov[1], .msg_iovlen = 1}, 0},
	};

	(void)head;
	return n <= 16 ? read(fd, buf, n) : sum(msgs, recvmmsg(fd, msgs, 2, MSG_WAITFORONE, NULL));
}

static ssize_t recv_peek(int fd, char *buf, size_t n, size_t head)
{
	(void)head;
	if (recv(fd, buf, n, MSG_PEEK) <= 0 || recv(fd, buf, n > 9 ? 9 : n, MSG_PEEK) <= 0)
		return 0;
	return read(fd, buf, n);
}

/* The head is read, the body thrown away where it lies. */
static ssize_t recv_trunc(int fd, char *buf, size_t n, size_t head)
{
	return head ? read(fd, buf, n < head ? n : head) : recv(fd, NULL, n, MSG_TRUNC);
}

static ssize_t recv_trunc_all(int fd, char *buf, size_t n, size_t head)
{
	(void)buf;
	(void)head;
	return recv(fd, NULL, n, MSG_TRUNC);
}

static ssize_t recv_waitall(int fd, char *buf, size_t n, size_t head)
{
	(void)head;
	return recv(fd, buf, n, MSG_WAITALL);
}

static ssize_t recv_splice(int fd, char *buf, size_t n, size_t head)
{
	int ends[2];
	ssize_t moved;

	if (head)
		return read(fd, buf, n < head ? n : head);
	if (pipe2(ends, O_CLOEXEC))
		fail("pipe");
	moved = splice(fd, NULL, ends[1], NULL, n, 0);
	if (moved > 0 && read(ends[0], buf, (size_t)moved) != moved)
		fail("pipe");
	close(ends[0]);
	close(ends[1]);
	return moved;
}

static ssize_t recv_bytes(int fd, char *buf, size_t n, size_t head)
{
	(void)n;
	return read(fd, buf, head ? 1 : n);
}

#ifdef HAVE_LIBURING
static ssize_t uring(int fd, char *buf, size_t n, bool sending)
{
	static _Thread_local struct io_uring ring;
	static _Thread_local bool ready;
	struct io_uring_sqe *entry;
	struct io_uring_cqe *done;
	ssize_t moved;

	if (!ready && io_uring_queue_init(4, &ring, 0))
		skip("io_uring is not allowed here");
	ready = true;
	entry = io_uring_get_sqe(&ring);
	if (sending)
		io_uring_prep_send(entry, fd, buf, n, MSG_NOSIGNAL);
	else
		io_uring_prep_recv(entry, fd, buf, n, 0);
	io_uring_submit(&ring);
	if (io_uring_wait_cqe(&ring, &done))
		return -1;
	moved = done->res;
	io_uring_cqe_seen(&ring, done);
	return moved;
}

static ssize_t send_uring(int fd, char *buf, size_t n, size_t head)
{
	(void)head;
	return uring(fd, buf, n, true);
}

static ssize_t recv_uring(int fd, char *buf, size_t n, size_t head)
{
	(void)head;
	return uring(fd, buf, n, false);
}
#endif

#define WAY(kind, name)                                                                            \
	{                                                                                          \
#name, NULL, kind##_##name                                                         \
	}

static const struct way SENDS[] = {
	WAY(send, write),
	WAY(send, writev),
	WAY(send, pwritev2),
	WAY(send, sendto),
	WAY(send, sendmsg),
	WAY(send, sendmmsg1),
	WAY(send, sendmmsg),
	WAY(send, sendfile),
	WAY(send, sendfile_all),
	WAY(send, splice),
	WAY(send, more),
	WAY(send, cork),
	WAY(send, bytes),
	{"zerocopy", prepare_zerocopy, send_zerocopy},
#ifdef HAVE_LIBURING
	WAY(send, uring),
#endif
	{0},
};

static const struct way RECVS[] = {
	WAY(recv, read),
	WAY(recv, readv),
	WAY(recv, preadv2),
	WAY(recv, recvfrom),
	WAY(recv, recvmsg),
	WAY(recv, recvmmsg1),
	WAY(recv, recvmmsg),
	WAY(recv, peek),
	WAY(recv, trunc),
	WAY(recv, trunc_all),
	WAY(recv, waitall),
	WAY(recv, splice),
	WAY(recv, bytes),
#ifdef HAVE_LIBURING
	WAY(recv, uring),
#endif
	{0},
};

static const struct story STORIES[] = {
	{.name = "plain", .rounds = 3, .readers = 1},
	{.name = "mptcp", .rounds = 3, .readers = 1, .protocol = IPPROTO_MPTCP},
	{.name = "unix", .rounds = 3, .readers = 1, .local = true},
	{.name = "unix-fin", .rounds = 1, .readers = 1, .local = true, .close_reply = true},
	{.name = "unix-half", .rounds = 1, .readers = 1, .local = true, .half_close = true},
	{.name = "unix-reset", .rounds = 1, .readers = 1, .local = true, .reset = true},
	{.name = "fin", .rounds = 1, .readers = 1, .close_reply = true},
	{.name = "half", .rounds = 1, .readers = 1, .half_close = true},
	{.name = "reset", .rounds = 1, .readers = 1, .reset = true},
	{.name = "mute", .rounds = 1, .readers = 1, .mute = true},
	{.name = "urgent", .rounds = 3, .readers = 1, .urgent = true},
	{.name = "threads", .rounds = 3, .readers = 2},
	{0},
};

static const struct way *find_way(const struct way *ways, const char *name)
{
	for (; ways->name; ways++)
		if (!strcmp(ways->name, name))
			return ways;
	skip("not built in");
	return NULL;
}

static void make_request(struct message *m, int round)
{
	m->len = m->head = (size_t)snprintf(m->bytes, MESSAGE,
		"POST /call/r%c HTTP/1.1\r\nHost: syscalls\r\nContent-Length: %d\r\n\r\n",
		'a' + round, BODY);
	memset(m->bytes + m->len, 'q', BODY);
	m->len += BODY;
}

static void make_reply(struct message *m, const struct story *story)
{
	m->len = m->head = story->close_reply
				   ? (size_t)snprintf(m->bytes, MESSAGE,
					     "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
				   : (size_t)snprintf(m->bytes, MESSAGE,
					     "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BODY);
	memset(m->bytes + m->len, 'p', BODY);
	m->len += BODY;
}

static void send_message(const struct side *side, struct message *m)
{
	ssize_t n = side->send->go(side->fd, m->bytes, m->len, m->head);

	if (n != (ssize_t)m->len)
		fail(side->send->name);
}

struct reader {
	const struct side *side;
	const struct message *want;
	size_t *at; /* shared by the readers */
};

static void *read_some(void *arg)
{
	const struct reader *reader = arg;
	const struct message *want = reader->want;
	char buf[MESSAGE];
	ssize_t n;
	size_t at;

	while ((at = __atomic_load_n(reader->at, __ATOMIC_SEQ_CST)) < want->len) {
		if (reader->side->story->readers > 1) {
			n = recv(reader->side->fd, buf, 61, MSG_DONTWAIT);
			if (n < 0 && errno == EAGAIN)
				continue;
		} else {
			n = reader->side->recv->go(reader->side->fd, buf, want->len - at,
				at < want->head ? want->head - at : 0);
		}
		if (n <= 0)
			fail(reader->side->recv->name);
		__atomic_fetch_add(reader->at, (size_t)n, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static void recv_message(const struct side *side, const struct message *want, unsigned readers)
{
	size_t at = 0;
	struct reader reader = {side, want, &at};
	pthread_t second;

	if (readers > 1 && pthread_create(&second, NULL, read_some, &reader))
		fail("pthread_create");
	read_some(&reader);
	if (readers > 1)
		pthread_join(second, NULL);
}

static void close_hard(int fd)
{
	const struct linger now = {1, 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* Before the bytes behind it are read: then the kernel has forgotten it. */
static void recv_urgent(int fd)
{
	struct pollfd poller = {.fd = fd, .events = POLLPRI};
	char byte;

	if (poll(&poller, 1, 2000) != 1 || recv(fd, &byte, 1, MSG_OOB) != 1 || byte != '!')
		fail("MSG_OOB");
}

static void *serve(void *arg)
{
	struct side *side = arg;
	const struct story *story = side->story;
	struct message request, reply;
	char rest;
	int listener = side->fd;

	side->fd = accept(listener, NULL, NULL);
	close(listener);
	if (side->fd < 0 || (side->send->prepare && side->send->prepare(side->fd)))
		fail("accept");
	for (int round = 0; round < story->rounds; round++) {
		make_request(&request, round);
		make_reply(&reply, story);
		if (story->urgent && round)
			recv_urgent(side->fd);
		if (story->local && story->reset) { /* closing with bytes unread resets */
			(void)!read(side->fd, &rest, 1);
			close(side->fd);
			return NULL;
		}
		recv_message(side, &request, story->readers);
		if (story->reset) {
			close_hard(side->fd);
			return NULL;
		}
		if (story->mute) {
			(void)!read(side->fd, &rest, 1);
			close(side->fd);
			return NULL;
		}
		send_message(side, &reply);
	}
	if (!story->close_reply && read(side->fd, &rest, 1) != 0)
		fail("end");
	close(side->fd);
	return NULL;
}

static void call(struct side *side)
{
	const struct story *story = side->story;
	const struct timeval patience = {.tv_usec = 200000};
	struct message request, reply;
	char rest;

	for (int round = 0; round < story->rounds; round++) {
		make_request(&request, round);
		make_reply(&reply, story);
		if (story->urgent && round && send(side->fd, "!", 1, MSG_OOB) != 1)
			fail("MSG_OOB");
		send_message(side, &request);
		if (story->half_close)
			shutdown(side->fd, SHUT_WR);
		if (story->mute)
			setsockopt(side->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		if (story->reset || story->mute) {
			if (read(side->fd, &rest, 1) != -1)
				fail("a reply");
			break;
		}
		recv_message(side, &reply, 1);
	}
	if (story->close_reply && read(side->fd, &rest, 1) != 0)
		fail("end");
	close(side->fd);
}

int main(int argc, char **argv)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_un un;
	} addr = {.in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(addr.in);
	const struct story *story = STORIES;
	struct side server, client;
	pthread_t thread;
	const int on = 1;

	if (argc < 3)
		return 2;
	while (argc > 3 && story->name && strcmp(story->name, argv[3]))
		story++;
	if (!story->name)
		return 2;
	server = client =
		(struct side){-1, find_way(SENDS, argv[1]), find_way(RECVS, argv[2]), story};
	if (story->local) { /* an abstract name of the kernel's choice */
		addr.un.sun_family = AF_UNIX;
		len = sizeof(addr.un.sun_family);
	}
	server.fd = socket(addr.any.sa_family, SOCK_STREAM, story->protocol);
	client.fd = socket(addr.any.sa_family, SOCK_STREAM, story->protocol);
	if (server.fd < 0 || client.fd < 0)
		skip("no such protocol");
	if (bind(server.fd, &addr.any, len) || listen(server.fd, 1))
		fail("listen");
	len = sizeof(addr);
	if (getsockname(server.fd, &addr.any, &len))
		fail("getsockname");
	if (pthread_create(&thread, NULL, serve, &server))
		fail("pthread_create");
	if (connect(client.fd, &addr.any, len))
		fail("connect");
	if (client.send->prepare && client.send->prepare(client.fd))
		skip("not supported");
	setsockopt(client.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	call(&client);
	pthread_join(thread, NULL);
	puts("ok");
	return 0;
}
