/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose span id a traceparent names. The first to show an id owns it: the application's call that
 * it was made for, or a caller elsewhere. Whoever shows it again (a proxy that passes the header
 * on, a retry) does not. A bounded memory: the oldest is forgotten.
 */
#pragma once
#include "span/span.h"

struct claims;
int claims_new(unsigned capacity, struct claims **ret_claims);
void claims_free(struct claims *claims);

/* Whether nobody had it. */
bool claims_take(struct claims *claims, const uint8_t id[static SPAN_ID_LEN]);
