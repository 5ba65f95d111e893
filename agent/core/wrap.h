/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include <stdio.h>

/* Prints text and a newline, broken at blanks into lines of at most width bytes; all lines but the
 * first are indented. A longer word stands alone. */
void wrap_print(FILE *out, const char *text, unsigned indent, unsigned width);
