/* SPDX-License-Identifier: Apache-2.0 */
/* What an exchange keeps of the heads. */
#pragma once
#include <stdbool.h>

struct exchange;
struct http1_head;
struct http1_start;

/* True if a string had to be cut. */
bool http1_fill_request(struct exchange *ex, const struct http1_head *head);
void http1_fill_begun(struct exchange *ex, const struct http1_start *start);
void http1_fill_reply(struct exchange *ex, const struct http1_head *head);
