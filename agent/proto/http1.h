/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "proto/protocol.h"

/* HTTP/1.0 and 1.1 (RFC 9110, 9112). */
extern const struct protocol http1;
