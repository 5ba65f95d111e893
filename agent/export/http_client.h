/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST to one URL over a kept-alive connection, by libcurl. One thread. Redirects are not followed;
 * proxies come from the environment as libcurl reads it.
 */
#pragma once
#include "core/slice.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct http_client;

struct http_options {
	const char *url; /* http or https */
	bool http2; /* without TLS: by prior knowledge */
	unsigned timeout_ms; /* of one request */
	const char *certificate; /* PEM files, "" for none */
	const char *client_key;
	const char *client_certificate;
	const _Atomic uint64_t
		*deadline_ns; /* CLOCK_MONOTONIC: what is under way then is broken off */
};

/* 0, or -EINVAL with *ret_why (a static string), or -ENOMEM. */
int http_client_new(
	const struct http_options *options, struct http_client **ret_client, const char **ret_why);
void http_client_free(struct http_client *client);

/* A header of every request. 0, -EINVAL if it is none, -ENOMEM. */
int http_client_header(struct http_client *client, struct slice name, struct slice value);

/* "name=value,name=value", as OTEL_EXPORTER_OTLP_HEADERS has it. 0 or as above. */
int http_client_header_list(struct http_client *client, const char *list);

/* host:port, for the log. */
const char *http_client_target(const struct http_client *client);

struct http_reply {
	int status; /* 0: there was none, and error says why */
	uint64_t retry_after_ns; /* Retry-After, 0 if none */
	struct slice body; /* its first 64 KiB; valid until the next post */
	bool hopeless; /* no status: and trying again cannot help */
	char error[128];
};

/* Called for every header and trailer of the reply; on_header may be NULL. */
typedef void (*http_header_fn)(void *arg, struct slice name, struct slice value);

void http_client_post(struct http_client *client, struct slice body, http_header_fn on_header,
	void *arg, struct http_reply *ret_reply);
