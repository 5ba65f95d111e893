/* SPDX-License-Identifier: Apache-2.0 */
#include "enrich/kube_request.h"

#include "core/cleanup.h"
#include "core/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define TOKEN_MAX         16384
#define RETRY_AFTER_MAX   300
#define DEAD_MS           30000 /* a peer that acknowledges nothing for so long is gone */
#define KEEPALIVE_SECONDS 20L

int kube_api_url(const struct kubernetes_options *options, char *ret_url, size_t cap)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST");
	const char *port = getenv("KUBERNETES_SERVICE_PORT");
	bool v6 = host && strchr(host, ':');

	if (options->api[0]) {
		snprintf(ret_url, cap, "%s", options->api);
		ret_url[strcspn(ret_url, " ")] = '\0';
		while (ret_url[0] && ret_url[strlen(ret_url) - 1] == '/')
			ret_url[strlen(ret_url) - 1] = '\0';
		return 0;
	}
	if (!host || !host[0])
		return -ENOENT;
	snprintf(ret_url, cap, "https://%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "",
		port && port[0] ? port : "443");
	return 0;
}

static bool grow(struct kube_request *r, size_t more, size_t max)
{
	size_t cap = r->cap ? r->cap : 16384;
	char *body;

	if (r->len + more > max)
		return false;
	while (cap < r->len + more)
		cap *= 2;
	if (cap == r->cap)
		return true;
	body = realloc(r->body, cap);
	if (!body)
		return false;
	r->body = body;
	r->cap = cap;
	return true;
}

static bool append(struct kube_request *r, struct slice data, size_t max)
{
	if (!grow(r, data.len, max))
		return false;
	memcpy(r->body + r->len, data.ptr, data.len);
	r->len += data.len;
	return true;
}

/* A part of a line; last: its end. False: the request is to be broken off. */
static bool take_line(struct kube_request *r, struct slice part, bool last)
{
	bool go_on = true;

	if (!r->passing && (r->len || !last) && !append(r, part, KUBE_LINE_MAX)) {
		r->passing = true;
		r->passed_over++;
		r->len = 0;
	}
	if (!last)
		return true;
	if (r->len)
		part = slice_of(r->body, r->len);
	if (!r->passing && part.len)
		go_on = !r->on_line(r->ctx, part);
	r->len = 0;
	r->passing = false;
	return go_on;
}

/* Lines go on one by one; of an answer that is no success the body says why. */
static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct kube_request *r = arg;
	struct slice rest = slice_of(data, size * n);

	r->bytes += rest.len;
	if (!r->on_line || kube_request_status(r) != 200) {
		r->too_long = !append(r, rest, KUBE_PAGE_MAX);
		return r->too_long ? 0 : size * n;
	}
	for (const char *end; rest.len && (end = memchr(rest.ptr, '\n', rest.len));) {
		struct slice part = slice_of(rest.ptr, (size_t)(end - rest.ptr));

		rest = slice_of(end + 1, rest.len - part.len - 1);
		if (!take_line(r, part, true))
			return 0;
	}
	return !rest.len || take_line(r, rest, false) ? size * n : 0;
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
	struct kube_request *r = arg;
	struct slice value = slice_of(data, size * n);
	struct slice name = slice_cut(&value, ':');
	uint64_t seconds;

	while (value.len && strchr("\r\n", value.ptr[value.len - 1]))
		value.len--;
	if (slice_eq_nocase(name, SLICE("Retry-After")) &&
		slice_u64(slice_trim(value), &seconds) == 0)
		r->retry_after_ns =
			(seconds < RETRY_AFTER_MAX ? seconds : RETRY_AFTER_MAX) * NS_PER_SEC;
	return size * n;
}

static int on_socket(void *ctx, curl_socket_t fd, curlsocktype purpose)
{
	unsigned dead_ms = DEAD_MS;

	(void)ctx;
	(void)purpose;
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms, sizeof(dead_ms));
	return CURL_SOCKOPT_OK;
}

