/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two ends of one request on this node, told by the bytes' own numbers: both see the same TCP
 * sequence number for the same byte. With it stand the client's address and port; after
 * masquerading, where those differ, the number that the opposite direction had reached. A bounded
 * memory of one side's questions for the other: the oldest is forgotten.
 */
#pragma once
#include "core/endpoints.h"
#include "trace/node.h"

struct ends;

#define ENDS_UNIX UINT32_MAX /* in place of a network namespace */

struct end_key {
	uint32_t seq; /* of the request's first byte */
	uint32_t opposite; /* of the next reply byte, then */
	uint8_t client_addr[ADDR_LEN];
	uint16_t client_port;
	uint32_t netns; /* of a loopback address, or ENDS_UNIX, else 0 */
};

int ends_new(unsigned capacity, struct ends **ret_ends);
void ends_free(struct ends *ends);

/* False if an older one was forgotten that nobody had asked for. */
bool ends_put(struct ends *ends, const struct end_key *key, node_ref node);

/* Takes the one that fits, exactly or (masqueraded) by both numbers, if that is unique; 0: none. */
node_ref ends_take(struct ends *ends, const struct end_key *key);
