/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request and its reply on one end of one connection, from the request's first byte until the
 * exchange is over. Lives in a fixed pool (see exchange_pool); strings live inside the exchange.
 */
#pragma once
#include "core/endpoints.h"
#include "core/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct trace_node;

enum role { ROLE_UNKNOWN, ROLE_SERVER, ROLE_CLIENT };

/* How an exchange ended. */
enum exchange_end {
	END_OPEN, /* it has not */
	END_PAIRED, /* with a whole reply */
	END_CLOSED, /* the peer closed before the reply was whole */
	END_ABORTED, /* this end closed before the reply was whole */
	END_RESET, /* ECONNRESET, EPIPE */
	END_STREAM_RESET, /* HTTP/2: the peer gave up this exchange alone */
	END_REFUSED, /* connect: ECONNREFUSED */
	END_TIMEOUT, /* ETIMEDOUT; or the connect was given up */
	END_UNREACHABLE, /* connect: any other errno */
	END_HOLE, /* its reply fell into lost bytes */
	END_BAD, /* the reply was malformed */
	END_EVICTED, /* the connection was forgotten, its table was full */
	END_SHUTDOWN, /* weft stopped */
};

enum exchange_kind {
	EXCHANGE_HTTP,
	EXCHANGE_CONNECT, /* a connect() that failed: no message was sent */
};

/* A header field as it stood on the wire, OWS trimmed, folding replaced by spaces. */
struct field {
	struct slice name;
	struct slice value;
};

enum http_rpc { HTTP_RPC_NONE, HTTP_RPC_GRPC, HTTP_RPC_GRPC_WEB };

/* How far one side's gRPC messages have been counted (gRPC over HTTP2, Length-Prefixed-Message). */
struct http_messages {
	uint32_t count;
	uint32_t left; /* bytes of the latest one still to come */
	uint8_t prefix_got; /* bytes of the next one's prefix */
	uint8_t prefix[4]; /* its length, as far as it came */
	bool unknown; /* some were missed */
};

struct http_call {
	struct slice method; /* as sent */
	struct slice target; /* as sent (RFC 9112, 3.2), perhaps cut */
	struct slice host; /* Host, or the authority of an absolute-form target */
	struct slice user_agent;
	struct slice traceparent; /* empty if there was none or more than one */
	struct slice tracestate;
	struct slice forwarded_for; /* first X-Forwarded-For element, else Forwarded for= */
	struct slice scheme; /* of HTTP/2 alone, where it is said */
	uint8_t major, minor; /* version of the request */
	enum http_rpc rpc;
	uint16_t status; /* of the final reply, 0 if none */
	bool has_rpc_status;
	uint32_t rpc_status; /* grpc-status */
	struct http_messages messages[2]; /* gRPC's, of the request and the reply */
	bool unknown; /* HTTP/2: some header fields are, the connection is older than weft */
	uint64_t request_body; /* bytes on the wire after the head, as far as known */
	uint64_t reply_body;
	bool until_close; /* only the connection's end delimits the reply */
	bool tunnelled; /* 101, or 2xx to CONNECT: the connection, or the stream, left HTTP */
	bool replied; /* HTTP/2: the final reply's head was seen */
	bool extended_connect; /* HTTP/2: RFC 8441, a WebSocket for one */
};

#define EXCHANGE_TEXT 2048
#define EXCHANGE_KEPT 8

struct exchange {
	/* set by whoever opens it */
	enum exchange_kind kind;
	enum role role;
	struct conn *conn;
	const struct endpoints *ends;
	const struct secure *secure; /* NULL: it came in clear */
	uint32_t pid;
	uint32_t resource; /* of the process: index in the resource table */
	uint64_t connect_ns; /* client: when the connection's connect() began, if this is its first
				request */
	bool older; /* one of the first that are seen of a connection whose beginning was not */
	uint64_t connect_evidence; /* then, what the trace stage said of that connect(); else 0 */
	uint32_t opposite; /* TCP number that the replies' direction had reached at the request's
			      first byte */
	bool polled; /* an epoll watches the socket: no thread waits for the answer in place */
	bool nonblocking; /* the socket is: calls on it return at once */
	bool numbered; /* request_pos and opposite are TCP numbers: the other end sees the same */

	bool left_out; /* nobody asked for a span of it, nor of what comes of it */

	/* set by the parser: times are CLOCK_MONOTONIC, 0 = not seen */
	uint64_t request_start_ns; /* record with the first byte */
	uint64_t request_end_ns; /* record with the last byte */
	uint64_t reply_start_ns; /* record with the first byte of the final reply */
	uint64_t reply_end_ns; /* record with the last byte; the end itself if that never came */
	uint64_t
		request_pos; /* stream position of the first byte: low 32 bits are the TCP number */
	uint32_t request_tid; /* thread that moved the head's last byte */
	uint32_t reply_tid; /* thread that moved the reply's last byte */
	enum exchange_end end;
	int error; /* errno behind END_RESET..END_UNREACHABLE, else 0 */
	struct http_call http;

	/* headers kept by configuration: index into the list of names, and the value */
	uint8_t kept_requests, kept_replies;
	struct {
		uint8_t name;
		struct slice value;
	} kept_request[EXCHANGE_KEPT], kept_reply[EXCHANGE_KEPT];

	/* owned by the trace stage */
	struct trace_node *node;

	uint32_t stream; /* the parser's: HTTP/2's number of it */
	struct exchange *next; /* pool's free list, or the parser's queue */
	uint32_t text_used;
	char text[EXCHANGE_TEXT];
};

/* Copies into the exchange's text and gives the copy; cut (and *cut set) where it does not fit. */
struct slice exchange_keep(struct exchange *ex, struct slice s, bool *ret_cut);

/* A fixed number of exchanges; the most recently returned is handed out first, so that a quiet
 * agent touches few pages. */
struct exchange_pool;
int exchange_pool_new(unsigned capacity, struct exchange_pool **ret_pool);
void exchange_pool_free(struct exchange_pool *pool);
/* All fields but text zeroed; NULL when every one is in use. */
struct exchange *exchange_take(struct exchange_pool *pool);
void exchange_give(struct exchange_pool *pool, struct exchange *ex);
unsigned exchange_pool_used(const struct exchange_pool *pool);
