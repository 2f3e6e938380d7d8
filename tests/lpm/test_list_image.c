/* lpm/list_image.h: lists to bytes and back. */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lpm/list_image.h"
#include "tests/model/list_image_props.h"
#include "tests/model/lpm_model.h"

enum {
	MANY = 20000,     /* lines: several pieces of both families */
	LINE_ROOM = 64,   /* of a line of text */
	HEAD_BYTES = 96,  /* as list_image.h has it */
	ENTRY4_BYTES = 9, /* address, line, length */
	ENTRY6_BYTES = 21,
};

static struct list *parse(const char *text, size_t size)
{
	struct list_error err;
	struct list *list = NULL;

	cr_assert_eq(list_parse("name", "file", text, size, LIST_SKIP_BAD, &list, &err), 0, "%s",
		     err.text);
	return list;
}

static void expect_same(const struct list *a, const struct list *b, const char *what)
{
	cr_assert(a->count4 == b->count4 && a->count6 == b->count6,
		  "%s: expected %zu + %zu, actual %zu + %zu", what, a->count4, a->count6, b->count4,
		  b->count6);
	cr_expect_eq(memcmp(&a->counts, &b->counts, sizeof(a->counts)), 0, "%s: counts", what);
	cr_expect_str_eq(b->name, "name");
	cr_expect_str_eq(b->file, "file");
	for (size_t i = 0; i < a->count4; i++)
		cr_assert(a->v4[i].addr == b->v4[i].addr && a->v4[i].len == b->v4[i].len &&
				  a->v4[i].line == b->v4[i].line,
			  "%s: IPv4 prefix %zu: expected %x/%u of line %u, actual %x/%u of %u",
			  what, i, a->v4[i].addr, a->v4[i].len, a->v4[i].line, b->v4[i].addr,
			  b->v4[i].len, b->v4[i].line);
	for (size_t i = 0; i < a->count6; i++)
		cr_assert(a->v6[i].addr.hi == b->v6[i].addr.hi &&
				  a->v6[i].addr.lo == b->v6[i].addr.lo &&
				  a->v6[i].len == b->v6[i].len && a->v6[i].line == b->v6[i].line,
			  "%s: IPv6 prefix %zu", what, i);
}

static void expect_round_trip(const char *text, size_t size, const char *what)
{
	struct list *list = parse(text, size);
	struct list *again = NULL;
	size_t image_size;
	uint8_t *image = list_image_props_write(list, &image_size);
	const char *wrong;
	int rc = list_image_props_read(image, image_size, &again);

	cr_assert_eq(rc, 0, "%s: expected 0, actual %d", what, rc);
	expect_same(list, again, what);
	cr_expect_eq(again->refs, 1);
	wrong = list_image_props_check(image, image_size);
	cr_expect_null(wrong, "%s: %s", what, wrong);
	list_unref(list);
	list_unref(again);
	free(image);
}

static const char *const texts[] = {
	"",
	"# nothing\n\n",
	"0.0.0.0/0\n",
	"::/0\n",
	"255.255.255.255\n255.255.255.254/31\n",
	"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\n::\n::/1\n8000::/1\n",
	"10.0.0.0/8\n10.0.0.0/8\n10.0.0.0/9\n10.0.0.1/8\n",
	"192.0.2.1-192.0.2.254\n192.0.2.0 255.255.255.0\nbad\n2001:db8::1-2001:db8::ffff\n",
	"::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe\n::/0\n0.0.0.1-255.255.255.254\n",
	"9.0.0.0/8\n8.0.0.0/8\n2001:db8:1::/48\n2001:db8::/32\nalso bad\n",
};

Test(lpm_list_image, what_is_written_is_read)
{
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		expect_round_trip(texts[i], strlen(texts[i]), texts[i]);
}

