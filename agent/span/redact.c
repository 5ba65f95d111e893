/* SPDX-License-Identifier: Apache-2.0 */
#include "span/redact.h"

#include "core/cleanup.h"

#define NAME_MAX_LEN 64 /* a longer name is compared by its last bytes */

static const struct slice REDACTED = {"REDACTED", 8};

#define S(literal)                                                                                 \
	{                                                                                          \
		literal, sizeof(literal) - 1                                                       \
	}

/* By length. */
static const struct slice SECRET_NAMES[] = {
	S("jwt"),
	S("key"),
	S("otp"),
	S("pin"),
	S("pwd"),
	S("sid"),
	S("sig"),
	S("auth"),
	S("code"),
	S("hmac"),
	S("pass"),
	S("nonce"),
	S("cookie"),
	S("ticket"),
	S("session"),
	S("passcode"),
	S("accesskey"),
	S("assertion"),
	S("phpsessid"),
	S("sessionid"),
	S("signature"),
	S("access_key"),
	S("email_code"),
	S("jsessionid"),
	S("login_hint"),
	S("passphrase"),
	S("session_id"),
	S("set-cookie"),
	S("samlrequest"),
	S("samlresponse"),
	S("authorization"),
	S("id_token_hint"),
	S("awsaccesskeyid"),
	S("x-amz-signature"),
	S("x-amz-credential"),
	S("x-goog-signature"),
	S("proxy-authorization"),
	S("x-amz-security-token"),
};

static const struct slice SECRET_ENDINGS[] = {
	S("password"),
	S("passwd"),
	S("secret"),
	S("token"),
	S("signature"),
	S("credential"),
	S("credentials"),
	S("apikey"),
	S("api_key"),
	S("api-key"),
};

#undef S

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* name in lower case, percent-decoded, its last NAME_MAX_LEN bytes in to. */
static struct slice name_fold(struct slice name, char to[static NAME_MAX_LEN])
{
	size_t n = 0;

	/* Encoded, a name is at most three times as long. */
	if (name.len > 3 * NAME_MAX_LEN) {
		name.ptr += name.len - 3 * NAME_MAX_LEN;
		name.len = 3 * NAME_MAX_LEN;
	}
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		if (c == '%' && name.len - i > 2 && hex(name.ptr[i + 1]) >= 0 &&
			hex(name.ptr[i + 2]) >= 0) {
			c = (char)(hex(name.ptr[i + 1]) << 4 | hex(name.ptr[i + 2]));
			i += 2;
		}
		if (n == NAME_MAX_LEN) {
			memmove(to, to + 1, NAME_MAX_LEN - 1);
			n--;
		}
		to[n++] = lower(c);
	}
	return slice_of(to, n);
}

static bool ends_with(struct slice s, struct slice end)
{
	return s.len >= end.len && memcmp(s.ptr + s.len - end.len, end.ptr, end.len) == 0;
}

/* The last part of a structured name: user[password] and user.password give password. */
static struct slice name_leaf(struct slice name)
{
	size_t at;

	while (name.len && (name.ptr[name.len - 1] == ']' || name.ptr[name.len - 1] == '['))
		name.len--;
	at = name.len;
	while (at && name.ptr[at - 1] != '[' && name.ptr[at - 1] != '.')
		at--;
	return slice_of(name.ptr + at, name.len - at);
}

static bool is_secret(struct slice name, const struct names *more)
{
	char folded[NAME_MAX_LEN];
	struct slice whole = name_fold(name, folded), leaf = name_leaf(whole);

	if (!whole.len)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(SECRET_NAMES) && SECRET_NAMES[i].len <= leaf.len; i++)
		if (slice_eq(leaf, SECRET_NAMES[i]))
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(SECRET_ENDINGS); i++)
		if (ends_with(leaf, SECRET_ENDINGS[i]))
			return true;
	for (unsigned i = 0; more && i < more->n; i++) {
		struct slice s = slice_str(more->v[i]);

		if (slice_eq_nocase(whole, s) || slice_eq_nocase(leaf, s))
			return true;
	}
	return false;
}

