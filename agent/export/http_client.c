/* SPDX-License-Identifier: Apache-2.0 */
#include "export/http_client.h"

#include "core/cleanup.h"
#include "core/clock.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define REPLY_MAX (64u * 1024)
#define POLL_MS   100 /* how late a deadline that is set meanwhile may be noticed */

struct http_client {
	CURLM *multi; /* keeps the connection */
	CURL *easy;
	struct curl_slist *headers;
	const _Atomic uint64_t *deadline_ns;
	char target[300];
	char curl_error[CURL_ERROR_SIZE];

	/* of the request under way */
	http_header_fn on_header;
	void *on_header_arg;
	size_t reply_len;
	char reply[REPLY_MAX];
};

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct http_client *c = arg;
	size_t len = size * n, room = REPLY_MAX - c->reply_len;
	size_t kept = len < room ? len : room;

	memcpy(c->reply + c->reply_len, data, kept);
	c->reply_len += kept;
	return len;
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
	struct http_client *c = arg;
	struct slice value = slice_of(data, size * n), name;

	while (value.len && (value.ptr[value.len - 1] == '\n' || value.ptr[value.len - 1] == '\r'))
		value.len--;
	name = slice_cut(&value, ':');
	if (c->on_header && value.ptr)
		c->on_header(c->on_header_arg, name, slice_trim(value));
	return size * n;
}

static void curl_url_drop(CURLU **url)
{
	curl_url_cleanup(*url);
}

static void curl_text_drop(char **text)
{
	curl_free(*text);
}

static int client_set_target(struct http_client *c, const char *text, const char **ret_why)
{
	__attribute__((cleanup(curl_url_drop))) CURLU *url = curl_url();
	__attribute__((cleanup(curl_text_drop))) char *scheme = NULL, *host = NULL, *port = NULL;

	if (!url)
		return -ENOMEM;
	if (curl_url_set(url, CURLUPART_URL, text, 0) ||
		curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) ||
		curl_url_get(url, CURLUPART_HOST, &host, 0) ||
		curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT)) {
		*ret_why = "the OTLP endpoint is not a URL";
		return -EINVAL;
	}
	if (strcmp(scheme, "http") && strcmp(scheme, "https")) {
		*ret_why = "the OTLP endpoint's scheme is neither http nor https";
		return -EINVAL;
	}
	snprintf(c->target, sizeof(c->target), "%s:%s", host, port);
	return 0;
}

static int client_set_tls(struct http_client *c, const struct http_options *o, const char **ret_why)
{
	if (o->certificate[0] && access(o->certificate, R_OK)) {
		*ret_why = "the OTLP certificate cannot be read";
		return -EINVAL;
	}
	if (!o->client_key[0] != !o->client_certificate[0]) {
		*ret_why = "an OTLP client certificate and its key need each other";
		return -EINVAL;
	}
	if (o->client_key[0] &&
		(access(o->client_key, R_OK) || access(o->client_certificate, R_OK))) {
		*ret_why = "the OTLP client certificate or its key cannot be read";
		return -EINVAL;
	}
	if (o->certificate[0])
		curl_easy_setopt(c->easy, CURLOPT_CAINFO, o->certificate);
	if (o->client_key[0]) {
		curl_easy_setopt(c->easy, CURLOPT_SSLCERT, o->client_certificate);
		curl_easy_setopt(c->easy, CURLOPT_SSLKEY, o->client_key);
	}
	return 0;
}

/* 7.88 fails every request but the first on a connection of HTTP/2 by prior knowledge
 * (github.com/curl/curl/pull/10643, in 8.0); Debian 12 has it. */
static bool reuse_is_broken(long version)
{
	unsigned curl = curl_version_info(CURLVERSION_NOW)->version_num;

	return version == CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE && curl >> 8 == 0x0758;
}

