/* ctl/cache.h: what is kept, when it is believed, and what is done to those who tamper with it. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/cache.h"
#include "ctl/load.h"

enum {
	PATH_ROOM = 160,
	LINES = CACHE_ENTRIES_MIN,
	LATER_S = CACHE_FRESH_MS / 1000 + 1,
};

/* A source and a cache in a folder of the test's own. */
struct fixture {
	char folder[PATH_ROOM];
	char source[PATH_ROOM + 16];
	char cache_folder[PATH_ROOM + 16];
	struct cache *cache;
	char problem[CACHE_PROBLEM_MAX];
};

static void write_source(const struct fixture *f, unsigned first)
{
	FILE *out = fopen(f->source, "w");

	cr_assert_not_null(out);
	for (unsigned i = 0; i < LINES; i++)
		fprintf(out, "%u.%u.%u.0/24\n", first, 100 + i / 100, 100 + i % 100);
	fclose(out);
}

static void fixture_make(struct fixture *f)
{
	*f = (struct fixture){.folder = "/tmp/sluice-test-cache.XXXXXX"};
	cr_assert_not_null(mkdtemp(f->folder));
	snprintf(f->source, sizeof(f->source), "%s/source", f->folder);
	snprintf(f->cache_folder, sizeof(f->cache_folder), "%s/cache", f->folder);
	write_source(f, 10);
	f->cache = cache_open(f->cache_folder);
	cr_assert_not_null(f->cache);
}

static void remove_folder(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *file;

	while (dir != NULL && (file = readdir(dir)) != NULL) {
		if (strcmp(file->d_name, ".") != 0 && strcmp(file->d_name, "..") != 0 &&
		    unlinkat(dirfd(dir), file->d_name, 0) != 0)
			unlinkat(dirfd(dir), file->d_name, AT_REMOVEDIR);
	}
	if (dir != NULL)
		closedir(dir);
	rmdir(path);
}

static void fixture_remove(struct fixture *f)
{
	cache_close(f->cache);
	remove_folder(f->cache_folder);
	remove_folder(f->folder);
}

/* Parse the source and offer it, as if it had been seen `later` seconds after it was written. */
static void keep(struct fixture *f, bool strict, time_t later)
{
	struct cache_source source;
	struct load_error err;
	struct list *list;
	int fd = open(f->source, O_RDONLY);

	cr_assert_eq(cache_source_init(&source, f->source, fd, strict), 0);
	source.seen.tv_sec += later;
	cr_assert_eq(load_list(f->source, "list", strict, &list, &err), 0, "%s", err.text);
	cache_write(f->cache, &source, fd, list);
	snprintf(f->problem, sizeof(f->problem), "%s", cache_problem(f->cache));
	list_unref(list);
	close(fd);
}

/* As the next start would: by a cache that is opened anew. */
static int find(const struct fixture *f, bool strict, struct list **out)
{
	struct cache *cache = cache_open(f->cache_folder);
	struct cache_source source;
	int fd = open(f->source, O_RDONLY);
	int rc;

	cr_assert_eq(cache_source_init(&source, f->source, fd, strict), 0);
	rc = cache_read(cache, &source, "list", out);
	close(fd);
	cache_close(cache);
	return rc;
}

static void expect_found(const struct fixture *f, bool strict, int expected, const char *what)
{
	struct list *list = NULL;
	int rc = find(f, strict, &list);

	cr_expect_eq(rc, expected, "%s: expected %d, actual %d", what, expected, rc);
	cr_expect_eq(list != NULL, rc == 0, "%s: a list in spite of an error", what);
	list_unref(list);
}

/* The path of the only entry. */
static void entry_path(const struct fixture *f, char out[2 * PATH_ROOM])
{
	DIR *dir = opendir(f->cache_folder);
	struct dirent *file;
	unsigned count = 0;

	cr_assert_not_null(dir, "no cache was made");
	while ((file = readdir(dir)) != NULL) {
		if (file->d_name[0] == '.')
			continue;
		snprintf(out, 2 * PATH_ROOM, "%s/%.60s", f->cache_folder, file->d_name);
		count++;
	}
	closedir(dir);
	cr_assert_eq(count, 1, "%u entries", count);
}

