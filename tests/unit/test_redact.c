/* SPDX-License-Identifier: Apache-2.0 */
#include "span/redact.h"

#include "core/cleanup.h"
#include "guard.h"

#include <criterion/criterion.h>

static const struct names MORE = {.n = 2, .v = {"tenant", "Customer"}};

static const struct {
	const char *in, *out;
} QUERIES[] = {
	{"", ""},
	{"a=1&b=2", "a=1&b=2"},
	{"sig=abc", "sig=REDACTED"},
	{"a=1&Signature=x%2By&b=2", "a=1&Signature=REDACTED&b=2"},
	{"AWSAccessKeyId=AKIA&X-Amz-Signature=f&X-Amz-Credential=c&X-Amz-Security-Token=t&"
	 "X-Goog-Signature=g",
		"AWSAccessKeyId=REDACTED&X-Amz-Signature=REDACTED&X-Amz-Credential=REDACTED&"
		"X-Amz-Security-Token=REDACTED&X-Goog-Signature=REDACTED"},
	{"SIG=1&x-amz-signature=2", "SIG=REDACTED&x-amz-signature=REDACTED"},
	{"password=hunter2", "password=REDACTED"},
	{"user_password=p&access_token=t&api_key=k&code=c", "user_password=REDACTED&"
							    "access_token=REDACTED&"
							    "api_key=REDACTED&code=REDACTED"},
	{"user[password]=p&user.secret=s&q=1", "user[password]=REDACTED&user.secret=REDACTED&q=1"},
	{"user%5Bpassword%5D=p", "user%5Bpassword%5D=REDACTED"},
	{"%73ig=p", "%73ig=REDACTED"},
	{"token=&a=1", "token=&a=1"},
	{"token", "token"},
	{"=x", "=x"},
	{"&&&", "&&&"},
	{"token=a;b;c&d=1", "token=REDACTED&d=1"},
	{"a=1;token=b;c=2&d=1", "a=1;token=REDACTED&d=1"},
	{"a=1;b=2", "a=1;b=2"},
	{"token=a=b=c", "token=REDACTED"},
	{"token=a&token=b", "token=REDACTED&token=REDACTED"},
	{"tokens=3&design=x&keyboard=y&encode=z", "tokens=3&design=x&keyboard=y&encode=z"},
	{"tenant=t&customer=c&tenants=1", "tenant=REDACTED&customer=REDACTED&tenants=1"},
	{"%=1&%4=2&%zz=3", "%=1&%4=2&%zz=3"},
};

Test(redact, queries)
{
	struct guard guard = guard_new();

	for (size_t i = 0; i < ARRAY_SIZE(QUERIES); i++) {
		char buf[1024];
		struct text text = {.buf = buf, .cap = sizeof(buf)};
		struct slice in = guard_put(&guard, slice_str(QUERIES[i].in));
		struct slice got = redact_query(&text, in, &MORE);

		cr_assert(slice_eq(got, slice_str(QUERIES[i].out)), "%s -> %.*s", QUERIES[i].in,
			(int)got.len, got.ptr);
		if (slice_eq(in, slice_str(QUERIES[i].out)))
			cr_assert_eq(text.used, 0, "nothing to copy");
		for (size_t n = 0; n < in.len; n++) { /* every truncation */
			text.used = 0;
			redact_query(&text, guard_put(&guard, slice_of(QUERIES[i].in, n)), &MORE);
		}
	}
	guard_free(&guard);
}

Test(redact, urls)
{
	static const struct {
		const char *in, *out;
	} URLS[] = {
		{"", ""},
		{"/a/b?x=1", "/a/b?x=1"},
		{"/a?token=1#frag", "/a?token=REDACTED"},
		{"#access_token=1", ""},
		{"https://h/p", "https://h/p"},
		{"https://u:p@h:1/p?sig=1", "https://REDACTED:REDACTED@h:1/p?sig=REDACTED"},
		{"https://u@h", "https://REDACTED@h"},
		{"https://a@b:c@h/", "https://REDACTED:REDACTED@h/"},
		{"//u:p@h/x", "//REDACTED:REDACTED@h/x"},
		{"https://h/a@b", "https://h/a@b"},
		{"https://h?u=a@b", "https://h?u=a@b"},
		{"/x//y@z", "/x//y@z"},
		{"?", "?"},
		{"https://h/a;sid=1/b?sid=2", "https://h/a;sid=REDACTED/b?sid=REDACTED"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(URLS); i++) {
		char buf[256];
		struct text text = {.buf = buf, .cap = sizeof(buf)};
		struct slice got = redact_url(&text, slice_str(URLS[i].in), NULL);

		cr_assert(slice_eq(got, slice_str(URLS[i].out)), "%s -> %.*s", URLS[i].in,
			(int)got.len, got.ptr);
	}
}

Test(redact, no_secret_when_the_buffer_is_full)
{
	struct slice in = SLICE("a=1&token=hunter2&b=3&password=hunter2");

	for (size_t cap = 0; cap < 64; cap++) {
		char buf[64];
		struct text text = {.buf = buf, .cap = cap};
		struct slice got = redact_query(&text, in, NULL);

		cr_assert_null(memmem(got.ptr, got.len, "hunter", 6));
		cr_assert_leq(got.len, cap);
	}
}

Test(redact, header_names)
{
	static const char *const SECRET[] = {"Authorization", "cookie", "Set-Cookie",
		"proxy-authorization", "X-Api-Key", "X-Auth-Token", "x-amz-security-token"};
	static const char *const OPEN[] = {
		"accept", "x-request-id", "content-type", "", "x-tokens"};

	for (size_t i = 0; i < ARRAY_SIZE(SECRET); i++)
		cr_assert(redact_is_secret(slice_str(SECRET[i])), "%s", SECRET[i]);
	for (size_t i = 0; i < ARRAY_SIZE(OPEN); i++)
		cr_assert_not(redact_is_secret(slice_str(OPEN[i])), "%s", OPEN[i]);
}

Test(redact, very_long_names_end_the_same)
{
	char in[1024], buf[1100];
	struct text text = {.buf = buf, .cap = sizeof(buf)};

	memset(in, 'a', sizeof(in));
	memcpy(in + 1000, "password=hunter2", 16);
	redact_query(&text, slice_of(in, 1016), NULL);
	cr_assert(slice_eq(text_since(&text, 1000), SLICE("password=REDACTED")));
}
