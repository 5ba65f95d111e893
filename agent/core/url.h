/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include <stddef.h>

/* The URL with its user and password, if any, replaced by ****: for logs and messages. Cut to cap.
 */
void url_mask(const char *url, char *ret_text, size_t cap);
