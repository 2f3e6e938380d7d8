/* From files to a configuration, to lists and to a table. Control thread only. */
#ifndef SLUICE_CTL_LOAD_H
#define SLUICE_CTL_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/cache.h"
#include "ctl/conf.h"
#include "lpm/list.h"
#include "lpm/table.h"

enum {
	LOAD_SIZE_MAX = 1 << 30,      /* bytes of a list's text, unpacked */
	LOAD_CONF_SIZE_MAX = 1 << 20, /* bytes of a configuration */
	LOAD_FILE_MAX = 512,
	LOAD_TEXT_MAX = 200,
	LOAD_ERROR_TEXT_MAX = LOAD_FILE_MAX + LOAD_TEXT_MAX + 48,
};

/* What is wrong, and where. */
struct load_error {
	const char
		*reason; /* "config_syntax", "list_syntax", "file" (cannot be read) or "memory" */
	char file[LOAD_FILE_MAX]; /* as it was opened; cut if longer */
	size_t line;              /* from 1; 0: the file as a whole */
	size_t column;
	char text[LOAD_TEXT_MAX];
};

/* Write "file:line:col: text" as far as it is known, and the terminator; returns out. */
char *load_error_format(const struct load_error *err, char out[LOAD_ERROR_TEXT_MAX]);

/*
 * Read a whole regular file or pipe, unpacked if it starts as gzip does.
 *
 * limit:  most bytes, unpacked
 * text:   the caller's, by free(); not terminated; never NULL on success
 * Errors: -errno of open or read, -EISDIR, -EINVAL (kind of file, damaged gzip), -EFBIG, -ENOMEM;
 *         *err is then filled with reason "file" or "memory"
 */
int load_text(const char *path, size_t limit, char **text, size_t *size, struct load_error *err);

/* Read and parse a configuration. out is freed by conf_free. Errors: as load_text, conf_parse. */
int load_conf(const char *path, struct conf *out, struct load_error *err);

/*
 * Read what the egresses' Config names: a part of load_conf. What it says fills in what the
 * configuration does not.
 *
 * Errors: as load_text, wg_quick_parse; conf is to be freed all the same
 */
int load_tunnels(struct conf *conf, struct load_error *err);

/*
 * Read and parse a list; its file is path.
 *
 * strict: false passes over bad lines and counts them
 * out:    one reference, the caller's
 * Errors: as load_text, list_parse
 */
int load_list(const char *path, const char *name, bool strict, struct list **out,
	      struct load_error *err);

struct load_result {
	struct table *table;
	struct list **lists; /* a reference to each of the configuration's lists, in its order */
	unsigned list_count;
	unsigned read_count;   /* lists that were not kept, */
	unsigned cached_count; /* and of these, how many the cache had */
	uint64_t parse_us;     /* reading and parsing the lists that were not kept */
	uint64_t build_us;
	char cache_problem[CACHE_PROBLEM_MAX]; /* why a list is not in the cache; "" if it is */
};

/*
 * Load all lists of a configuration and compile its rules. A rule's egress in the table is its
 * index in conf->egresses.
 *
 * keep:   keep_count lists; one with the name and the file of a list of the configuration is used
 *         as it is instead of reading the file. May be NULL if keep_count is 0.
 * out:    the caller's, until load_result_fini
 * Errors: as load_list, table_build; *err is then filled
 */
int load_table(const struct conf *conf, uint32_t generation, struct list *const *keep,
	       unsigned keep_count, struct load_result *out, struct load_error *err);

/*
 * The two halves of load_table: lists without a table, and the table made of them.
 *
 * result: of load_all_lists with the same configuration; after an error it is as it was
 */
int load_all_lists(const struct conf *conf, struct list *const *keep, unsigned keep_count,
		   struct load_result *out, struct load_error *err);
int load_build(const struct conf *conf, uint32_t generation, struct load_result *result,
	       struct load_error *err);

/*
 * As load_build, in the memory of a table that nobody reads any more.
 *
 * spare: taken, whatever happens; NULL if there is none
 */
int load_rebuild(const struct conf *conf, uint32_t generation, struct table *spare,
		 struct load_result *result, struct load_error *err);

/*
 * load_table and load_all_lists with the help of the cache that the configuration names; no failure
 * of that is one.
 */
int load_table_cached(const struct conf *conf, uint32_t generation, struct list *const *keep,
		      unsigned keep_count, struct load_result *out, struct load_error *err);
int load_all_lists_cached(const struct conf *conf, struct list *const *keep, unsigned keep_count,
			  struct load_result *out, struct load_error *err);

/*
 * Give the lists back, and the table unless it was handed on (result->table set to NULL): a
 * published table is destroyed by whoever waits for its readers.
 */
void load_result_fini(struct load_result *result);

#endif