/* Lengths as random as addresses, in no order. */
static size_t random_text(char *text, unsigned lines)
{
	uint64_t seed = 20;
	size_t size = 0;

	for (unsigned i = 0; i < lines; i++) {
		uint64_t random = lpm_model_random(&seed);
		unsigned shape = random >> 60;

		if (shape < 8)
			size += (size_t)snprintf(
				text + size, LINE_ROOM, "%u.%u.%u.%u/%u\n", (unsigned)random & 255,
				(unsigned)(random >> 8) & 255, (unsigned)(random >> 16) & 255,
				(unsigned)(random >> 24) & 255, (unsigned)(random >> 32) % 33);
		else
			size += (size_t)snprintf(
				text + size, LINE_ROOM, "%x:%x::%x/%u\n", (unsigned)random & 0xffff,
				(unsigned)(random >> 16) & 0xffff,
				(unsigned)(random >> 32) & 0xffff, (unsigned)(random >> 48) % 129);
	}
	return size;
}

Test(lpm_list_image, large_lists)
{
	char *text = malloc((size_t)MANY * LINE_ROOM);

	expect_round_trip(text, random_text(text, MANY), "random lines");
	free(text);
}

/* An image of 2 + 2 entries to do harm to. */
static uint8_t *small_image(size_t *size)
{
	static const char text[] = "10.0.0.0/8\n10.1.0.0/16\n2001:db8::/32\n2001:db8::/48\n";
	struct list *list = parse(text, strlen(text));
	uint8_t *image = list_image_props_write(list, size);

	list_unref(list);
	cr_assert_eq(*size, HEAD_BYTES + 2 * ENTRY4_BYTES + 2 * ENTRY6_BYTES);
	return image;
}

Test(lpm_list_image, no_byte_can_be_anything)
{
	size_t size;
	uint8_t *image = small_image(&size);

	for (size_t at = 0; at < size; at++) {
		for (unsigned value = 0; value < 256; value++) {
			uint8_t before = image[at];
			const char *wrong;

			image[at] = (uint8_t)value;
			wrong = list_image_props_check(image, size);
			cr_expect_null(wrong, "byte %zu = %u: %s", at, value, wrong);
			image[at] = before;
		}
	}
	free(image);
}

Test(lpm_list_image, no_part_is_an_image)
{
	size_t size;
	uint8_t *image = small_image(&size);

	image = realloc(image, size + 1);
	image[size] = 0;
	for (size_t cut = 0; cut <= size + 1; cut++) {
		struct list *list = NULL;
		int rc = list_image_props_read(image, cut, &list);

		cr_expect_eq(rc, cut == size ? 0 : -EINVAL, "%zu bytes: %d", cut, rc);
		list_unref(list);
	}
	free(image);
}

enum {
	V4 = HEAD_BYTES,
	V6 = HEAD_BYTES + 2 * ENTRY4_BYTES,
};

/* A number of size bytes that is put somewhere. */
static const struct damage {
	const char *name;
	size_t at;
	size_t size;
	uint64_t value;
} damages[] = {
	{"magic", 0, 1, 'S'},
	{"version", 8, 4, 2},
	{"byte order", 12, 4, 0x04030201},
	{"more IPv4", 16, 8, 3},
	{"IPv4 beyond all", 16, 8, UINT64_MAX},
	{"IPv4 that overflow", 16, 8, UINT64_MAX / ENTRY4_BYTES + 1},
	{"fewer IPv6", 24, 8, 1},
	{"IPv6 beyond all", 24, 8, UINT64_MAX},
	{"lines beyond all", 32, 8, UINT64_MAX},
	{"too few lines", 32, 8, 3},
	{"more items than lines", 40, 8, 5},
	{"more masked than items", 48, 8, 5},
	{"more ranges than items", 56, 8, 5},
	{"duplicates beyond all", 64, 8, UINT64_MAX},
	{"more covered than there are", 72, 8, 5},
	{"skipped lines that are items", 80, 8, 1},
	{"none aggregated", 88, 8, 0},
	{"more aggregated than there are", 88, 8, 5},
	{"IPv4 host bits", V4, 4, 0x0a000001},
	{"IPv4 line 0", V4 + 4, 4, 0},
	{"IPv4 line too high", V4 + 4, 4, 5},
	{"IPv4 length", V4 + 8, 1, 33},
	{"IPv4 length beyond a shift", V4 + 8, 1, 255},
	{"IPv4 order", V4, 4, 0x0b000000},
	{"IPv4 twice", V4 + ENTRY4_BYTES, 4, 0},
	{"IPv6 upper host bits", V6, 8, 0x20010db800000001},
	{"IPv6 lower host bits", V6 + 8, 8, 1},
	{"IPv6 line 0", V6 + 16, 4, 0},
	{"IPv6 line too high", V6 + 16, 4, 5},
	{"IPv6 length", V6 + 20, 1, 129},
	{"IPv6 twice", V6 + ENTRY6_BYTES + 20, 1, 32},
	{"IPv6 length order", V6 + ENTRY6_BYTES + 20, 1, 31},
	{"IPv6 order", V6, 8, 0x20020db800000000},
};

