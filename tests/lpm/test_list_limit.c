/* lpm/list.h: list_parse_within, which holds no more than it may. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lpm/list.h"

enum {
	LINES = 10000,
	LINE_ROOM = 32,
};

Test(lpm_list_limit, what_does_not_fit_is_refused_where_it_does_not)
{
	char *text = malloc((size_t)LINES * LINE_ROOM);
	size_t size = 0;
	/* The least that does: entries are given room for in powers of two, and are there twice. */
	const size_t enough =
		2 * 16384 * sizeof(struct list4_entry) + 8192 * sizeof(struct list4_entry);
	struct list_error err;
	struct list *list;

	for (unsigned i = 0; i < LINES; i++)
		size += (size_t)snprintf(text + size, LINE_ROOM, "10.%u.%u.1\n", i / 256, i % 256);
	for (size_t max = 0; max < 2 * enough; max += enough / 64) {
		int expected = max >= enough ? 0 : -ENOMEM;
		int rc;

		list = NULL;
		err = (struct list_error){0};
		rc = list_parse_within("name", "file", text, size, 0, max, &list, &err);
		cr_expect_eq(rc, expected, "%zu bytes: expected %d, actual %d", max, expected, rc);
		cr_expect_eq(list != NULL, rc == 0);
		if (rc != 0)
			cr_expect(err.line >= 1 && err.line <= 8193 &&
					  ((err.line - 1) & (err.line - 2)) == 0,
				  "%zu bytes: line %zu", max, err.line);
		list_unref(list);
	}
	cr_assert_eq(list_parse("name", "file", text, size, 0, &list, &err), 0);
	list_unref(list);
	free(text);
}

/* 254 prefixes a line: the text says little of what it takes. */
Test(lpm_list_limit, ranges_are_counted_as_what_they_become)
{
	static const char text[] = "::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe\n::2-::3\n";
	struct list_error err = {0};
	struct list *list = NULL;

	cr_expect_eq(list_parse_within("name", "file", text, strlen(text), LIST_SKIP_BAD, 8192,
				       &list, &err),
		     -ENOMEM, "not even when bad lines are passed over");
	cr_expect_null(list);
	cr_expect_eq(err.line, 1);
}
