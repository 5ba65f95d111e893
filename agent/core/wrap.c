/* SPDX-License-Identifier: Apache-2.0 */
#include "core/wrap.h"
#include "core/slice.h"

void wrap_print(FILE *out, const char *text, unsigned indent, unsigned width)
{
	struct slice rest = slice_str(text);
	size_t used = 0;

	while (rest.len) {
		struct slice word = slice_cut(&rest, ' ');

		if (used && used + 1 + word.len > width) {
			fprintf(out, "\n%*s", (int)indent, "");
			used = 0;
		}
		fprintf(out, "%s%.*s", used ? " " : "", (int)word.len, word.ptr);
		used += word.len + (used > 0);
	}
	fprintf(out, "\n");
}