/* A small file without the white space at its end. */
static int read_token(const char *directory, char ret_token[static TOKEN_MAX])
{
	_close_ int fd = -1;
	char path[512];
	ssize_t n;

	snprintf(path, sizeof(path), "%s/token", directory);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, ret_token, TOKEN_MAX - 1);
	while (n > 0 && strchr(" \t\r\n", ret_token[n - 1]))
		n--;
	if (n <= 0)
		return -EACCES;
	ret_token[n] = '\0';
	/* it goes into a header: whatever else is in there */
	return strpbrk(ret_token, "\r\n") || strlen(ret_token) != (size_t)n ? -EACCES : 0;
}

static int set_headers(struct kube_request *r, const char *directory)
{
	_free_ char *token = malloc(TOKEN_MAX), *line = malloc(TOKEN_MAX + 32);
	struct curl_slist *list;
	int err;

	if (!token || !line)
		return -ENOMEM;
	err = read_token(directory, token);
	if (err)
		return err;
	snprintf(line, TOKEN_MAX + 32, "Authorization: Bearer %s", token);
	r->headers = curl_slist_append(NULL, line);
	list = r->headers ? curl_slist_append(r->headers, "Accept: application/json") : NULL;
	return list ? 0 : -ENOMEM;
}

int kube_request_start(struct kube_request *r, const struct kubernetes_options *options,
	const char *path, unsigned seconds, kube_line_fn on_line, void *ctx)
{
	char url[4096], ca[512];
	int err;

	memset(r, 0, sizeof(*r));
	r->on_line = on_line;
	r->ctx = ctx;
	if (kube_api_url(options, url, sizeof(url)))
		return -EINVAL;
	if (strlen(url) + strlen(path) >= sizeof(url))
		return -EINVAL;
	memcpy(url + strlen(url), path, strlen(path) + 1);
	r->easy = curl_easy_init();
	if (!r->easy)
		return -ENOMEM;
	err = set_headers(r, options->credentials);
	if (err) {
		kube_request_end(r);
		return err;
	}
	snprintf(ca, sizeof(ca), "%s/ca.crt", options->credentials);
	curl_easy_setopt(r->easy, CURLOPT_URL, url);
	curl_easy_setopt(r->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	/* the end of a stream beside others can go unnoticed for a minute: libcurl 7.88, HTTP/2 */
	curl_easy_setopt(r->easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(r->easy, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(r->easy, CURLOPT_CAINFO, ca);
	curl_easy_setopt(r->easy, CURLOPT_CAPATH, NULL);
#if LIBCURL_VERSION_NUM >= 0x075700 /* else it would not be read again for a day */
	curl_easy_setopt(r->easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
#endif
	curl_easy_setopt(r->easy, CURLOPT_HTTPHEADER, r->headers);
	curl_easy_setopt(r->easy, CURLOPT_USERAGENT, "weft/" WEFT_VERSION);
	curl_easy_setopt(r->easy, CURLOPT_TIMEOUT, (long)seconds);
	curl_easy_setopt(r->easy, CURLOPT_CONNECTTIMEOUT, 10L);
	curl_easy_setopt(r->easy, CURLOPT_NOSIGNAL, 1L);
	/* a name server that does not answer must not hold up the end */
	curl_easy_setopt(r->easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(r->easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(r->easy, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_SECONDS);
	curl_easy_setopt(r->easy, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_SECONDS / 2);
	curl_easy_setopt(r->easy, CURLOPT_SOCKOPTFUNCTION, on_socket);
	curl_easy_setopt(r->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(r->easy, CURLOPT_WRITEDATA, r);
	curl_easy_setopt(r->easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(r->easy, CURLOPT_HEADERDATA, r);
	curl_easy_setopt(r->easy, CURLOPT_ERRORBUFFER, r->error);
	curl_easy_setopt(r->easy, CURLOPT_PRIVATE, r);
	return 0;
}

int kube_request_status(const struct kube_request *r)
{
	long status = 0;

	curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	return (int)status;
}

void kube_request_end(struct kube_request *r)
{
	curl_easy_cleanup(r->easy);
	curl_slist_free_all(r->headers);
	free(r->body);
	memset(r, 0, sizeof(*r));
}
