/* SPDX-License-Identifier: Apache-2.0 */
#include "conn/paths.h"

#include <criterion/criterion.h>
#include <stdio.h>

Test(paths, the_same_path_is_kept_once)
{
	struct paths p = {0};
	const char *a = paths_intern(&p, "/run/a", 7), *b = paths_intern(&p, "/run/b", 6);

	cr_assert_str_eq(a, "/run/a");
	cr_assert_str_eq(b, "/run/b");
	cr_assert_eq(paths_intern(&p, "/run/a\0rubbish", 14), a);
	cr_assert_eq(p.count, 2);
	paths_release(&p);
}

Test(paths, abstract_names_and_what_is_no_text)
{
	struct paths p = {0};

	cr_assert_str_eq(paths_intern(&p, "\0app", 4), "@app");
	cr_assert_str_eq(paths_intern(&p, "\0a\nb\377", 5), "@a?b?");
	cr_assert_str_eq(paths_intern(&p, "", 0), "");
	paths_release(&p);
}

Test(paths, a_path_of_the_full_length_has_no_end_mark)
{
	struct paths p = {0};
	char longest[WEFT_PATH_LEN];

	memset(longest, 'x', sizeof(longest));
	cr_assert_eq(strlen(paths_intern(&p, longest, sizeof(longest))), WEFT_PATH_LEN);
	paths_release(&p);
}

Test(paths, when_full_there_is_no_name)
{
	struct paths p = {0};
	char path[16];

	for (unsigned i = 0; i < PATHS_MAX; i++)
		cr_assert_neq(paths_intern(&p, path, (unsigned)snprintf(path, 16, "/%u", i))[0], 0);
	cr_assert_str_eq(paths_intern(&p, "/more", 5), "");
	cr_assert_str_eq(paths_intern(&p, "/7", 2), "/7");
	paths_release(&p);
}
