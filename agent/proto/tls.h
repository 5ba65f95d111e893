/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS as far as it is in clear: what the two hellos say (RFC 8446, 4.1; RFC 5246, 7.4.1; RFC 6066,
 * 3; RFC 7301). No protocol that is detected: whoever finds it out, by the socket's first bytes or
 * by tls_begins(), chooses it. What it carries comes from elsewhere.
 */
#pragma once
#include "proto/protocol.h"

#define TLS_NAME_MAX 256
#define TLS_ALPN_MAX 16

/* Zeroes and "": not said, or not seen. */
struct tls_hellos {
	uint16_t version; /* chosen: 0x0303 is TLS 1.2 */
	char alpn[TLS_ALPN_MAX]; /* chosen, where that is in clear: up to TLS 1.2 */
	bool offers_h2; /* HTTP/2 is among what the client would speak */
	char server_name[TLS_NAME_MAX];
};

extern const struct protocol tls_protocol;

/* What was found; state is that of tls_protocol. */
const struct tls_hellos *tls_hellos(const void *state);

/* Whether a call's bytes begin with a TLS record, by its header alone. */
bool tls_begins(struct slice bytes);

/* Reads a handshake message, a ClientHello or ServerHello, into what is known. False: it is
 * neither, or malformed. */
bool tls_read_hello(struct slice message, struct tls_hellos *hellos);
