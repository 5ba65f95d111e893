/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 OR BSD-2-Clause */
/* The functions of TLS libraries that are probed: the agent attaches the programs with one of
 * these as the probe's cookie; Go's with the number of the file, below WEFT_TLS_FILES, times
 * 256. */
#pragma once

/* By their arguments. The session is the first one, if there is any. */
enum weft_tls_func {
	WEFT_TLS_READ = 1, /* (session, buffer, size): bytes read, or not more than 0 */
	WEFT_TLS_WRITE = 2, /* (session, buffer, size): bytes written, or not more than 0 */
	WEFT_TLS_READ_EX = 3, /* (session, buffer, size, size_t *ret): 1 if it went well */
	WEFT_TLS_WRITE_EX = 4,
	WEFT_TLS_SENDFILE = 5, /* (session, fd, offset, size, flags): bytes sent */
	WEFT_TLS_HANDSHAKE = 6, /* (session): moves no plaintext */
	WEFT_TLS_FREE = 7, /* (session): it is no more */
	WEFT_TLS_GO_READ = 8, /* (session, buffer, size, capacity): bytes read, and an error */
	WEFT_TLS_GO_WRITE = 9,
	/* (unused, buffer, size): bytes that came, for the session of the thread's next call */
	WEFT_TLS_HAND = 10,
};

#define WEFT_TLS_FUNC_MASK 0xffu /* of a cookie */
#define WEFT_TLS_FILES     2048u
#define WEFT_TLS_GO_BEGUN  (~0ull)

#define WEFT_TLS_HELLO_BYTES 2048u /* of each direction that are recorded as they are */
