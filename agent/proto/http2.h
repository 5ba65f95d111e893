/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "proto/protocol.h"

/* HTTP/2 (RFC 9113), and gRPC over it. */
extern const struct protocol http2;