static void client_set_transfer(struct http_client *c, const struct http_options *o)
{
	long version = CURL_HTTP_VERSION_1_1;

	if (o->http2)
		version = strncmp(o->url, "https:", 6) ? CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE
						       : CURL_HTTP_VERSION_2TLS;
	curl_easy_setopt(c->easy, CURLOPT_URL, o->url);
	curl_easy_setopt(c->easy, CURLOPT_HTTP_VERSION, version);
	curl_easy_setopt(c->easy, CURLOPT_FORBID_REUSE, (long)reuse_is_broken(version));
	curl_easy_setopt(c->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c->easy, CURLOPT_TIMEOUT_MS, (long)o->timeout_ms);
	curl_easy_setopt(c->easy, CURLOPT_NOSIGNAL, 1L);
	/* a name server that does not answer must not hold up the end */
	curl_easy_setopt(c->easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(c->easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(c->easy, CURLOPT_POST, 1L);
	curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(c->easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c->easy, CURLOPT_HEADERDATA, c);
	curl_easy_setopt(c->easy, CURLOPT_ERRORBUFFER, c->curl_error);
}

int http_client_new(
	const struct http_options *o, struct http_client **ret_client, const char **ret_why)
{
	struct http_client *c = calloc(1, sizeof(*c));
	int r = -ENOMEM;

	if (!c)
		return -ENOMEM;
	c->deadline_ns = o->deadline_ns;
	c->multi = curl_multi_init();
	c->easy = curl_easy_init();
	if (c->multi && c->easy)
		r = client_set_target(c, o->url, ret_why);
	if (!r)
		r = client_set_tls(c, o, ret_why);
	if (!r) {
		client_set_transfer(c, o);
		/* a batch of more than 1 MiB would wait for 100 Continue */
		r = http_client_header(c, SLICE("Expect"), SLICE(""));
	}
	if (!r)
		r = http_client_header(c, SLICE("User-Agent"),
			SLICE("weft/" WEFT_VERSION " OTel-OTLP-Exporter-C/" WEFT_VERSION));
	if (r) {
		http_client_free(c);
		return r;
	}
	*ret_client = c;
	return 0;
}

void http_client_free(struct http_client *c)
{
	if (!c)
		return;
	curl_easy_cleanup(c->easy);
	curl_multi_cleanup(c->multi);
	curl_slist_free_all(c->headers);
	free(c);
}

/* RFC 9110, 5.6.2 */
static bool is_token(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if (c <= ' ' || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c))
			return false;
	}
	return s.len != 0;
}

int http_client_header(struct http_client *c, struct slice name, struct slice value)
{
	_free_ char *line = NULL;
	struct curl_slist *longer;

	if (!is_token(name))
		return -EINVAL;
	for (size_t i = 0; i < value.len; i++)
		if (((unsigned char)value.ptr[i] < ' ' && value.ptr[i] != '\t') ||
			value.ptr[i] == 0x7f)
			return -EINVAL;
	if (asprintf(&line, "%.*s: %.*s", (int)name.len, name.ptr, (int)value.len, value.ptr) < 0)
		return -ENOMEM;
	longer = curl_slist_append(c->headers, line);
	if (!longer)
		return -ENOMEM;
	c->headers = longer;
	return 0;
}

int http_client_header_list(struct http_client *c, const char *list)
{
	struct slice rest = slice_str(list);

	while (rest.len) {
		struct slice value = slice_trim(slice_cut(&rest, ','));
		struct slice name = slice_trim(slice_cut(&value, '='));
		int r;

		if (!name.len && !value.ptr)
			continue;
		r = value.ptr ? http_client_header(c, name, slice_trim(value)) : -EINVAL;
		if (r)
			return r;
	}
	return 0;
}

const char *http_client_target(const struct http_client *c)
{
	return c->target;
}

/* Runs the transfer. False if the deadline broke it off. */
static bool client_transfer(struct http_client *c, CURLcode *ret_result)
{
	int running = 1, queued;
	CURLMsg *msg;

	for (;;) {
		if (curl_multi_perform(c->multi, &running)) {
			*ret_result = CURLE_FAILED_INIT;
			return true;
		}
		if (!running)
			break;
		if (clock_monotonic() >= atomic_load_explicit(c->deadline_ns, memory_order_relaxed))
			return false;
		curl_multi_poll(c->multi, NULL, 0, POLL_MS, NULL);
	}
	*ret_result = CURLE_FAILED_INIT;
	while ((msg = curl_multi_info_read(c->multi, &queued)))
		if (msg->msg == CURLMSG_DONE)
			*ret_result = msg->data.result;
	return true;
}

static bool is_hopeless(CURLcode result)
{
	return result == CURLE_URL_MALFORMAT || result == CURLE_UNSUPPORTED_PROTOCOL ||
	       result == CURLE_NOT_BUILT_IN;
}

void http_client_post(struct http_client *c, struct slice body, http_header_fn header_fn, void *arg,
	struct http_reply *ret_reply)
{
	struct http_reply reply = {0};
	curl_off_t retry_after = 0;
	CURLcode result;
	long status = 0;

	c->reply_len = 0;
	c->on_header = header_fn;
	c->on_header_arg = arg;
	c->curl_error[0] = '\0';
	curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->headers);
	curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, body.ptr);
	curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
	curl_multi_add_handle(c->multi, c->easy);
	if (!client_transfer(c, &result)) {
		snprintf(reply.error, sizeof(reply.error), "broken off: weft stops");
	} else if (result) {
		snprintf(reply.error, sizeof(reply.error), "%.*s", (int)sizeof(reply.error) - 1,
			c->curl_error[0] ? c->curl_error : curl_easy_strerror(result));
		reply.hopeless = is_hopeless(result);
	} else {
		curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
		curl_easy_getinfo(c->easy, CURLINFO_RETRY_AFTER, &retry_after);
		reply.status = (int)status;
		reply.retry_after_ns = retry_after > 0 ? (uint64_t)retry_after * NS_PER_SEC : 0;
	}
	curl_multi_remove_handle(c->multi, c->easy);
	reply.body = slice_of(c->reply, c->reply_len);
	*ret_reply = reply;
}
