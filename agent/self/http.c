/* SPDX-License-Identifier: Apache-2.0 */
#include "self/http.h"

#include "core/cleanup.h"
#include "core/clock.h"
#include "core/slice.h"
#include "self/metrics.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>

#define CONNECTIONS_MAX   64
#define CONNECTIONS_OPEN  48 /* the rest are being closed */
#define TIMEOUT_SECONDS   10
#define CONNECTION_MEMORY (16 * 1024)

struct http {
	struct snapshot_source source;
	struct MHD_Daemon *daemon;
	int listener; /* the daemon's to close */
	struct MHD_Connection *open[CONNECTIONS_OPEN]; /* by age */
	unsigned open_count;
};

int http_parse_listen(const char *text, struct sockaddr_storage *ret_addr, socklen_t *ret_len)
{
	struct sockaddr_storage addr = {0};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&addr;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&addr;
	const char *colon = strrchr(text, ':');
	uint64_t port;
	char host[64];
	size_t len;

	if (!colon || slice_u64(slice_str(colon + 1), &port) < 0 || port > UINT16_MAX)
		return -EINVAL;
	len = (size_t)(colon - text);
	if (len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = '\0';
	if (!len || (host[0] == '[' && host[len - 1] == ']')) {
		if (len)
			host[len - 1] = '\0';
		if (inet_pton(AF_INET6, len ? host + 1 : "::", &v6->sin6_addr) != 1)
			return -EINVAL;
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		*ret_len = sizeof(*v6);
	} else {
		if (inet_pton(AF_INET, host, &v4->sin_addr) != 1)
			return -EINVAL;
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		*ret_len = sizeof(*v4);
	}
	*ret_addr = addr;
	return 0;
}

static bool ring_turns(const struct snapshot *s)
{
	return s->ring_read_ns && s->taken_ns - s->ring_read_ns < HEALTH_STALL_NS;
}

bool health_alive(const struct snapshot *s, char *ret_text, size_t cap)
{
	/* Until the first read there is nothing that could have stalled; readyz says so. */
	if (!s->ring_read_ns || ring_turns(s)) {
		snprintf(ret_text, cap, "ok\n");
		return true;
	}
	snprintf(ret_text, cap, "the pipeline has not read the ring for %llu s\n",
		(unsigned long long)((s->taken_ns - s->ring_read_ns) / NS_PER_SEC));
	return false;
}

bool health_ready(const struct snapshot *s, char *ret_text, size_t cap)
{
	size_t len = 0;

	if (!s->attached)
		len += (size_t)snprintf(ret_text, cap, "hooks: not attached\n");
	if (!ring_turns(s) && len < cap)
		len += (size_t)snprintf(ret_text + len, cap - len, "ring: %s\n",
			s->ring_read_ns ? "not read for 10 s" : "not read yet");
	if (s->kube.on && !s->kube.pods_synced && len < cap)
		len += (size_t)snprintf(ret_text + len, cap - len, "kubernetes: %s\n",
			s->kube.problem[0] ? s->kube.problem : "pods are not known yet");
	for (unsigned i = 0; i < s->exporter_count && len < cap; i++)
		if (!s->exporters[i].able)
			len += (size_t)snprintf(ret_text + len, cap - len, "exporter %s: %s\n",
				s->exporters[i].name, s->exporters[i].last_error);
	if (len)
		return false;
	snprintf(ret_text, cap, "ok\n");
	return true;
}

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *type,
	const char *body, size_t len)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(len, (void *)body, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result r;

	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	r = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return r;
}

static enum MHD_Result answer_text(
	struct MHD_Connection *connection, unsigned status, const char *text)
{
	return answer(connection, status, "text/plain; charset=utf-8", text, strlen(text));
}

static enum MHD_Result answer_metrics(struct MHD_Connection *connection, const struct snapshot *s)
{
	_free_ char *text = NULL;
	size_t len;
	int r = metrics_format(s, &text, &len);

