#include "ctl/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
/* Inlined, so that the compiler can use what the machine has; its state needs no allocation. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "lpm/list_image.h"

enum {
	NAME_HEX = 32,
	NAME_ROOM = 64, /* "HEX.list", and for a file being written ".PID" */
	HEAD_WORDS = 11,
};

static const char magic[8] = "sluiceC";
static const char suffix[] = ".list";

struct cache {
	char *folder;
	int fd; /* of the folder, or -1 */
	struct timespec opened;
	bool wrote;
	char problem[CACHE_PROBLEM_MAX];
};

/*
 * What an entry starts with. Behind it the path without terminator, then the image. The checksum
 * is of all that follows it.
 */
struct head {
	char magic[8];
	uint64_t checksum;
	uint64_t path_size;
	uint64_t image_size;
	uint64_t strict;
	uint64_t device;
	uint64_t inode;
	uint64_t size;
	int64_t modified_s;
	int64_t modified_ns;
	int64_t changed_s;
	int64_t changed_ns;
};

_Static_assert(sizeof(struct head) == sizeof(magic) + HEAD_WORDS * 8, "no padding");

enum {
	UNSUMMED_BYTES = offsetof(struct head, path_size),
};

static struct head head_of(const struct cache_source *source, const char *path)
{
	const struct stat *st = &source->stat;
	struct head head = {
		.path_size = strlen(path),
		.strict = source->strict,
		.device = st->st_dev,
		.inode = st->st_ino,
		.size = (uint64_t)st->st_size,
		.modified_s = st->st_mtim.tv_sec,
		.modified_ns = st->st_mtim.tv_nsec,
		.changed_s = st->st_ctim.tv_sec,
		.changed_ns = st->st_ctim.tv_nsec,
	};

	memcpy(head.magic, magic, sizeof(magic));
	return head;
}

/* The same but for what only the entry itself can tell. */
static bool same_source(const struct head *a, struct head b)
{
	b.checksum = a->checksum;
	b.image_size = a->image_size;
	return memcmp(a, &b, sizeof(b)) == 0;
}

static void name_of(const char *path, bool strict, char out[NAME_ROOM])
{
	XXH128_hash_t hash = XXH3_128bits_withSeed(path, strlen(path), strict);

	snprintf(out, NAME_ROOM, "%016" PRIx64 "%016" PRIx64 "%s", hash.high64, hash.low64, suffix);
}

__attribute__((format(printf, 3, 4))) static void set_problem(struct cache *cache, int error,
							      const char *format, ...)
{
	va_list args;
	size_t n;

	if (cache->problem[0] != '\0')
		return;
	va_start(args, format);
	vsnprintf(cache->problem, sizeof(cache->problem) / 2, format, args);
	va_end(args);
	n = strlen(cache->problem);
	snprintf(cache->problem + n, sizeof(cache->problem) - n, ": %s", strerror(error));
}

/* Whether only root and this user can have written it. */
static bool is_ours(const struct stat *st, mode_t forbidden)
{
	return (st->st_uid == 0 || st->st_uid == geteuid()) && (st->st_mode & forbidden) == 0;
}

