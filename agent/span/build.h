/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the builder: a span that is being built, and what every kind of it is built of. */
#pragma once
#include "proto/exchange.h"
#include "span/options.h"
#include "span/span.h"
#include "span/text.h"

struct span_builder;

/* What is being built. */
struct build {
	struct span_builder *builder;
	const struct span_options *options;
	struct text *text;
	const struct exchange *ex;
	struct span *span;
	size_t room; /* of SPAN_PACK_MAX */
	bool cut;
};

/* Takes the room for n bytes of text; what of them there is room for. */
size_t build_room(struct build *b, size_t n);
/* Room for an attribute's head and key; false if it must be left out. */
bool build_attr_room(struct build *b, struct slice key);
/* A value as an OTLP string: UTF-8, and no longer than there is room. */
struct slice build_fit(struct build *b, struct slice value);

void build_str(struct build *b, struct slice key, struct slice value);
/* The same for text of weft's own making, which is ASCII. */
void build_own(struct build *b, struct slice key, struct slice value);
void build_int(struct build *b, struct slice key, int64_t value);

struct slice build_addr(struct build *b, const uint8_t addr[static ADDR_LEN]);
/* The other end's address; of a Unix socket where the server listens. */
struct slice build_peer(struct build *b);
/* network.peer.*, or what stands for it. */
void build_network(struct build *b, struct slice peer);

/* error.type by the end alone; empty: no error. */
struct slice build_end_error(enum exchange_end end);
/* What went wrong, if anything did, and what weft did not see. error: error.type, or empty. */
void build_end(struct build *b, struct slice error);

/* A gRPC call's kind, name and attributes, but for those of the two ends. path: of its target. */
void build_rpc(struct build *b, struct slice path);
