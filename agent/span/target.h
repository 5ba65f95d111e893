/* SPDX-License-Identifier: Apache-2.0 */
/* The request target and the Host field, taken apart (RFC 9112, 3.2; RFC 3986, 3). */
#pragma once
#include "core/slice.h"

struct authority {
	struct slice host; /* without brackets and user information; empty if there is none */
	uint16_t port; /* 0: none given, or none that is a port */
};

/* [userinfo@]host[:port], host perhaps in brackets. Never fails: what makes no sense gives no host.
 */
struct authority authority_parse(struct slice s);

enum target_form {
	TARGET_ORIGIN, /* /path?query; also what is none of the others */
	TARGET_ABSOLUTE, /* scheme://authority/path?query */
	TARGET_AUTHORITY, /* host:port, to CONNECT only */
	TARGET_ASTERISK, /* * */
};

struct target {
	enum target_form form;
	struct slice scheme; /* ABSOLUTE, as sent */
	struct slice authority; /* ABSOLUTE and AUTHORITY, as sent */
	struct slice
		path; /* as sent; "/" if ABSOLUTE has none, "*" if ASTERISK, empty if AUTHORITY */
	struct slice query; /* without "?"; fragments are dropped */
	bool has_user; /* the authority holds user information */
	bool has_query;
};

void target_parse(struct slice s, bool is_connect, struct target *ret_target);

/* The address in X-Forwarded-For's first element or Forwarded's for= (RFC 7239, 6): quotes,
 * brackets and port off; empty if it is hidden ("unknown", "_hidden"). */
struct slice forwarded_address(struct slice s);