/* Open the folder unless it is open. */
static int open_folder(struct cache *cache)
{
	struct stat st;
	int fd, rc;

	if (cache->fd >= 0)
		return 0;
	fd = open(cache->folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = fstat(fd, &st) == 0 ? 0 : -errno;
	if (rc == 0 && !is_ours(&st, S_IWGRP | S_IWOTH))
		rc = -EPERM;
	if (rc == 0)
		cache->fd = fd;
	else
		close(fd);
	return rc;
}

static struct timespec time_before(struct timespec t, unsigned ms)
{
	t.tv_sec -= ms / 1000;
	t.tv_nsec -= (long)(ms % 1000) * 1000000;
	if (t.tv_nsec < 0) {
		t.tv_sec--;
		t.tv_nsec += 1000000000;
	}
	return t;
}

static bool is_earlier(struct timespec a, struct timespec b)
{
	return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

int cache_source_init(struct cache_source *source, const char *path, int fd, bool strict)
{
	*source = (struct cache_source){.path = path, .strict = strict};
	clock_gettime(CLOCK_REALTIME, &source->seen);
	return fstat(fd, &source->stat) == 0 ? 0 : -errno;
}

struct cache *cache_open(const char *folder)
{
	struct cache *cache = calloc(1, sizeof(*cache));

	if (cache == NULL)
		return NULL;
	cache->fd = -1;
	cache->folder = strdup(folder);
	if (cache->folder == NULL) {
		free(cache);
		return NULL;
	}
	clock_gettime(CLOCK_REALTIME, &cache->opened);
	return cache;
}

void cache_close(struct cache *cache)
{
	if (cache == NULL)
		return;
	if (cache->fd >= 0)
		close(cache->fd);
	free(cache->folder);
	free(cache);
}

/* A file that is read or written from its start, and the checksum of what passed. */
struct stream {
	int fd;
	XXH3_state_t sum;
};

static int stream_get(void *context, void *bytes, size_t size)
{
	struct stream *stream = context;
	char *at = bytes;
	size_t left = size;

	while (left > 0) {
		ssize_t n = read(stream->fd, at, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EINVAL; /* it ends too early */
		at += n;
		left -= (size_t)n;
	}
	XXH3_64bits_update(&stream->sum, bytes, size);
	return 0;
}

static int stream_put(void *context, const void *bytes, size_t size)
{
	struct stream *stream = context;
	const char *at = bytes;
	size_t left = size;

	while (left > 0) {
		ssize_t n = write(stream->fd, at, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		left -= (size_t)n;
	}
	XXH3_64bits_update(&stream->sum, bytes, size);
	return 0;
}

/* Read the head and the path; the list comes next. */
static int read_head(struct stream *stream, const struct stat *st, const struct head *wanted,
		     const char *path, struct head *out)
{
	char kept[PATH_MAX];
	ssize_t n = read(stream->fd, out, sizeof(*out));

	if (n != sizeof(*out))
		return n < 0 ? -errno : -EINVAL;
	if (memcmp(out->magic, magic, sizeof(magic)) != 0)
		return -EINVAL;
	if (!same_source(out, *wanted))
		return -ESTALE;
	/* The path is as long as that of the source, so it fits. */
	if ((uint64_t)st->st_size < sizeof(*out) + out->path_size ||
	    (uint64_t)st->st_size - sizeof(*out) - out->path_size != out->image_size)
		return -EINVAL;
	XXH3_64bits_update(&stream->sum, (const char *)out + UNSUMMED_BYTES,
			   sizeof(*out) - UNSUMMED_BYTES);
	if (stream_get(stream, kept, out->path_size) != 0)
		return -EINVAL;
	return memcmp(kept, path, out->path_size) == 0 ? 0 : -ESTALE;
}

static int read_entry(int fd, const struct cache_source *source, const char *path, const char *name,
		      struct list **out)
{
	struct head wanted = head_of(source, path), head;
	struct stream stream = {.fd = fd};
	struct stat st;
	struct list *list;
	int rc;

	if (fstat(fd, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || !is_ours(&st, S_IRWXG | S_IRWXO))
		return -EPERM;
	XXH3_64bits_reset(&stream.sum);
	rc = read_head(&stream, &st, &wanted, path, &head);
	if (rc != 0)
		return rc;
	rc = list_image_read(name, source->path, head.image_size, stream_get, &stream, &list);
	if (rc != 0)
		return rc;
	if (XXH3_64bits_digest(&stream.sum) != head.checksum) {
		list_unref(list);
		return -EINVAL;
	}
	*out = list;
	return 0;
}

int cache_read(struct cache *cache, const struct cache_source *source, const char *name,
	       struct list **out)
{
	char path[PATH_MAX], entry[NAME_ROOM];
	int rc = open_folder(cache);
	int fd;

	if (rc != 0)
		return rc;
	if (realpath(source->path, path) == NULL)
		return -errno;
	name_of(path, source->strict, entry);
	/* O_NONBLOCK: somebody may have put a pipe there. */
	fd = openat(cache->fd, entry, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = read_entry(fd, source, path, name, out);
	if (rc == 0)
		futimens(fd, NULL); /* used now; if it fails it is only swept sooner */
	close(fd);
	return rc;
}

/*
 * Whether the source, as it was read, cannot be taken for another: it has not changed, and when its
 * times were asked for they were so old that a change from then on gives it later ones.
 */
static bool is_settled(const struct cache_source *source, int fd)
{
	const struct timespec old = time_before(source->seen, CACHE_FRESH_MS);
	struct cache_source now = *source;
	struct head before = head_of(source, ""), after;

	if (fstat(fd, &now.stat) != 0)
		return false;
	after = head_of(&now, "");
	return memcmp(&before, &after, sizeof(after)) == 0 &&
	       is_earlier(source->stat.st_mtim, old) && is_earlier(source->stat.st_ctim, old);
}

/* Fill a new file; the checksum goes to its place last. */
static int write_entry(int fd, struct head *head, const char *path, const struct list *list)
{
	struct stream stream = {.fd = fd};
	int rc;

	XXH3_64bits_reset(&stream.sum);
	if (lseek(fd, UNSUMMED_BYTES, SEEK_SET) < 0)
		return -errno;
	head->image_size = list_image_size(list);
	rc = stream_put(&stream, (const char *)head + UNSUMMED_BYTES,
			sizeof(*head) - UNSUMMED_BYTES);
	if (rc == 0)
		rc = stream_put(&stream, path, head->path_size);
	if (rc == 0)
		rc = list_image_write(list, stream_put, &stream);
	if (rc != 0)
		return rc;
	head->checksum = XXH3_64bits_digest(&stream.sum);
	if (pwrite(fd, head, UNSUMMED_BYTES, 0) != UNSUMMED_BYTES)
		return -EIO;
	return 0;
}

/*
 * Beside the old entry, then in its place. Not synced: what a crash leaves half done the checksum
 * finds.
 */
static int replace_entry(struct cache *cache, const struct cache_source *source, const char *path,
			 const struct list *list)
{
	struct head head = head_of(source, path);
	char entry[NAME_ROOM], made[NAME_ROOM];
	int fd, rc;

	name_of(path, source->strict, entry);
	snprintf(made, sizeof(made), "%.*s.%d", NAME_HEX + (int)strlen(suffix), entry,
		 (int)getpid());
	unlinkat(cache->fd, made, 0);
	fd = openat(cache->fd, made, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	rc = write_entry(fd, &head, path, list);
	if (close(fd) != 0 && rc == 0)
		rc = -errno;
	if (rc == 0 && renameat(cache->fd, made, cache->fd, entry) != 0)
		rc = -errno;
	if (rc != 0)
		unlinkat(cache->fd, made, 0);
	return rc;
}

void cache_write(struct cache *cache, const struct cache_source *source, int fd,
		 const struct list *list)
{
	char path[PATH_MAX];
	int rc;

	if (list->count4 + list->count6 < CACHE_ENTRIES_MIN || !is_settled(source, fd))
		return;
	if (realpath(source->path, path) == NULL)
		return;
	rc = mkdir(cache->folder, 0700) == 0 || errno == EEXIST ? 0 : -errno;
	if (rc == 0)
		rc = open_folder(cache);
	if (rc == 0)
		rc = replace_entry(cache, source, path, list);
	if (rc == 0)
		cache->wrote = true;
	else
		set_problem(cache, -rc, "cannot keep lists in %s", cache->folder);
}

/* An entry, or one that somebody had begun; never another file. */
static bool is_entry(const char *name)
{
	return strspn(name, "0123456789abcdef") == NAME_HEX &&
	       strncmp(name + NAME_HEX, suffix, strlen(suffix)) == 0;
}

struct other {
	struct timespec used;
	off_t size;
	char name[NAME_ROOM];
};

static int compare_others(const void *x, const void *y)
{
	const struct other *a = x, *b = y;

	return is_earlier(a->used, b->used) - is_earlier(b->used, a->used);
}

/* Of the folder's others, the newest so far; what is pushed out is removed. */
struct others {
	struct other newest[CACHE_OTHERS_MAX + 1];
	unsigned count;
};

static void add_other(struct cache *cache, struct others *others, const char *name)
{
	struct other other;
	struct stat st;

	if (strlen(name) >= sizeof(other.name) ||
	    fstatat(cache->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return;
	/* Used since the cache was opened, by a clock that may tick slowly. */
	if (!is_earlier(st.st_mtim, time_before(cache->opened, CACHE_FRESH_MS)))
		return;
	other = (struct other){.used = st.st_mtim, .size = st.st_size};
	memcpy(other.name, name, strlen(name) + 1);
	others->newest[others->count++] = other;
	qsort(others->newest, others->count, sizeof(other), compare_others);
	if (others->count > CACHE_OTHERS_MAX)
		unlinkat(cache->fd, others->newest[--others->count].name, 0);
}

void cache_sweep(struct cache *cache)
{
	struct others others = {.count = 0};
	struct dirent *file;
	off_t size = 0;
	DIR *dir;
	int fd;

	if (!cache->wrote)
		return;
	fd = openat(cache->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	dir = fdopendir(fd);
	if (dir == NULL) {
		close(fd);
		return;
	}
	while ((file = readdir(dir)) != NULL) {
		if (is_entry(file->d_name))
			add_other(cache, &others, file->d_name);
	}
	for (unsigned i = 0; i < others.count; i++) {
		size += others.newest[i].size;
		if (size > CACHE_OTHERS_BYTES_MAX)
			unlinkat(cache->fd, others.newest[i].name, 0);
	}
	closedir(dir);
	cache->wrote = false;
}

const char *cache_problem(const struct cache *cache)
{
	return cache->problem;
}
