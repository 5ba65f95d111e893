/* SPDX-License-Identifier: Apache-2.0 */
/* What a path segment looks like: a word of the program, or a value of its data. */
#include "core/cleanup.h"
#include "span/route.h"

#define LONG_HEX      16 /* hexadecimal digits, letters only included */
#define LONG_MIXED    10 /* upper and lower case and digits */
#define LONG_UNBROKEN 16 /* no separator, digits among it */
#define LONG_DIGITS   4 /* digits in a row */

struct shape {
	unsigned digits, lowers, uppers, seps;
	unsigned hex; /* characters that are hexadecimal digits or "-" */
	unsigned run; /* longest run of digits */
	unsigned transitions; /* between a letter and a digit next to it */
	bool at, foreign; /* "@"; a byte that no word of a path is spelled with */
};

enum kind { KIND_SEP, KIND_DIGIT, KIND_LETTER };

static enum kind shape_add(struct shape *shape, char c, enum kind before)
{
	enum kind kind = KIND_SEP;

	if (c >= '0' && c <= '9') {
		shape->digits++;
		kind = KIND_DIGIT;
	} else if (c >= 'a' && c <= 'z') {
		shape->lowers++;
		kind = KIND_LETTER;
	} else if (c >= 'A' && c <= 'Z') {
		shape->uppers++;
		kind = KIND_LETTER;
	} else if (c == '@') {
		shape->at = true;
	} else if (c && strchr("-_.~!$&'()*+,:%", c)) {
		shape->seps++;
	} else {
		shape->foreign = true;
	}
	if (kind == KIND_DIGIT || (kind == KIND_LETTER && (c | 0x20) <= 'f') || c == '-')
		shape->hex++;
	if (before != KIND_SEP && kind != KIND_SEP && kind != before)
		shape->transitions++;
	return kind;
}

static struct shape shape_of(struct slice s)
{
	struct shape shape = {0};
	enum kind kind = KIND_SEP;
	unsigned run = 0;

	for (size_t i = 0; i < s.len; i++) {
		kind = shape_add(&shape, s.ptr[i], kind);
		run = kind == KIND_DIGIT ? run + 1 : 0;
		if (run > shape.run)
			shape.run = run;
	}
	return shape;
}

/* v1, v2beta1, 1.0: versions of an interface are words of it. */
static bool is_version(struct slice s, const struct shape *shape)
{
	if (!shape->lowers && !shape->uppers)
		return s.len == 3 && shape->digits == 2 && s.ptr[1] == '.';
	return s.len <= 10 && (s.ptr[0] | 0x20) == 'v' && shape->run <= 2 && shape->digits <= 3 &&
	       s.len > 1 && s.ptr[1] >= '0' && s.ptr[1] <= '9' && shape->transitions <= 3;
}

static bool is_id(struct slice s)
{
	struct shape shape;
	unsigned letters;

	if (s.len > ROUTE_SEGMENT)
		return true;
	shape = shape_of(s);
	letters = shape.lowers + shape.uppers;
	if (shape.foreign || (shape.at && s.ptr[0] != '@'))
		return true;
	if (!shape.digits)
		return shape.hex == s.len && s.len >= LONG_HEX && letters >= LONG_HEX;
	if (is_version(s, &shape))
		return false;
	if (!letters || shape.run >= LONG_DIGITS)
		return true;
	if (shape.hex == s.len && (s.len >= LONG_HEX || (s.len >= 6 && shape.digits >= 2)))
		return true;
	if (shape.digits < 2)
		return false;
	if (shape.transitions >= 3 && s.len >= 6)
		return true;
	if (shape.seps)
		return false;
	return s.len >= LONG_UNBROKEN || (s.len >= LONG_MIXED && shape.uppers && shape.lowers);
}

/* Names of files end in one of a few words, each with the template of a name that holds an id. */
static const struct {
	struct slice dot_ext, route;
} FILES[] = {
/* clang-format off */
#define F(ext) {{"." ext, sizeof(ext)}, {"{id}." ext, sizeof(ext) + 4}}
	F("js"), F("mjs"), F("css"), F("map"), F("wasm"), F("html"), F("htm"), F("json"), F("xml"),
	F("png"), F("jpg"), F("jpeg"), F("gif"), F("svg"), F("webp"), F("avif"), F("ico"),
	F("ttf"), F("woff"), F("woff2"), F("txt"), F("pdf"), F("csv"), F("zip"), F("gz"),
	F("mp3"), F("mp4"), F("webm"),
#undef F
	/* clang-format on */
};

static bool ends_with(struct slice s, struct slice end)
{
	return s.len > end.len && memcmp(s.ptr + s.len - end.len, end.ptr, end.len) == 0;
}

/* Whether the name of a file, without its extension, is an id or holds one: app.3f9c2b,
 * report-20240501. Short numbers are versions: jquery-3.6.0.min. */
static bool stem_has_id(struct slice stem)
{
	size_t from = 0;

	if (is_id(stem))
		return true;
	for (size_t i = 0; i <= stem.len; i++) {
		if (i < stem.len && stem.ptr[i] != '.' && stem.ptr[i] != '-' && stem.ptr[i] != '_')
			continue;
		if (i - from >= 6 && is_id(slice_of(stem.ptr + from, i - from)))
			return true;
		from = i + 1;
	}
	return false;
}

struct slice route_segment(struct slice s)
{
	if (s.len && memchr(s.ptr, '.', s.len)) {
		for (size_t i = 0; i < ARRAY_SIZE(FILES); i++) {
			struct slice stem = s;

			if (!ends_with(s, FILES[i].dot_ext))
				continue;
			stem.len -= FILES[i].dot_ext.len;
			return s.len > ROUTE_SEGMENT || stem_has_id(stem) ? FILES[i].route : s;
		}
	}
	return is_id(s) ? SLICE("{id}") : s;
}