Test(lpm_list_image, what_no_text_gives_is_refused)
{
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		struct list *list = NULL;
		size_t size;
		uint8_t *image = small_image(&size);
		int rc;

		memcpy(image + damages[i].at, &damages[i].value, damages[i].size);
		rc = list_image_props_read(image, size, &list);
		cr_expect_eq(rc, -EINVAL, "%s: expected %d, actual %d", damages[i].name, -EINVAL,
			     rc);
		cr_expect_null(list, "%s", damages[i].name);
		free(image);
	}
}

/* Also where one piece ends and the next begins: both hold a multiple of STEP entries. */
Test(lpm_list_image, order_is_kept_from_piece_to_piece)
{
	enum { STEP = 510 };
	char *text = malloc((size_t)MANY * LINE_ROOM);
	struct list *list = parse(text, random_text(text, MANY));
	size_t size, v6 = HEAD_BYTES + list->count4 * ENTRY4_BYTES;
	uint8_t *image = list_image_props_write(list, &size);

	cr_assert_gt(list->count4, 7 * STEP);
	cr_assert_gt(list->count6, 3 * STEP);
	for (size_t i = STEP; i < list->count4 + list->count6; i += STEP) {
		bool is4 = i < list->count4;
		size_t first = is4 ? HEAD_BYTES : v6, entry = is4 ? ENTRY4_BYTES : ENTRY6_BYTES;
		size_t at = is4 ? i : (i - list->count4) / STEP * STEP;
		struct list *out = NULL;
		uint8_t saved[ENTRY6_BYTES];

		if (at == 0)
			continue;
		memcpy(saved, image + first + at * entry, entry);
		memcpy(image + first + at * entry, image + first, entry);
		cr_expect_eq(list_image_props_read(image, size, &out), -EINVAL,
			     "entry %zu of IPv%d is the first again", at, is4 ? 4 : 6);
		memcpy(image + first + at * entry, saved, entry);
	}
	list_unref(list);
	free(image);
	free(text);
}

static int refuse_get(void *context, void *bytes, size_t size)
{
	(void)context;
	(void)bytes;
	(void)size;
	return -EIO;
}

static int refuse_put(void *context, const void *bytes, size_t size)
{
	unsigned *left = context;

	(void)bytes;
	(void)size;
	return (*left)-- == 0 ? -ENOSPC : 0;
}

Test(lpm_list_image, errors_of_the_other_side_come_back)
{
	char *text = malloc((size_t)MANY * LINE_ROOM);
	struct list *list = parse(text, random_text(text, MANY));
	struct list *out = NULL;
	unsigned pieces = 0;

	for (;; pieces++) {
		unsigned left = pieces;
		int rc = list_image_write(list, refuse_put, &left);

		if (rc == 0)
			break;
		cr_assert_eq(rc, -ENOSPC);
		cr_assert_eq(left, UINT_MAX, "put was called again after its error");
	}
	cr_expect_gt(pieces, 5, "%u pieces", pieces);
	cr_expect_eq(list_image_read("name", "file", 1000, refuse_get, NULL, &out), -EIO);
	cr_expect_null(out);
	list_unref(list);
	free(text);
}