static unsigned count_files(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *file;
	unsigned count = 0;

	while (dir != NULL && (file = readdir(dir)) != NULL)
		count += file->d_name[0] != '.';
	if (dir != NULL)
		closedir(dir);
	return count;
}

Test(ctl_cache, what_is_kept_is_found)
{
	struct list *kept = NULL, *parsed;
	char path[2 * PATH_ROOM];
	struct load_error err;
	struct fixture f;
	struct stat st;

	fixture_make(&f);
	expect_found(&f, true, -ENOENT, "nothing is kept");
	keep(&f, true, LATER_S);
	cr_expect_str_eq(f.problem, "");
	cr_assert_eq(find(&f, true, &kept), 0);
	cr_assert_eq(load_list(f.source, "list", true, &parsed, &err), 0);
	cr_expect_eq(kept->count4, LINES);
	cr_expect_eq(memcmp(&kept->counts, &parsed->counts, sizeof(kept->counts)), 0);
	for (size_t i = 0; i < LINES; i++)
		cr_assert(kept->v4[i].addr == parsed->v4[i].addr &&
			  kept->v4[i].len == parsed->v4[i].len &&
			  kept->v4[i].line == parsed->v4[i].line);
	cr_expect_str_eq(kept->name, "list");
	cr_expect_str_eq(kept->file, f.source);
	entry_path(&f, path);
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0600, "mode %o", st.st_mode);
	cr_assert_eq(stat(f.cache_folder, &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0700, "mode %o", st.st_mode);
	list_unref(kept);
	list_unref(parsed);
	fixture_remove(&f);
}

/* Each makes what is kept wrong. */
static void change_text(struct fixture *f)
{
	write_source(f, 11);
}

static void change_only_time(struct fixture *f)
{
	const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000, .tv_nsec = 1}};

	cr_assert_eq(utimensat(AT_FDCWD, f->source, times, 0), 0);
}

/* The same size and time of change of its text. */
static void replace_file(struct fixture *f)
{
	struct timespec times[2];
	char other[PATH_ROOM];
	struct stat st;
	char saved[sizeof(f->source)];

	cr_assert_eq(stat(f->source, &st), 0);
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	snprintf(other, sizeof(other), "%.100s/other", f->folder);
	memcpy(saved, f->source, sizeof(saved));
	snprintf(f->source, sizeof(f->source), "%s", other);
	write_source(f, 11);
	memcpy(f->source, saved, sizeof(saved));
	cr_assert_eq(utimensat(AT_FDCWD, other, times, 0), 0);
	cr_assert_eq(rename(other, f->source), 0);
}

/* In place, and the time put back. */
static void change_behind_its_time(struct fixture *f)
{
	struct timespec times[2];
	struct stat st;

	cr_assert_eq(stat(f->source, &st), 0);
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	usleep(20000); /* more than a tick of the file system's clock */
	write_source(f, 11);
	cr_assert_eq(utimensat(AT_FDCWD, f->source, times, 0), 0);
}

static const struct {
	const char *name;
	void (*change)(struct fixture *f);
} changes[] = {
	{"its text changed", change_text},
	{"its time changed", change_only_time},
	{"another file of its size and time", replace_file},
	{"its text changed and its time was put back", change_behind_its_time},
};

Test(ctl_cache, what_changed_is_stale)
{
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct fixture f;

		fixture_make(&f);
		keep(&f, true, LATER_S);
		expect_found(&f, true, 0, "unchanged");
		changes[i].change(&f);
		expect_found(&f, true, -ESTALE, changes[i].name);
		keep(&f, true, LATER_S);
		expect_found(&f, true, 0, "kept again");
		cr_expect_eq(count_files(f.cache_folder), 1, "the old entry is replaced");
		fixture_remove(&f);
	}
}

