/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "core/names.h"

#include <stdbool.h>

/* By which conventions gRPC calls are described. */
enum rpc_conventions { RPC_STABLE, RPC_OLD, RPC_BOTH };

/* How exchanges become spans. Reloadable but for max_routes. */
struct span_options {
	bool query; /* export url.query and the query in url.full (values in redact_query are
		       always replaced); default true */
	struct names redact_query; /* further query keys whose values are replaced by REDACTED */
	struct names request_headers; /* captured as http.request.header.<name>, lower case */
	struct names reply_headers; /* http.response.header.<name> */
	enum rpc_conventions rpc;
	unsigned max_routes; /* nodes of the route clusterer */
};
