/* SPDX-License-Identifier: Apache-2.0 */
#include "self/query.h"

#include <curl/curl.h>
#include <string.h>

#define TIMEOUT_SECONDS 5L

/* A listener on every address answers there, also where IPv6 is switched off. */
static const char *host_of(const char *listen, const char *colon, char *buf, size_t cap)
{
	if (colon == listen || strncmp(listen, "[::]:", 5) == 0 ||
		strncmp(listen, "0.0.0.0:", 8) == 0)
		return "127.0.0.1";
	snprintf(buf, cap, "%.*s", (int)(colon - listen), listen);
	return buf;
}

static size_t on_body(char *data, size_t size, size_t n, void *out)
{
	return fwrite(data, size, n, out) * size;
}

int query_status(const char *listen, const char *filter, FILE *out, FILE *err)
{
	const char *colon = strrchr(listen, ':');
	char url[1024], host[128], *escaped;
	CURLcode result;
	long status = 0;
	CURL *curl;

	if (!colon) {
		fprintf(err, "weft: status: `listen` is off: there is nobody to ask\n");
		return 1;
	}
	curl = curl_easy_init();
	escaped = curl ? curl_easy_escape(curl, filter, 0) : NULL;
	if (!escaped) {
		curl_easy_cleanup(curl);
		return 1;
	}
	snprintf(url, sizeof(url), "http://%s%s/status?pod=%s",
		host_of(listen, colon, host, sizeof(host)), colon, escaped);
	curl_free(escaped);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, TIMEOUT_SECONDS);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, out);
	result = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(curl);
	if (result != CURLE_OK)
		fprintf(err, "weft: status: no answer at %s: %s\n", listen,
			curl_easy_strerror(result));
	return result == CURLE_OK && status == 200 ? 0 : 1;
}
