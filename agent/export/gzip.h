/* SPDX-License-Identifier: Apache-2.0 */
/* Request bodies in gzip, at the speed of level 1; the state and the buffer are used again. */
#pragma once
#include "core/slice.h"

struct gzip;

/* For inputs of at most max_bytes. 0 or -ENOMEM. */
int gzip_new(size_t max_bytes, struct gzip **ret_gzip);
void gzip_free(struct gzip *gzip);

/* `room` bytes before the result are the caller's to fill. The slice starts with them and is valid
 * until the next call; empty if the input was too long. */
#define GZIP_ROOM 8
struct slice gzip_pack(struct gzip *gzip, struct slice in, size_t room);
