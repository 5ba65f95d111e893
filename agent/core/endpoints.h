/* SPDX-License-Identifier: Apache-2.0 */
/* The two ends of a connection as the traced process sees them. Those of a Unix socket have no
 * ports, and numbers for addresses (weft/record.h). */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define ADDR_LEN      16 /* IPv4 in its v4-mapped form (RFC 4291, 2.5.5.2) */
#define ADDR_TEXT_LEN 46 /* INET6_ADDRSTRLEN */

struct endpoints {
	uint8_t local_addr[ADDR_LEN];
	uint8_t remote_addr[ADDR_LEN];
	uint16_t local_port; /* host byte order */
	uint16_t remote_port;
	uint32_t netns; /* inode number of the network namespace */
	uint32_t path_hash; /* Unix: tells servers apart also where no path is kept */
	const char *path; /* Unix: where the server listens, or ""; else NULL. Never freed */
};

/* What is known of a connection's TLS. */
struct secure {
	uint16_t version; /* 0x0303: 1.2; 0: not known */
	char alpn[16]; /* the protocol that was agreed on, if that is known; else "" */
	bool offers_h2; /* the client's offer has HTTP/2 */
	const char *server_name; /* that the client asked for; NULL: not known. Never freed */
};

bool addr_is_v4(const uint8_t addr[static ADDR_LEN]);
bool addr_is_loopback(const uint8_t addr[static ADDR_LEN]);

/* Dotted quad for v4-mapped addresses, RFC 5952 otherwise; NUL-terminated. */
void addr_text(const uint8_t addr[static ADDR_LEN], char ret_text[static ADDR_TEXT_LEN]);

/* A hash of one end; the network namespace counts for loopback addresses only, which every one has.
 */
uint64_t addr_key(const uint8_t addr[static ADDR_LEN], uint16_t port, uint32_t netns);