Test(ctl_cache, strict_or_not_are_two_lists)
{
	struct fixture f;

	fixture_make(&f);
	keep(&f, true, LATER_S);
	expect_found(&f, false, -ENOENT, "not strict");
	keep(&f, false, LATER_S);
	expect_found(&f, false, 0, "not strict, kept");
	expect_found(&f, true, 0, "strict");
	fixture_remove(&f);
}

/* Until its clock has gone on, a file can change without showing it. */
Test(ctl_cache, what_is_too_fresh_is_not_kept)
{
	static const struct {
		time_t later;
		bool kept;
	} cases[] = {{0, false}, {-100, false}, {1, false}, {LATER_S, true}, {100, true}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f;

		fixture_make(&f);
		keep(&f, true, cases[i].later);
		cr_expect_eq(count_files(f.cache_folder), cases[i].kept, "%lld s after",
			     (long long)cases[i].later);
		fixture_remove(&f);
	}
}

/* A time that was put back is not asked alone. */
Test(ctl_cache, what_was_changed_lately_is_fresh_whatever_its_time)
{
	struct fixture f;

	fixture_make(&f);
	change_only_time(&f);
	keep(&f, true, 0);
	cr_expect_eq(count_files(f.cache_folder), 0);
	fixture_remove(&f);
}

Test(ctl_cache, a_use_is_noted)
{
	const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	char path[2 * PATH_ROOM];
	struct fixture f;
	struct stat st;

	fixture_make(&f);
	keep(&f, true, LATER_S);
	entry_path(&f, path);
	cr_assert_eq(utimensat(AT_FDCWD, path, old, 0), 0);
	expect_found(&f, true, 0, "old");
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_gt(st.st_mtim.tv_sec, 1000);
	fixture_remove(&f);
}

Test(ctl_cache, a_source_that_changes_while_it_is_read_is_not_kept)
{
	struct cache_source source;
	struct load_error err;
	struct list *list;
	struct fixture f;
	int fd;

	fixture_make(&f);
	fd = open(f.source, O_RDONLY);
	cr_assert_eq(cache_source_init(&source, f.source, fd, true), 0);
	source.seen.tv_sec += 100;
	cr_assert_eq(load_list(f.source, "list", true, &list, &err), 0);
	usleep(20000);
	change_text(&f);
	cache_write(f.cache, &source, fd, list);
	cr_expect_eq(count_files(f.cache_folder), 0);
	close(fd);
	list_unref(list);
	fixture_remove(&f);
}

Test(ctl_cache, a_short_list_is_not_kept)
{
	struct fixture f;
	FILE *out;

	fixture_make(&f);
	out = fopen(f.source, "w");
	for (unsigned i = 0; i < CACHE_ENTRIES_MIN - 1; i++)
		fprintf(out, "10.0.%u.%u\n", i / 256, i % 256);
	fclose(out);
	keep(&f, true, LATER_S);
	cr_expect_eq(access(f.cache_folder, F_OK), -1, "not even a folder is made");
	fixture_remove(&f);
}

