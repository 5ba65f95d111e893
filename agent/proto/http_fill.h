/* SPDX-License-Identifier: Apache-2.0 */
/* What an exchange keeps of a request's head, in any version of HTTP. */
#pragma once
#include "core/slice.h"

#include <stdbool.h>

struct exchange;
struct http_fields;

/* Borrowed. authority: of HTTP/2 alone, where it stands beside the target. */
struct http_request {
	struct slice method, target, authority, scheme;
	const struct http_fields *fields;
};

/* True if a string had to be cut. */
bool http_fill_request(struct exchange *ex, const struct http_request *request);
/* The same of a head that never came to be whole. */
void http_fill_begun(struct exchange *ex, struct slice method, struct slice target);
/* What the fields of a reply's head, or its trailers, say of a gRPC call's outcome. */
void http_fill_rpc_status(struct exchange *ex, const struct http_fields *fields);
