/* SPDX-License-Identifier: Apache-2.0 */
/* weft's own connections. Its exports are not followed at their server's end either: each would
 * cause the next. */
#pragma once
#include "conn/state.h"

/* Whether a connection that was just announced, by a record of this process, is one of weft's own,
 * at either end. Remembers those that weft has made. */
bool own_is(struct conn *conn, uint32_t pid);

/* A connection is over. */
void own_gone(struct conn *conn);