/* Bytes that are turned, one at a time. */
Test(ctl_cache, damage_is_seen)
{
	char path[2 * PATH_ROOM];
	struct fixture f;
	struct stat st;
	int fd;

	fixture_make(&f);
	keep(&f, true, LATER_S);
	entry_path(&f, path);
	fd = open(path, O_RDWR);
	cr_assert_eq(fstat(fd, &st), 0);
	for (off_t at = 0; at < st.st_size; at += at < 400 ? 1 : 97) {
		struct list *list = NULL;
		uint8_t byte;

		cr_assert_eq(pread(fd, &byte, 1, at), 1);
		byte ^= 0x10;
		cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
		cr_expect_neq(find(&f, true, &list), 0, "byte %lld", (long long)at);
		cr_expect_null(list);
		byte ^= 0x10;
		cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
	}
	expect_found(&f, true, 0, "as it was");
	for (off_t size = 0; size < st.st_size; size += size < 400 ? 1 : 97) {
		char bytes[2 * PATH_ROOM];

		snprintf(bytes, sizeof(bytes), "cp %s %s.whole && truncate -s %lld %s", path, path,
			 (long long)size, path);
		cr_assert_eq(system(bytes), 0); // NOLINT(cert-env33-c)
		expect_found(&f, true, -EINVAL, "cut");
		snprintf(bytes, sizeof(bytes), "%s.whole", path);
		cr_assert_eq(rename(bytes, path), 0);
		if (size > 400)
			size += st.st_size / 8;
	}
	close(fd);
	fixture_remove(&f);
}

static void any_reader(const char *entry, const struct fixture *f)
{
	(void)f;
	cr_assert_eq(chmod(entry, 0644), 0);
}

static void group_writer(const char *entry, const struct fixture *f)
{
	(void)f;
	cr_assert_eq(chmod(entry, 0620), 0);
}

static void other_owner(const char *entry, const struct fixture *f)
{
	(void)f;
	cr_assert_eq(chown(entry, 12345, 12345), 0);
}

static void symlink_entry(const char *entry, const struct fixture *f)
{
	char moved[PATH_ROOM];

	snprintf(moved, sizeof(moved), "%.100s/moved", f->folder);
	cr_assert_eq(rename(entry, moved), 0);
	cr_assert_eq(symlink(moved, entry), 0);
}

static void pipe_entry(const char *entry, const struct fixture *f)
{
	(void)f;
	cr_assert_eq(unlink(entry), 0);
	cr_assert_eq(mkfifo(entry, 0600), 0);
}

static void folder_entry(const char *entry, const struct fixture *f)
{
	(void)f;
	cr_assert_eq(unlink(entry), 0);
	cr_assert_eq(mkdir(entry, 0700), 0);
}

static void open_folder_to_group(const char *entry, const struct fixture *f)
{
	(void)entry;
	cr_assert_eq(chmod(f->cache_folder, 0770), 0);
}

static void open_folder_to_all(const char *entry, const struct fixture *f)
{
	(void)entry;
	cr_assert_eq(chmod(f->cache_folder, 01777), 0);
}

static void folder_of_another(const char *entry, const struct fixture *f)
{
	(void)entry;
	cr_assert_eq(chown(f->cache_folder, 12345, 12345), 0);
}

static void symlink_folder(const char *entry, const struct fixture *f)
{
	char moved[PATH_ROOM];

	(void)entry;
	snprintf(moved, sizeof(moved), "%.100s/moved", f->folder);
	cr_assert_eq(rename(f->cache_folder, moved), 0);
	cr_assert_eq(symlink(moved, f->cache_folder), 0);
}

/* Each leaves an entry that would do, were it to be trusted. */
static const struct {
	const char *name;
	void (*tamper)(const char *entry, const struct fixture *f);
	int expected;
	bool root; /* only root can do it */
} tampers[] = {
	{"an entry that all can read", any_reader, -EPERM, false},
	{"an entry that a group can write", group_writer, -EPERM, false},
	{"an entry of another user", other_owner, -EPERM, true},
	{"a link in place of an entry", symlink_entry, -ELOOP, false},
	{"a pipe in place of an entry", pipe_entry, -EPERM, false},
	{"a folder in place of an entry", folder_entry, -EPERM, false},
	{"a folder that a group can write", open_folder_to_group, -EPERM, false},
	{"a folder that all can write", open_folder_to_all, -EPERM, false},
	{"a folder of another user", folder_of_another, -EPERM, true},
	{"a link in place of the folder", symlink_folder, -ENOTDIR, false},
};

