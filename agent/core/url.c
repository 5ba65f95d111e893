/* SPDX-License-Identifier: Apache-2.0 */
#include "core/url.h"

#include <stdio.h>
#include <string.h>

void url_mask(const char *url, char *ret_text, size_t cap)
{
	const char *mark = strstr(url, "://");
	const char *start = mark ? mark + 3 : url;
	const char *at = memrchr(start, '@', strcspn(start, "/?#"));

	if (at)
		snprintf(ret_text, cap, "%.*s****%s", (int)(start - url), url, at);
	else
		snprintf(ret_text, cap, "%s", url);
}