bool redact_is_secret(struct slice name)
{
	return is_secret(name, NULL);
}

/*
 * How many bytes of a parameter may be kept: up to the "=" of the first secret name. Parameters are
 * also separated by ";" (HTML 4.01, B.2.2), but a secret value may hold one, so it goes on to the
 * "&".
 */
static size_t parameter_open(struct slice parameter, const struct names *more)
{
	struct slice rest = parameter;

	while (rest.len) {
		struct slice pair = slice_cut(&rest, ';');
		const char *equals = pair.len ? memchr(pair.ptr, '=', pair.len) : NULL;

		if (equals && is_secret(slice_of(pair.ptr, (size_t)(equals - pair.ptr)), more))
			return (size_t)(equals - parameter.ptr) + 1;
	}
	return parameter.len;
}

static struct slice redact_list(
	struct text *text, struct slice list, char separator, const struct names *more)
{
	struct slice rest = list;
	const char *kept = list.ptr; /* what from here to a secret is still to be copied */
	size_t from = text->used;
	bool copied = false;

	while (rest.len) {
		struct slice parameter = slice_cut(&rest, separator);
		size_t open = parameter_open(parameter, more);

		if (open == parameter.len)
			continue;
		copied = true;
		text_put(text, slice_of(kept, (size_t)(parameter.ptr + open - kept)));
		text_put(text, REDACTED);
		kept = parameter.ptr + parameter.len;
	}
	if (!copied)
		return list;
	text_put(text, slice_of(kept, (size_t)(list.ptr + list.len - kept)));
	return text_since(text, from);
}

struct slice redact_query(struct text *text, struct slice query, const struct names *more)
{
	return redact_list(text, query, '&', more);
}

struct slice redact_path(struct text *text, struct slice path, const struct names *more)
{
	if (!path.len || !memchr(path.ptr, '=', path.len))
		return path;
	return redact_list(text, path, '/', more);
}

void redact_put_path(struct text *text, struct slice path, const struct names *more)
{
	/* A copy made already stands where it belongs. */
	if (redact_path(text, path, more).ptr == path.ptr)
		text_put(text, path);
}

void redact_put_query(struct text *text, struct slice query, const struct names *more)
{
	if (redact_query(text, query, more).ptr == query.ptr)
		text_put(text, query);
}

static size_t find_any(struct slice s, const char *set)
{
	size_t at = 0;

	while (at < s.len && !memchr(set, s.ptr[at], strlen(set)))
		at++;
	return at;
}

struct slice redact_url(struct text *text, struct slice url, const struct names *more)
{
	size_t from = text->used, at, authority;

	url = slice_cut(&url, '#');
	if (!url.len)
		return url;
	at = find_any(url, "/?");
	/* RFC 3986, 3.2: an authority follows "//". */
	if (url.len - at >= 2 && url.ptr[at] == '/' && url.ptr[at + 1] == '/' &&
		(at == 0 || url.ptr[at - 1] == ':')) {
		struct slice rest = slice_of(url.ptr + at + 2, url.len - at - 2);
		const char *user_end;

		authority = find_any(rest, "/?");
		user_end = memrchr(rest.ptr, '@', authority);
		text_put(text, slice_of(url.ptr, at + 2));
		url = rest;
		if (user_end) {
			text_put(text, memchr(rest.ptr, ':', (size_t)(user_end - rest.ptr))
					       ? SLICE("REDACTED:REDACTED")
					       : REDACTED);
			url = slice_of(user_end, rest.len - (size_t)(user_end - rest.ptr));
		}
	}
	at = find_any(url, "?");
	redact_put_path(text, slice_of(url.ptr, at), more);
	if (at < url.len) {
		text_put(text, SLICE("?"));
		redact_put_query(text, slice_of(url.ptr + at + 1, url.len - at - 1), more);
	}
	return text_since(text, from);
}