Test(ctl_cache, what_others_could_have_written_is_not_trusted, .timeout = 60)
{
	for (size_t i = 0; i < sizeof(tampers) / sizeof(tampers[0]); i++) {
		char path[2 * PATH_ROOM];
		struct fixture f;

		if (tampers[i].root && geteuid() != 0)
			continue;
		fixture_make(&f);
		keep(&f, true, LATER_S);
		entry_path(&f, path);
		expect_found(&f, true, 0, "untouched");
		tampers[i].tamper(path, &f);
		expect_found(&f, true, tampers[i].expected, tampers[i].name);
		unlink(f.cache_folder); /* if it is a link */
		snprintf(path, sizeof(path), "%.100s/moved", f.folder);
		remove_folder(path);
		fixture_remove(&f);
	}
}

/* A link that waits where the new file will be made is not followed. */
Test(ctl_cache, a_link_is_not_written_through)
{
	char path[2 * PATH_ROOM], victim[PATH_ROOM], made[3 * PATH_ROOM];
	struct fixture f;
	struct stat st;

	fixture_make(&f);
	keep(&f, true, LATER_S);
	entry_path(&f, path);
	snprintf(victim, sizeof(victim), "%.100s/victim", f.folder);
	snprintf(made, sizeof(made), "%s.%d", path, (int)getpid());
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(symlink(victim, made), 0);
	cr_assert_eq(symlink(victim, path), 0);
	keep(&f, true, LATER_S);
	cr_expect_eq(access(victim, F_OK), -1, "it was written through a link");
	cr_assert_eq(lstat(path, &st), 0);
	cr_expect(S_ISREG(st.st_mode));
	expect_found(&f, true, 0, "kept again");
	fixture_remove(&f);
}

/* The path in an entry counts, not its name alone. */
Test(ctl_cache, an_entry_of_another_source_is_not_taken)
{
	char path[2 * PATH_ROOM], other[2 * PATH_ROOM];
	struct fixture f, g;

	fixture_make(&f);
	fixture_make(&g);
	cr_assert_eq(unlink(g.source), 0);
	cr_assert_eq(link(f.source, g.source), 0); /* one file by two paths */
	keep(&g, true, LATER_S);
	keep(&f, true, LATER_S);
	entry_path(&f, path);
	entry_path(&g, other);
	expect_found(&g, true, 0, "its own entry");
	cr_assert_eq(rename(path, other), 0);
	expect_found(&g, true, -ESTALE, "that of the other path");
	fixture_remove(&f);
	fixture_remove(&g);
}

Test(ctl_cache, what_cannot_be_written_is_told_once)
{
	static const struct {
		const char *folder;
		const char *problem;
	} cases[] = {
		{"/nonexistent/sluice",
		 "cannot keep lists in /nonexistent/sluice: No such file or directory"},
		{"/dev/null", "cannot keep lists in /dev/null: Not a directory"},
		{"/tmp", "cannot keep lists in /tmp: Operation not permitted"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f;

		fixture_make(&f);
		cache_close(f.cache);
		f.cache = cache_open(cases[i].folder);
		keep(&f, true, LATER_S);
		keep(&f, false, LATER_S);
		cr_expect_str_eq(f.problem, cases[i].problem, "expected %s, actual %s",
				 cases[i].problem, f.problem);
		cache_sweep(f.cache);
		fixture_remove(&f);
	}
}

static void add_file(const struct fixture *f, const char *name, unsigned age_s, off_t size)
{
	char path[2 * PATH_ROOM];
	struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = time(NULL) - age_s}};
	int fd;

	snprintf(path, sizeof(path), "%s/%s", f->cache_folder, name);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, size), 0);
	cr_assert_eq(futimens(fd, times), 0);
	close(fd);
}

static bool has_file(const struct fixture *f, const char *name)
{
	char path[2 * PATH_ROOM];

	snprintf(path, sizeof(path), "%s/%s", f->cache_folder, name);
	return access(path, F_OK) == 0;
}

