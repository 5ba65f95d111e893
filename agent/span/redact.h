/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must not leave the agent. A query parameter or header is secret, case ignored, if its name
 *
 *  - is one that the semantic conventions list for url.full: sig, signature, AWSAccessKeyId,
 *    X-Amz-Signature, X-Amz-Credential, X-Amz-Security-Token, X-Goog-Signature;
 *  - is another that commonly holds a credential: access_key, accesskey, assertion, auth,
 *    authorization, code, cookie, email_code, hmac, id_token_hint, jwt, key, login_hint, nonce,
 * otp, pass, passcode, passphrase, pin, proxy-authorization, pwd, samlrequest, samlresponse,
 * session, session_id, sessionid, set-cookie, sid, ticket, jsessionid, phpsessid;
 *  - or ends in: password, passwd, secret, token, signature, credential, credentials, apikey,
 *    api_key, api-key (so access_token, client_secret, X-Api-Key, user[password]).
 *
 * The values become REDACTED, the names stay.
 */
#pragma once
#include "core/names.h"
#include "span/text.h"

bool redact_is_secret(struct slice name);

/* A query without its "?". `more`: further names from the configuration. The query itself if there
 * is nothing to hide, else a copy in text. Names may be percent-encoded. */
struct slice redact_query(struct text *text, struct slice query, const struct names *more);

/* The same for the parameters in a path: /a;jsessionid=1/b, /reset/token=1. */
struct slice redact_path(struct text *text, struct slice path, const struct names *more);

/* The same, and always copied. */
void redact_put_query(struct text *text, struct slice query, const struct names *more);
void redact_put_path(struct text *text, struct slice path, const struct names *more);

/* A URL or a reference to one (as in Location, Referer): user information and fragment go, path
 * and query as above. Always a copy. */
struct slice redact_url(struct text *text, struct slice url, const struct names *more);
