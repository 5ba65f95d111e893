/* SPDX-License-Identifier: Apache-2.0 */
/* Spans as the span stage builds them, for the tests of what exports them. */
#pragma once
#include "span/span.h"

#include <stdint.h>
#include <string.h>

#define SAMPLE_START 1780000000123456789ull

/* Borrowed text: literals only. */
static inline struct span sample_span(
	enum span_kind kind, uint8_t trace, uint8_t id, uint8_t parent)
{
	struct span s = {.kind = kind, .trace_flags = 1, .pid = 42};

	memset(s.trace_id, trace, TRACE_ID_LEN);
	memset(s.span_id, id, SPAN_ID_LEN);
	memset(s.parent_id, parent, SPAN_ID_LEN);
	s.has_parent = parent != 0;
	s.link = !parent ? LINK_NONE : kind == SPAN_SERVER ? LINK_SOCKET : LINK_THREAD;
	s.start_ns = SAMPLE_START;
	s.end_ns = SAMPLE_START + 4200000;
	if (kind == SPAN_SERVER) {
		s.name = SLICE("GET /orders/{id}");
		span_add_str(&s, SLICE("http.route"), SLICE("/orders/{id}"));
		span_add_str(&s, SLICE("url.path"), SLICE("/orders/8731"));
		span_add_str(&s, SLICE("url.scheme"), SLICE("http"));
		span_add_str(&s, SLICE("client.address"), SLICE("127.0.0.1"));
	} else {
		s.name = SLICE("GET");
		span_add_str(&s, SLICE("url.full"),
			SLICE("http://accounts:8080/accounts/17?full=REDACTED"));
	}
	span_add_str(&s, SLICE("http.request.method"), SLICE("GET"));
	span_add_int(&s, SLICE("http.response.status_code"), 200);
	span_add_str(&s, SLICE("server.address"), SLICE("accounts"));
	span_add_int(&s, SLICE("server.port"), 8080);
	span_add_str(&s, SLICE("network.peer.address"), SLICE("127.0.0.1"));
	span_add_int(&s, SLICE("network.peer.port"), 44321);
	span_add_str(&s, SLICE("network.protocol.version"), SLICE("1.1"));
	span_add_str(&s, SLICE("user_agent.original"), SLICE("curl/7.88.1"));
	return s;
}
