/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/http1.h"

#include "core/cleanup.h"

const struct protocol *const PROTOCOLS[] = {
	&http1,
};

const unsigned PROTOCOLS_COUNT = ARRAY_SIZE(PROTOCOLS);