	if (r < 0)
		return answer_text(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory\n");
	return answer(
		connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", text, len);
}

static enum MHD_Result answer_health(struct MHD_Connection *connection, const struct snapshot *s,
	bool (*check)(const struct snapshot *s, char *ret_text, size_t cap))
{
	char text[SNAPSHOT_EXPORTERS * 256];
	bool good = check(s, text, sizeof(text));

	return answer_text(connection, good ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, text);
}

static enum MHD_Result answer_roster(const struct http *http, struct MHD_Connection *connection)
{
	const char *pod = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "pod");
	_free_ char *text = http->source.roster(http->source.ctx, pod ? pod : "");

	if (!text)
		return answer_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
			"weft is too busy to answer, or is ending\n");
	return answer_text(connection, MHD_HTTP_OK, text);
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *body, size_t *body_size, void **state)
{
	const struct http *http = cls;
	_free_ struct snapshot *s = NULL;

	(void)version;
	(void)body;
	(void)state;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
		*body_size = 0;
		return answer_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return MHD_NO;
	if (strcmp(url, "/healthz") == 0) {
		http->source.take(http->source.ctx, s);
		return answer_health(connection, s, health_alive);
	}
	if (strcmp(url, "/readyz") == 0) {
		http->source.take(http->source.ctx, s);
		return answer_health(connection, s, health_ready);
	}
	if (strcmp(url, "/metrics") == 0) {
		http->source.take(http->source.ctx, s);
		return answer_metrics(connection, s);
	}
	if (strcmp(url, "/status") == 0 && http->source.roster)
		return answer_roster(http, connection);
	return answer_text(
		connection, MHD_HTTP_NOT_FOUND, "/healthz\n/readyz\n/metrics\n/status\n");
}

/* Our own socket, since the library does not say why it could not make one. -errno, or the
 * descriptor. */
static int listen_at(const struct sockaddr_storage *addr, socklen_t len)
{
	_close_ int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1, off = 0;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return -errno;
	if (addr->ss_family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)addr, len) < 0 || listen(fd, CONNECTIONS_MAX) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static void forget(struct http *http, unsigned i)
{
	http->open_count--;
	memmove(&http->open[i], &http->open[i + 1], (http->open_count - i) * sizeof(http->open[0]));
}

/* When all places are taken the one that came first goes, which has not asked in all that time:
 * else a few silent connections would keep a probe waiting until they time out. */
static void make_room(struct http *http)
{
	const union MHD_ConnectionInfo *info;

	if (http->open_count < CONNECTIONS_OPEN)
		return;
	info = MHD_get_connection_info(http->open[0], MHD_CONNECTION_INFO_CONNECTION_FD);
	if (info)
		shutdown(info->connect_fd, SHUT_RDWR); /* libmicrohttpd then closes it */
	forget(http, 0);
}

/* Called by the daemon's own thread. */
static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
	enum MHD_ConnectionNotificationCode what)
{
	struct http *http = cls;

	(void)context;
	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		make_room(http);
		http->open[http->open_count++] = connection;
		return;
	}
	for (unsigned i = 0; i < http->open_count; i++)
		if (http->open[i] == connection) {
			forget(http, i);
			return;
		}
}

int http_new(const char *listen, const struct snapshot_source *source, struct http **ret_http)
{
	struct sockaddr_storage addr;
	struct http *http;
	socklen_t len;
	int fd, r = http_parse_listen(listen, &addr, &len);

	if (r < 0)
		return r;
	fd = listen_at(&addr, len);
	if (fd == -EAFNOSUPPORT && listen[0] == ':') { /* this kernel has no IPv6 */
		struct sockaddr_in any = {.sin_family = AF_INET,
			.sin_port = ((struct sockaddr_in6 *)&addr)->sin6_port};

		memset(&addr, 0, sizeof(addr));
		memcpy(&addr, &any, sizeof(any));
		fd = listen_at(&addr, sizeof(any));
	}
	if (fd < 0)
		return fd;
	http = calloc(1, sizeof(*http));
	if (!http) {
		close(fd);
		return -ENOMEM;
	}
	http->source = *source;
	http->listener = fd;
	http->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO, 0, NULL,
		NULL, handle, http, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned)CONNECTIONS_MAX, MHD_OPTION_NOTIFY_CONNECTION, on_connection, http,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_SECONDS,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_END);
	if (!http->daemon) { /* which has closed the socket, or not: we end now */
		free(http);
		return -ENOMEM;
	}
	*ret_http = http;
	return 0;
}

uint16_t http_port(const struct http *http)
{
	struct sockaddr_storage addr = {0};
	socklen_t len = sizeof(addr);
	in_port_t port = 0;

	if (getsockname(http->listener, (struct sockaddr *)&addr, &len) < 0)
		return 0;
	/* the port has the same place in both families */
	memcpy(&port, (const char *)&addr + offsetof(struct sockaddr_in, sin_port), sizeof(port));
	return ntohs(port);
}

void http_free(struct http *http)
{
	if (!http)
		return;
	MHD_stop_daemon(http->daemon);
	free(http);
}
