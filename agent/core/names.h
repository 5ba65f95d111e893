/* SPDX-License-Identifier: Apache-2.0 */
/* A short list of strings from the configuration. */
#pragma once

#define NAMES_MAX  32
#define NAMES_TEXT 64

struct names {
	unsigned n;
	char v[NAMES_MAX][NAMES_TEXT];
};
