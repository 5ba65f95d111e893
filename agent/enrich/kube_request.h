/* SPDX-License-Identifier: Apache-2.0 */
/* One GET to the API server, by libcurl. */
#pragma once
#include "enrich/options.h"

#include "core/slice.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#define KUBE_PAGE_MAX (8u << 20) /* longest answer to a list; several are under way at once */
#define KUBE_LINE_MAX (4u << 20) /* longest line of a watch; a longer one is passed over */

/* A line of a watch as it comes. Not 0: the request is broken off. */
typedef int (*kube_line_fn)(void *ctx, struct slice line);

struct kube_request {
	CURL *easy;
	struct curl_slist *headers;
	kube_line_fn on_line; /* NULL: the body is kept */
	void *ctx;
	char *body; /* all of it, or the line that is not whole yet */
	size_t len, cap;
	uint64_t bytes;
	uint64_t retry_after_ns; /* the server asked to wait so long; 0: did not */
	bool too_long; /* body */
	bool passing; /* over the rest of a line that is too long */
	unsigned passed_over; /* lines */
	char error[CURL_ERROR_SIZE];
};

/* The URL of the API server, from the options or the environment. -ENOENT: neither says. */
int kube_api_url(const struct kubernetes_options *options, char *ret_url, size_t cap);

/* Makes ready to be added to a multi handle. path begins with a slash. seconds: longest time. 0,
 * -EACCES (the token cannot be read), -EINVAL or -ENOMEM. */
int kube_request_start(struct kube_request *request, const struct kubernetes_options *options,
	const char *path, unsigned seconds, kube_line_fn on_line, void *ctx);
/* The HTTP status, 0 if there was none. */
int kube_request_status(const struct kube_request *request);
/* Gives everything back; the handle must not be in a multi handle any more. */
void kube_request_end(struct kube_request *request);
