/* SPDX-License-Identifier: Apache-2.0 */
#include "self/http.h"
#include "core/cleanup.h"
#include "core/clock.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

static void take(void *ctx, struct snapshot *ret)
{
	*ret = *(struct snapshot *)ctx;
}

static struct snapshot healthy(void)
{
	return (struct snapshot){.version = "1",
		.attached = true,
		.taken_ns = 100 * 1000000000ull,
		.ring_read_ns = 99 * 1000000000ull,
		.exporter_count = 1,
		.exporters[0] = {.name = "otlp", .able = true}};
}

static int connect_to(uint16_t port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	cr_assert_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* The whole answer to one request. */
static void ask(uint16_t port, const char *request, char *ret_answer, size_t cap)
{
	_close_ int fd = connect_to(port);
	size_t len = 0;
	ssize_t n;

	cr_assert_eq(write(fd, request, strlen(request)), (ssize_t)strlen(request));
	while (len + 1 < cap && (n = read(fd, ret_answer + len, cap - len - 1)) > 0)
		len += (size_t)n;
	ret_answer[len] = '\0';
}

Test(http, paths)
{
	static const struct {
		const char *request, *status, *body;
	} cases[] = {
		{"GET /healthz", "HTTP/1.1 200 ", "\r\n\r\nok\n"},
		{"GET /readyz", "HTTP/1.1 200 ", "\r\n\r\nok\n"},
		{"GET /readyz?verbose=1", "HTTP/1.1 200 ", "\r\n\r\nok\n"},
		{"GET /metrics", "HTTP/1.1 200 ", "\nweft_hooks_attached 1\n"},
		{"HEAD /healthz", "HTTP/1.1 200 ", "\r\n\r\n"},
		{"GET /", "HTTP/1.1 404 ", "\r\n\r\n/healthz\n/readyz\n/metrics\n"},
		{"GET /healthz/", "HTTP/1.1 404 ", "/metrics\n"},
		{"POST /metrics", "HTTP/1.1 405 ", "only GET and HEAD\n"},
		{"DELETE /metrics", "HTTP/1.1 405 ", "Allow: GET, HEAD\r\n"},
	};
	struct snapshot s = healthy();
	struct snapshot_source source = {take, &s};
	struct http *http;
	char request[200], answer[65536];

	cr_assert_eq(http_new("127.0.0.1:0", &source, &http), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(request, sizeof(request),
			"%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
			cases[i].request);
		ask(http_port(http), request, answer, sizeof(answer));
		cr_expect_eq(strncmp(answer, cases[i].status, strlen(cases[i].status)), 0, "%s: %s",
			cases[i].request, answer);
		cr_expect_not_null(
			strstr(answer, cases[i].body), "%s: %s", cases[i].request, answer);
	}
	ask(http_port(http), "\r\n\x01garbage\r\n\r\n", answer, sizeof(answer));
	s.attached = false;
	ask(http_port(http), "GET /readyz HTTP/1.0\r\n\r\n", answer, sizeof(answer));
	cr_expect_not_null(strstr(answer, " 503 "));
	cr_expect_not_null(strstr(answer, "hooks: not attached\n"));
	http_free(http);
}

Test(http, silent_connections_keep_nobody_waiting)
{
	struct snapshot s = healthy();
	struct snapshot_source source = {take, &s};
	static const char half[] = "GET /healthz HTTP/1.1\r\nHost:";
	struct http *http;
	int silent[300];
	char answer[4096];
	uint64_t begun;

	cr_assert_eq(http_new("127.0.0.1:0", &source, &http), 0);
	for (size_t i = 0; i < ARRAY_SIZE(silent); i++) {
		silent[i] = connect_to(http_port(http));
		if (i % 2)
			cr_assert_eq(write(silent[i], half, strlen(half)), (ssize_t)strlen(half));
	}
	for (int i = 0; i < 3; i++) {
		begun = clock_monotonic();
		ask(http_port(http), "GET /healthz HTTP/1.0\r\n\r\n", answer, sizeof(answer));
		cr_expect_not_null(strstr(answer, " 200 "));
		cr_expect_lt(clock_monotonic() - begun, NS_PER_SEC);
	}
	for (size_t i = 0; i < ARRAY_SIZE(silent); i++)
		close(silent[i]);
	ask(http_port(http), "GET /healthz HTTP/1.0\r\n\r\n", answer, sizeof(answer));
	cr_expect_not_null(strstr(answer, " 200 "), "their places are free again");
	http_free(http);
}

Test(http, the_youngest_connections_stay)
{
	static const char first[] = "GET /healthz HTTP/1.0\r\n", rest[] = "\r\n";
	struct snapshot s = healthy();
	struct snapshot_source source = {take, &s};
	struct http *http;
	int kept[100];
	char answer[512];

	cr_assert_eq(http_new("127.0.0.1:0", &source, &http), 0);
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		kept[i] = connect_to(http_port(http));
		cr_assert_eq(write(kept[i], first, strlen(first)), (ssize_t)strlen(first));
	}
	/* 48 have a place, and this one takes the oldest one's */
	ask(http_port(http), "GET /healthz HTTP/1.0\r\n\r\n", answer, sizeof(answer));
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		bool answered = false;

		if (send(kept[i], rest, strlen(rest), MSG_NOSIGNAL) > 0)
			answered = recv(kept[i], answer, sizeof(answer), 0) > 0;
		cr_expect_eq(answered, i > 52, "number %zu", i);
		close(kept[i]);
	}
	http_free(http);
}

