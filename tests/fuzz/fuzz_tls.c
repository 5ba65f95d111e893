/* SPDX-License-Identifier: Apache-2.0 */
/* Hellos of TLS, and connections that begin like one. */
#include "proto/tls.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice all = slice_of(data, size);
	struct tls_hellos hellos = {0};
	void *state = calloc(1, tls_protocol.state_size);
	size_t cut = size ? data[0] % size : 0;

	tls_begins(all);
	tls_read_hello(all, &hellos);
	for (unsigned side = 0; side < 2; side++) {
		struct feed in = {.bytes = slice_of(data, cut)};
		struct parsed parsed = {0};

		if (tls_protocol.feed(state, NULL, (enum side)side, &in, &parsed) == PARSE_MORE) {
			in.bytes = all;
			tls_protocol.feed(state, NULL, (enum side)side, &in, &parsed);
		}
		if (parsed.used > in.bytes.len)
			abort();
	}
	if (!memchr(tls_hellos(state)->server_name, 0, TLS_NAME_MAX) ||
		!memchr(tls_hellos(state)->alpn, 0, TLS_ALPN_MAX))
		abort();
	free(state);
	return 0;
}