Test(ctl_cache, entries_without_use_do_not_pile_up)
{
	enum { OLD = 3 * CACHE_OTHERS_MAX };
	const char *foreign[] = {"notes.txt", "0123.list", "0123456789abcdef0123456789abcdeg.list"};
	struct fixture f;
	char name[64];

	fixture_make(&f);
	cr_assert_eq(mkdir(f.cache_folder, 0700), 0);
	for (unsigned i = 0; i < OLD; i++) {
		unsigned mixed = i * 37 % OLD;

		snprintf(name, sizeof(name), "%032x.list%s", mixed, mixed % 2 != 0 ? ".77" : "");
		add_file(&f, name, 100 + mixed, 1);
	}
	for (size_t i = 0; i < 3; i++)
		add_file(&f, foreign[i], 100000, 1);
	cache_sweep(f.cache);
	cr_expect_eq(count_files(f.cache_folder), OLD + 3, "nothing was written yet");
	keep(&f, true, LATER_S);
	cache_sweep(f.cache);
	cr_expect_eq(count_files(f.cache_folder), CACHE_OTHERS_MAX + 1 + 3);
	for (unsigned i = 0; i < OLD; i++) {
		snprintf(name, sizeof(name), "%032x.list%s", i, i % 2 != 0 ? ".77" : "");
		cr_expect_eq(has_file(&f, name), i < CACHE_OTHERS_MAX, "entry %u", i);
	}
	for (size_t i = 0; i < 3; i++)
		cr_expect(has_file(&f, foreign[i]), "%s", foreign[i]);
	expect_found(&f, true, 0, "the one in use");
	fixture_remove(&f);
}

Test(ctl_cache, large_entries_without_use_are_fewer)
{
	struct fixture f;
	char name[64];

	fixture_make(&f);
	cr_assert_eq(mkdir(f.cache_folder, 0700), 0);
	for (unsigned i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "%032x.list", i);
		add_file(&f, name, 100 + i, CACHE_OTHERS_BYTES_MAX / 4);
	}
	keep(&f, true, LATER_S);
	cache_sweep(f.cache);
	cr_expect_eq(count_files(f.cache_folder), 4 + 1);
	fixture_remove(&f);
}

/* All of it, as the daemon does it. */
Test(ctl_cache, tables_are_loaded_by_it, .timeout = 60)
{
	const unsigned cached[] = {0, 1, 1};
	struct conf_error conf_err;
	struct load_error err;
	struct load_result loaded;
	struct fixture f;
	struct conf conf;
	const char *files[1];

	fixture_make(&f);
	files[0] = f.source;
	cr_assert_eq(conf_from_options(files, 1, "eth0", "tun0", false, &conf, &conf_err), 0);
	cr_expect_str_eq(conf.interface.cache, "/var/cache/sluice");
	snprintf(conf.interface.cache, sizeof(conf.interface.cache), "%s", f.cache_folder);
	sleep(LATER_S);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(load_table_cached(&conf, 1, NULL, 0, &loaded, &err), 0, "%s",
			     err.text);
		cr_expect_eq(loaded.cached_count, cached[i], "load %u: %u from the cache", i,
			     loaded.cached_count);
		cr_expect_eq(loaded.read_count, 1);
		cr_expect_eq(loaded.table->count4, LINES);
		cr_expect_eq(
			table_lookup(loaded.table, &(struct addr){.version = 4, .v4 = 0x0a646401}),
			1);
		load_result_fini(&loaded);
	}
	cr_assert_eq(load_table(&conf, 1, NULL, 0, &loaded, &err), 0);
	cr_expect_eq(loaded.cached_count, 0, "only who asks for it gets the cache");
	load_result_fini(&loaded);
	conf.interface.cache[0] = '\0';
	cr_assert_eq(load_table_cached(&conf, 1, NULL, 0, &loaded, &err), 0);
	cr_expect_eq(loaded.cached_count, 0, "Cache = no");
	load_result_fini(&loaded);
	conf_free(&conf);
	fixture_remove(&f);
}
