/* ctl/load.h: files, plain and packed, to texts, lists and tables. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "ctl/load.h"

enum {
	PATH_ROOM = 64,
	PACKED_ROOM = 4096,
};

/* A folder of the test's own. */
struct folder {
	char path[PATH_ROOM];
	char file[4][2 * PATH_ROOM];
	unsigned count;
};

static void folder_make(struct folder *f)
{
	*f = (struct folder){.path = "/tmp/sluice-test-load.XXXXXX"};
	cr_assert_not_null(mkdtemp(f->path));
}

static const char *folder_add(struct folder *f, const char *name, const void *text, size_t size)
{
	char *path = f->file[f->count++];
	FILE *out;

	snprintf(path, sizeof(f->file[0]), "%s/%s", f->path, name);
	out = fopen(path, "w");
	cr_assert_not_null(out);
	cr_assert_eq(fwrite(text, 1, size, out), size);
	fclose(out);
	return path;
}

static const char *folder_add_text(struct folder *f, const char *name, const char *text)
{
	return folder_add(f, name, text, strlen(text));
}

static void folder_remove(struct folder *f)
{
	for (unsigned i = 0; i < f->count; i++)
		unlink(f->file[i]);
	cr_expect_eq(rmdir(f->path), 0);
}

/* One member of gzip. Returns its size. */
static size_t pack(const char *text, unsigned char out[PACKED_ROOM])
{
	z_stream z = {.next_in = (Bytef *)text, .avail_in = (uInt)strlen(text)};

	z.next_out = out;
	z.avail_out = PACKED_ROOM;
	cr_assert_eq(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return PACKED_ROOM - z.avail_out;
}

static void expect_text(const char *path, const char *expected, size_t limit)
{
	struct load_error err = {0};
	char *text = NULL;
	size_t size = 0;
	int rc = load_text(path, limit, &text, &size, &err);

	cr_assert_eq(rc, 0, "%s: %s", path, err.text);
	cr_expect(size == strlen(expected) && memcmp(text, expected, size) == 0,
		  "%s: expected '%s', actual '%.*s'", path, expected, (int)size, text);
	free(text);
}

static void expect_no_text(const char *path, size_t limit, int expected_rc, const char *expected)
{
	struct load_error err = {0};
	char *text = NULL;
	size_t size = 0;
	int rc = load_text(path, limit, &text, &size, &err);

	cr_expect(rc == expected_rc && strcmp(err.text, expected) == 0,
		  "%s: expected %d '%s', actual %d '%s'", path, expected_rc, expected, rc,
		  err.text);
	cr_expect_null(text);
	cr_expect_str_eq(err.reason, "file");
	cr_expect_str_eq(err.file, path);
}

Test(ctl_load, plain_files)
{
	struct folder f;

	folder_make(&f);
	expect_text(folder_add_text(&f, "empty", ""), "", 100);
	expect_text(folder_add_text(&f, "short", "10.0.0.0/8\n"), "10.0.0.0/8\n", 100);
	expect_text(f.file[1], "10.0.0.0/8\n", 11);
	/* The magic alone is no gzip: two bytes of it are text. */
	expect_text(folder_add_text(&f, "magic", "\x1f\x8b"), "\x1f\x8b", 100);
	folder_remove(&f);
}

Test(ctl_load, packed_files)
{
	unsigned char packed[3 * PACKED_ROOM] = {0};
	struct folder f;
	size_t first = pack("10.0.0.0/8\n", packed);
	size_t second = pack("fd00::/8\n", packed + first);

	folder_make(&f);
	expect_text(folder_add(&f, "one.gz", packed, first), "10.0.0.0/8\n", 100);
	expect_text(folder_add(&f, "two.gz", packed, first + second), "10.0.0.0/8\nfd00::/8\n",
		    100);
	expect_text(folder_add(&f, "padded", packed, first + second + 512),
		    "10.0.0.0/8\nfd00::/8\n", 1000);
	folder_remove(&f);
}

/* Cut anywhere, a packed file is an error and never a shorter list. */
Test(ctl_load, a_packed_file_that_is_cut_is_damaged)
{
	unsigned char packed[PACKED_ROOM];
	size_t size = pack("10.0.0.0/8\n192.0.2.0/24\n", packed);

	for (size_t cut = 3; cut < size; cut++) {
		struct folder f;

		folder_make(&f);
		expect_no_text(folder_add(&f, "cut.gz", packed, cut), 1000, -EINVAL,
			       "damaged gzip: it ends too early");
		folder_remove(&f);
	}
}

Test(ctl_load, damaged_packed_files)
{
	unsigned char packed[2 * PACKED_ROOM];
	size_t size = pack("10.0.0.0/8\n192.0.2.0/24\n", packed);
	struct folder f;

	folder_make(&f);
	memcpy(packed + size, "more", 4);
	expect_no_text(folder_add(&f, "more.gz", packed, size + 4), 1000, -EINVAL,
		       "damaged gzip: incorrect header check");
	packed[size - 8] ^= 1; /* of the checksum */
	expect_no_text(folder_add(&f, "sum.gz", packed, size), 1000, -EINVAL,
		       "damaged gzip: incorrect data check");
	folder_remove(&f);
}

/* A small file that unpacks to more than the limit is refused, whatever its own size. */
Test(ctl_load, a_bomb_is_refused)
{
	enum { ROOM = 1 << 20 };
	unsigned char packed[PACKED_ROOM];
	char *zeros = calloc(1, ROOM);
	struct folder f;
	size_t size;

	memset(zeros, '#', ROOM - 1);
	size = pack(zeros, packed);
	free(zeros);
	cr_assert_lt(size, PACKED_ROOM);
	folder_make(&f);
	folder_add(&f, "bomb.gz", packed, size);
	expect_no_text(f.file[0], ROOM / 2, -EFBIG, "larger than 0 MiB when unpacked");
	folder_remove(&f);
}

Test(ctl_load, files_that_cannot_be_read)
{
	struct folder f;

	folder_make(&f);
	folder_add_text(&f, "large", "12345678");
	expect_no_text("/nonexistent/list", 100, -ENOENT, "No such file or directory");
	expect_no_text(f.path, 100, -EISDIR, "Is a directory");
	expect_no_text("/dev/null", 100, -EINVAL, "neither a file nor a pipe");
	expect_no_text(f.file[0], 7, -EFBIG, "larger than 0 MiB");
	folder_remove(&f);
}

static void *write_slowly(void *path)
{
	FILE *out = fopen(path, "w");

	for (int i = 0; i < 5000; i++)
		fprintf(out, "10.0.%d.%d\n", i / 256, i % 256);
	fclose(out);
	return NULL;
}

Test(ctl_load, pipes)
{
	struct load_error err = {0};
	struct list *list = NULL;
	struct folder f;
	pthread_t writer;

	folder_make(&f);
	snprintf(f.file[f.count++], sizeof(f.file[0]), "%s/pipe", f.path);
	cr_assert_eq(mkfifo(f.file[0], 0600), 0);
	cr_assert_eq(pthread_create(&writer, NULL, write_slowly, f.file[0]), 0);
	cr_expect_eq(load_list(f.file[0], "pipe", true, &list, &err), 0, "%s", err.text);
	pthread_join(writer, NULL);
	cr_assert_not_null(list);
	cr_expect_eq(list->count4, 5000);
	list_unref(list);
	folder_remove(&f);
}

Test(ctl_load, errors_as_text)
{
	static const struct {
		struct load_error err;
		const char *text;
	} cases[] = {
		{{"list_syntax", "country-mx.txt", 17, 1, "not a prefix: 'foo'"},
		 "country-mx.txt:17:1: not a prefix: 'foo'"},
		{{"file", "mx.txt", 0, 0, "No such file or directory"},
		 "mx.txt: No such file or directory"},
		{{"memory", "", 0, 0, "out of memory"}, "out of memory"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[LOAD_ERROR_TEXT_MAX];

		load_error_format(&cases[i].err, text);
		cr_expect_str_eq(text, cases[i].text, "expected %s, actual %s", cases[i].text,
				 text);
	}
}

Test(ctl_load, an_error_of_any_size_fits)
{
	struct load_error err = {.line = SIZE_MAX, .column = SIZE_MAX};
	char text[LOAD_ERROR_TEXT_MAX];

	memset(err.file, 'f', sizeof(err.file) - 1);
	memset(err.text, 't', sizeof(err.text) - 1);
	load_error_format(&err, text);
	cr_expect_eq(strlen(text), sizeof(err.file) + sizeof(err.text) - 2 + 2 * 21 + 2);
}

Test(ctl_load, list_errors_have_their_place)
{
	struct load_error err = {0};
	struct list *list = NULL;
	struct folder f;

	folder_make(&f);
	folder_add_text(&f, "bad.txt", "10.0.0.0/8\n# fine\nfoo\n192.0.2.0/24\n");
	cr_expect_eq(load_list(f.file[0], "bad", true, &list, &err), -EINVAL);
	cr_expect_null(list);
	cr_expect_str_eq(err.reason, "list_syntax");
	cr_expect_eq(err.line, 3);
	cr_expect_eq(err.column, 1);
	cr_expect_str_eq(err.file, f.file[0]);

	cr_assert_eq(load_list(f.file[0], "bad", false, &list, &err), 0, "%s", err.text);
	cr_expect_eq(list->count4, 2);
	cr_expect_eq(list->counts.skipped, 1);
	cr_expect_str_eq(list->name, "bad");
	cr_expect_str_eq(list->file, f.file[0]);
	list_unref(list);
	folder_remove(&f);
}

static const char conf_text[] = "[Interface]\n"
				"[Egress direct]\nType = interface\nInterface = eth0\n"
				"[Egress none]\nType = drop\n"
				"[List a]\nFile = a.txt\n"
				"[List b]\nFile = b.txt\n"
				"[Rule]\nList = b\nEgress = none\n"
				"[Rule]\nList = a\nEgress = direct\n"
				"[Default]\nEgress = none\n";

struct fixture {
	struct folder folder;
	struct conf conf;
};

static void fixture_make(struct fixture *f)
{
	struct load_error err = {0};

	folder_make(&f->folder);
	folder_add_text(&f->folder, "a.txt", "10.0.0.0/8\n192.0.2.0/24\n2001:db8::/32\n");
	folder_add_text(&f->folder, "b.txt", "10.1.0.0/16\n192.0.2.0/24\n");
	folder_add_text(&f->folder, "sluice.conf", conf_text);
	cr_assert_eq(load_conf(f->folder.file[2], &f->conf, &err), 0, "%s:%zu: %s", err.file,
		     err.line, err.text);
}

static void fixture_remove(struct fixture *f)
{
	conf_free(&f->conf);
	folder_remove(&f->folder);
}

static void expect_egress(const struct load_result *loaded, const char *text, uint16_t egress)
{
	struct addr addr;
	uint16_t verdict;

	cr_assert_eq(addr_parse(text, strlen(text), &addr), 0);
	verdict = table_lookup(loaded->table, &addr);
	cr_expect_eq(loaded->table->verdicts[verdict].egress, egress,
		     "%s: expected egress %u, actual %u", text, egress,
		     loaded->table->verdicts[verdict].egress);
}

Test(ctl_load, a_configuration_becomes_a_table)
{
	struct load_result loaded;
	struct load_error err;
	struct fixture f;

	fixture_make(&f);
	cr_assert_eq(load_table(&f.conf, 7, NULL, 0, &loaded, &err), 0, "%s", err.text);
	cr_expect_eq(loaded.table->generation, 7);
	cr_expect_eq(loaded.list_count, 2);
	cr_expect_str_eq(loaded.lists[0]->name, "a");
	expect_egress(&loaded, "10.0.0.1", 0);
	expect_egress(&loaded, "10.1.0.1", 1);  /* longer, in b */
	expect_egress(&loaded, "192.0.2.1", 1); /* in both: b's rule stands first */
	expect_egress(&loaded, "2001:db8::1", 0);
	expect_egress(&loaded, "198.51.100.1", 1);
	cr_expect_eq(loaded.table->clashes, 1);
	load_result_fini(&loaded);
	cr_expect_null(loaded.table);
	fixture_remove(&f);
}

/* What is kept is neither read nor parsed again; what is not, is. */
Test(ctl_load, lists_are_kept)
{
	struct load_result first, second;
	struct load_error err;
	struct fixture f;

	fixture_make(&f);
	cr_assert_eq(load_table(&f.conf, 1, NULL, 0, &first, &err), 0, "%s", err.text);
	f.folder.count = 0;
	folder_add_text(&f.folder, "a.txt", "foo, which is no prefix\n");
	folder_add_text(&f.folder, "b.txt", "10.2.0.0/16\n");
	f.folder.count = 3;

	cr_assert_eq(load_table(&f.conf, 2, first.lists, 1, &second, &err), 0, "%s", err.text);
	cr_expect_eq(second.lists[0], first.lists[0]);
	cr_expect_neq(second.lists[1], first.lists[1]);
	load_result_fini(&first);
	expect_egress(&second, "10.1.0.1", 0);
	expect_egress(&second, "10.2.0.1", 1);
	load_result_fini(&second);
	fixture_remove(&f);
}

Test(ctl_load, a_list_of_another_file_is_not_kept)
{
	struct load_result first, second;
	struct load_error err;
	struct fixture f;

	fixture_make(&f);
	cr_assert_eq(load_table(&f.conf, 1, NULL, 0, &first, &err), 0, "%s", err.text);
	free(f.conf.lists[0].file);
	f.conf.lists[0].file = strdup("b.txt");
	cr_assert_eq(load_table(&f.conf, 2, first.lists, 2, &second, &err), 0, "%s", err.text);
	cr_expect_neq(second.lists[0], first.lists[0]);
	load_result_fini(&first);
	load_result_fini(&second);
	fixture_remove(&f);
}

Test(ctl_load, one_bad_list_is_no_table)
{
	struct load_result loaded = {0};
	struct load_error err;
	struct fixture f;

	fixture_make(&f);
	f.folder.count = 1;
	folder_add_text(&f.folder, "b.txt", "10.1.0.0/16\n\n  x/24\n");
	f.folder.count = 3;
	cr_expect_eq(load_table(&f.conf, 1, NULL, 0, &loaded, &err), -EINVAL);
	cr_expect_null(loaded.table);
	cr_expect_str_eq(err.file, f.folder.file[1]);
	cr_expect_eq(err.line, 3);
	cr_expect_eq(err.column, 3);
	fixture_remove(&f);
}

Test(ctl_load, errors_of_a_configuration)
{
	struct load_error err = {0};
	struct conf conf;
	struct folder f;

	folder_make(&f);
	folder_add_text(&f, "bad.conf", "[Interface]\nAdress = 10.0.0.1\n");
	cr_expect_eq(load_conf(f.file[0], &conf, &err), -EINVAL);
	cr_expect_str_eq(err.reason, "config_syntax");
	cr_expect_str_eq(err.file, f.file[0]);
	cr_expect_eq(err.line, 2);
	cr_expect_eq(err.column, 1);
	cr_expect_str_eq(err.text, "unknown key 'Adress'; did you mean 'Address'?");
	folder_remove(&f);
	cr_expect_eq(load_conf("/nonexistent", &conf, &err), -ENOENT);
	cr_expect_str_eq(err.reason, "file");
}
