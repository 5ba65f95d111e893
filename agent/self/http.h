/* SPDX-License-Identifier: Apache-2.0 */
/* /healthz, /readyz, /metrics and /status, on a thread of its own. */
#pragma once
#include "self/snapshot.h"

#include <stddef.h>
#include <sys/socket.h>

#define HEALTH_STALL_NS (10ull * 1000 * 1000 * 1000) /* a ring unread for longer: not alive */

struct http;

/* "127.0.0.1:9464", "[::1]:9464" or ":9464" (every address). Port 0 takes any free one. 0 or
 * -EINVAL. */
int http_parse_listen(const char *text, struct sockaddr_storage *ret_addr, socklen_t *ret_len);

/* Borrows source's ctx until http_free. 0, -EINVAL, or the errno of the bind. */
int http_new(const char *listen, const struct snapshot_source *source, struct http **ret_http);
void http_free(struct http *http);
uint16_t http_port(const struct http *http);

/* What the health paths answer: true for 200. Text of one or more lines, cut to cap. */
bool health_alive(const struct snapshot *s, char *ret_text, size_t cap);
bool health_ready(const struct snapshot *s, char *ret_text, size_t cap);