Test(http, taken_port)
{
	struct snapshot s = healthy();
	struct snapshot_source source = {take, &s};
	struct http *first, *second = NULL;
	char listen[32];

	cr_assert_eq(http_new("127.0.0.1:0", &source, &first), 0);
	snprintf(listen, sizeof(listen), "127.0.0.1:%u", http_port(first));
	cr_expect_eq(http_new(listen, &source, &second), -EADDRINUSE);
	cr_expect_null(second);
	http_free(first);
	http_free(NULL);
}

Test(http, listen)
{
	static const struct {
		const char *text;
		int family; /* 0: refused */
		uint16_t port;
	} cases[] = {
		{"127.0.0.1:9464", AF_INET, 9464},
		{"0.0.0.0:1", AF_INET, 1},
		{"[::1]:80", AF_INET6, 80},
		{":9464", AF_INET6, 9464},
		{"", 0, 0},
		{"9464", 0, 0},
		{"127.0.0.1:", 0, 0},
		{"127.0.0.1:65536", 0, 0},
		{"::1:80", 0, 0},
		{"[]:80", 0, 0},
		{"[::1:80", 0, 0},
		{"[:80", 0, 0},
		{"localhost:80", 0, 0},
		{"1.2.3:80", 0, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct sockaddr_storage addr = {0};
		socklen_t len = 0;
		int r = http_parse_listen(cases[i].text, &addr, &len);

		cr_expect_eq(r, cases[i].family ? 0 : -EINVAL, "%s", cases[i].text);
		cr_expect_eq(addr.ss_family, cases[i].family, "%s", cases[i].text);
		cr_expect_eq(ntohs(((struct sockaddr_in *)&addr)->sin_port), cases[i].port, "%s",
			cases[i].text);
	}
}

Test(http, health)
{
	struct snapshot s = healthy();
	char text[512];

	cr_expect(health_alive(&s, text, sizeof(text)));
	cr_expect(health_ready(&s, text, sizeof(text)));
	cr_expect_str_eq(text, "ok\n");

	s.ring_read_ns = 85 * 1000000000ull;
	cr_expect_not(health_alive(&s, text, sizeof(text)));
	cr_expect_str_eq(text, "the pipeline has not read the ring for 15 s\n");
	s.exporters[0].able = false;
	snprintf(s.exporters[0].last_error, sizeof(s.exporters[0].last_error), "refused");
	s.attached = false;
	cr_expect_not(health_ready(&s, text, sizeof(text)));
	cr_expect_str_eq(
		text, "hooks: not attached\nring: not read for 10 s\nexporter otlp: refused\n");
	cr_expect_not(health_ready(&s, text, 16), "a small buffer is no danger");

	s = healthy();
	s.ring_read_ns = 0;
	cr_expect(health_alive(&s, text, sizeof(text)), "starting is not stalled");
	cr_expect_not(health_ready(&s, text, sizeof(text)));
	cr_expect_str_eq(text, "ring: not read yet\n");
}
