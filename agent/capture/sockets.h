/* SPDX-License-Identifier: Apache-2.0 */
/* How many sockets there are, for a count of them that goes wrong with each end that is missed. */
#pragma once
#include <stdint.h>

/* TCP sockets of the machine, in all its network namespaces, from the text of /proc/net/sockstat;
 * 0: it does not say. */
uint64_t sockets_in_text(const char *text);
uint64_t sockets_allocated(void);

/* By how much `counted` is to be lowered. Nothing below half of `max`: so far it does no harm. And
 * a part of `max` stays, for sockets that come and go between the two counts. */
uint64_t sockets_overcounted(uint64_t counted, uint64_t allocated, uint64_t max);
