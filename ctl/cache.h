/*
 * Parsed lists on disk, so that a start does not parse what has not changed.
 *
 * An entry is a file in the cache's folder: which source it was made of and how that one stood, a
 * checksum (XXH3), and the list's image (lpm/list_image.h). It is read only if the folder and the
 * file belong to this user or root and nobody else can write them, and it is believed only if the
 * source still is what it was: path, device, inode, size, times of change to the nanosecond. A
 * source that changed so lately that it could change once more without showing it is not kept.
 *
 * Nothing here can fail a load: what is missing, stale or damaged is parsed and written again.
 * Control thread only.
 */
#ifndef SLUICE_CTL_CACHE_H
#define SLUICE_CTL_CACHE_H

#include <stdbool.h>
#include <sys/stat.h>
#include <time.h>

#include "lpm/list.h"

enum {
	CACHE_ENTRIES_MIN = 4096,           /* prefixes; a smaller list is parsed as quickly */
	CACHE_FRESH_MS = 2000,              /* the coarsest clock of a file system */
	CACHE_OTHERS_MAX = 32,              /* entries kept that this load did not use, */
	CACHE_OTHERS_BYTES_MAX = 256 << 20, /* and what they may hold */
	CACHE_PROBLEM_MAX = 400,
};

struct cache;

/* The file of a list, open for reading, as it stood before it was read. */
struct cache_source {
	const char *path;
	bool strict; /* bad lines are errors */
	struct timespec seen;
	struct stat stat; /* not from before seen */
};

/* path: kept, not copied. Errors: those of fstat */
int cache_source_init(struct cache_source *source, const char *path, int fd, bool strict);

/*
 * folder: absolute; made with the first entry, unless its own folder is missing
 * Returns NULL if there is no memory
 */
struct cache *cache_open(const char *folder);
void cache_close(struct cache *cache); /* NULL does nothing */

/*
 * Take a list from the cache.
 *
 * name: of the list
 * out:  one reference, the caller's; its file is source->path
 * Errors: -ENOENT, -ESTALE (the source has changed), -EPERM (not to be trusted), -EINVAL (damaged),
 *         -ENOMEM and others; the list must then be parsed
 */
int cache_read(struct cache *cache, const struct cache_source *source, const char *name,
	       struct list **out);

/*
 * Keep a list.
 *
 * fd: of the source; a file that has changed since source was made gives no entry
 */
void cache_write(struct cache *cache, const struct cache_source *source, int fd,
		 const struct list *list);

/* Remove the entries that have not been used for longest, if any was written. */
void cache_sweep(struct cache *cache);

/* The first thing that went wrong in writing, in a line; "" if nothing did. */
const char *cache_problem(const struct cache *cache);

#endif
