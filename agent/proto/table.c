/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/http1.h"

#include "core/cleanup.h"
#include "proto/http2.h"

const struct protocol *const PROTOCOLS[] = {
	&http1,
	&http2,
};

const unsigned PROTOCOLS_COUNT = ARRAY_SIZE(PROTOCOLS);
