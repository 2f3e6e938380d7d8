#include "ctl/load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "ctl/cache.h"
#include "ctl/memory.h"
#include "ctl/wireguard/quick.h"
#include "lpm/estimate.h"

enum {
	CHUNK_BYTES = 1 << 16,
	GZIP_WINDOW_BITS = 15 + 16, /* the largest window, gzip's header and trailer */
	MEMORY_LEFT = 16,           /* of what is available, the part that is not taken */
	MEMORY_UNASKED = 16 << 20,  /* bytes that are worth no question */
	SMALL_TEXT_BYTES = 1 << 15, /* of ranges even, it gives no more entries than that */
};

char *load_error_format(const struct load_error *err, char out[LOAD_ERROR_TEXT_MAX])
{
	size_t n = 0;

	if (err->file[0] != '\0')
		n += (size_t)snprintf(out, LOAD_ERROR_TEXT_MAX, "%s:", err->file);
	if (err->line != 0)
		n += (size_t)snprintf(out + n, LOAD_ERROR_TEXT_MAX - n, "%zu:%zu:", err->line,
				      err->column);
	snprintf(out + n, LOAD_ERROR_TEXT_MAX - n, "%s%s", n > 0 ? " " : "", err->text);
	return out;
}

/* Fill *err; returns rc. */
static int fail(struct load_error *err, int rc, const char *path, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

static int fail(struct load_error *err, int rc, const char *path, const char *format, ...)
{
	va_list args;

	*err = (struct load_error){.reason = rc == -ENOMEM ? "memory" : "file"};
	snprintf(err->file, sizeof(err->file), "%s", path != NULL ? path : "");
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	return rc;
}

static int fail_memory(struct load_error *err, const char *path)
{
	char is[MEMORY_TEXT_MAX];

	return fail(err, -ENOMEM, path, "out of memory: %s are available",
		    memory_format(memory_available(""), is));
}

/* What may be taken of what is available: some stays for others. */
static uint64_t memory_allowed(void)
{
	uint64_t available = memory_available("");

	return available - available / MEMORY_LEFT;
}

/* -ENOMEM if it is plain beforehand that there is not so much. */
static int check_memory(struct load_error *err, const char *path, const char *what, uint64_t need)
{
	char needed[MEMORY_TEXT_MAX], is[MEMORY_TEXT_MAX];

	if (need <= MEMORY_UNASKED || need <= memory_allowed())
		return 0;
	return fail(err, -ENOMEM, path, "%s needs about %s, %s are available", what,
		    memory_format(need, needed), memory_format(memory_available(""), is));
}

static int fail_size(struct load_error *err, const char *path, size_t limit)
{
	return fail(err, -EFBIG, path, "larger than %zu MiB", limit >> 20);
}

/* A text that grows to limit bytes and not further. */
struct buffer {
	char *text;
	size_t size;
	size_t room;
	size_t limit;
	const char *path; /* for messages */
	struct load_error *err;
};

/*
 * Make room for at least one more byte. -EFBIG: it holds more than the limit already; -ENOMEM, with
 * the error filled
 */
static int buffer_grow(struct buffer *b, size_t hint)
{
	size_t room = b->room < CHUNK_BYTES ? CHUNK_BYTES : 2 * b->room;
	char *text;

	if (b->size < b->room)
		return 0;
	/* One byte over the limit, to see whether there is one. */
	if (b->size > b->limit)
		return -EFBIG;
	if (room < hint)
		room = hint;
	if (room > b->limit + 1)
		room = b->limit + 1;
	/* It is there twice while it is moved. */
	if (check_memory(b->err, b->path, "the text", (uint64_t)room + b->room) != 0)
		return -ENOMEM;
	text = realloc(b->text, room);
	if (text == NULL)
		return fail_memory(b->err, b->path);
	b->text = text;
	b->room = room;
	return 0;
}

static int read_all(int fd, size_t hint, struct buffer *b)
{
	for (;;) {
		int rc = buffer_grow(b, hint);
		ssize_t n;

		if (rc != 0)
			return rc;
		n = read(fd, b->text + b->size, b->room - b->size);
		if (n == 0)
			return b->size > b->limit ? -EFBIG : 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		b->size += (size_t)n;
	}
}

/* Open a regular file or a pipe, which is then the caller's to close. */
static int open_file(const char *path, int *out, struct load_error *err)
{
	struct stat st;
	int rc = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return fail(err, -errno, path, "%s", strerror(errno));
	if (fstat(fd, &st) != 0)
		rc = fail(err, -errno, path, "%s", strerror(errno));
	else if (S_ISDIR(st.st_mode))
		rc = fail(err, -EISDIR, path, "%s", strerror(EISDIR));
	else if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode))
		rc = fail(err, -EINVAL, path, "neither a file nor a pipe");
	if (rc == 0)
		*out = fd;
	else
		close(fd);
	return rc;
}

static int read_file(int fd, const char *path, struct buffer *b, struct load_error *err)
{
	struct stat st;
	int rc;

	if (fstat(fd, &st) != 0)
		return fail(err, -errno, path, "%s", strerror(errno));
	if (S_ISREG(st.st_mode) && (uintmax_t)st.st_size > b->limit)
		return fail_size(err, path, b->limit);
	rc = read_all(fd, S_ISREG(st.st_mode) ? (size_t)st.st_size + 1 : 0, b);
	if (rc == -EFBIG)
		fail_size(err, path, b->limit);
	else if (rc != 0 && rc != -ENOMEM)
		fail(err, rc, path, "%s", strerror(-rc));
	return rc;
}

static bool only_zeros(const Bytef *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (bytes[i] != 0)
			return false;
	}
	return true;
}

/* Unpack one member after another. -EPROTO: damaged. */
static int inflate_members(z_stream *z, struct buffer *out)
{
	for (;;) {
		int rc = buffer_grow(out, 4 * (size_t)z->avail_in);
		uInt room;
		int status;

		if (rc != 0)
			return rc;
		room = (uInt)(out->room - out->size); /* at most the limit, 2^30 */
		z->next_out = (Bytef *)out->text + out->size;
		z->avail_out = room;
		status = inflate(z, Z_NO_FLUSH);
		out->size += room - z->avail_out;
		if (status == Z_MEM_ERROR)
			return fail_memory(out->err, out->path);
		if (status == Z_OK || (status == Z_BUF_ERROR && z->avail_out == 0))
			continue;
		if (status != Z_STREAM_END)
			return -EPROTO;
		/* Tapes and some servers pad with zeros. */
		if (only_zeros(z->next_in, z->avail_in))
			return out->size > out->limit ? -EFBIG : 0;
		if (inflateReset(z) != Z_OK)
			return -EPROTO;
	}
}

static bool is_gzip(const struct buffer *b)
{
	return b->size >= 3 && memcmp(b->text, "\x1f\x8b\x08", 3) == 0;
}

static int unpack(const char *path, const struct buffer *packed, struct buffer *out,
		  struct load_error *err)
{
	z_stream z = {.next_in = (Bytef *)packed->text, .avail_in = (uInt)packed->size};
	int rc;

	if (inflateInit2(&z, GZIP_WINDOW_BITS) != Z_OK)
		return fail_memory(err, path);
	rc = inflate_members(&z, out);
	if (rc == -EFBIG)
		fail(err, rc, path, "larger than %zu MiB when unpacked", out->limit >> 20);
	else if (rc != 0 && rc != -ENOMEM)
		rc = fail(err, -EINVAL, path, "damaged gzip: %s",
			  z.msg != NULL ? z.msg : "it ends too early");
	inflateEnd(&z);
	return rc;
}

/* The rest of a file, unpacked; as load_text. */
static int read_text(int fd, const char *path, size_t limit, char **text, size_t *size,
		     struct load_error *err)
{
	struct buffer raw = {.limit = limit, .path = path, .err = err};
	struct buffer unpacked = {.limit = limit, .path = path, .err = err};
	int rc = read_file(fd, path, &raw, err);

	if (rc != 0)
		goto free_raw;
	if (!is_gzip(&raw)) {
		*text = raw.text;
		*size = raw.size;
		return 0;
	}
	rc = unpack(path, &raw, &unpacked, err);
	if (rc != 0)
		goto free_unpacked;
	*text = unpacked.text;
	*size = unpacked.size;
	unpacked.text = NULL;

free_unpacked:
	free(unpacked.text);
free_raw:
	free(raw.text);
	return rc;
}

int load_text(const char *path, size_t limit, char **text, size_t *size, struct load_error *err)
{
	int fd = -1;
	int rc = open_file(path, &fd, err);

	if (rc != 0)
		return rc;
	rc = read_text(fd, path, limit, text, size, err);
	close(fd);
	return rc;
}

/* Fill *err from a parser's error; returns rc. */
static int fail_syntax(struct load_error *err, int rc, const char *reason, const char *path,
		       size_t line, size_t column, const char *text)
{
	fail(err, rc, path, "%s", text);
	if (rc != -ENOMEM)
		err->reason = reason;
	err->line = line;
	err->column = column;
	return rc;
}

/* Read what an egress's Config names; its keys are wiped where they are not needed. */
static int load_quick(const char *path, struct conf_egress *egress, struct load_error *err)
{
	struct conf_error conf_err;
	char *text;
	size_t size;
	int rc = load_text(path, LOAD_CONF_SIZE_MAX, &text, &size, err);

	if (rc != 0)
		return rc;
	egress->quick = calloc(1, sizeof(*egress->quick));
	if (egress->quick == NULL)
		rc = fail_memory(err, path);
	else
		rc = wg_quick_parse(text, size, egress->quick, &conf_err);
	if (rc != 0 && egress->quick != NULL)
		fail_syntax(err, rc, "config_syntax", path, conf_err.line, conf_err.column,
			    conf_err.text);
	explicit_bzero(text, size);
	free(text);
	return rc;
}

int load_tunnels(struct conf *conf, struct load_error *err)
{
	int rc = 0;

	for (unsigned i = 0; i < conf->egress_count && rc == 0; i++) {
		struct conf_egress *egress = &conf->egresses[i];
		struct conf_interface *interface = &conf->interface;
		char *path;

		if (egress->type != CONF_EGRESS_WIREGUARD)
			continue;
		path = conf_file_path(conf, egress->config);
		rc = path != NULL ? load_quick(path, egress, err)
				  : fail_memory(err, egress->config);
		free(path);
		if (rc != 0)
			break;
		egress->mtu = egress->quick->mtu != 0 ? egress->quick->mtu : WG_QUICK_MTU;
		if (interface->address_count != 0)
			continue;
		interface->address_count = egress->quick->address_count;
		memcpy(interface->addresses, egress->quick->addresses,
		       sizeof(interface->addresses));
	}
	return rc;
}

int load_conf(const char *path, struct conf *out, struct load_error *err)
{
	struct conf_error conf_err;
	char *text;
	size_t size;
	int rc = load_text(path, LOAD_CONF_SIZE_MAX, &text, &size, err);

	if (rc != 0)
		return rc;
	rc = conf_parse(path, text, size, out, &conf_err);
	free(text);
	if (rc != 0) {
		fail_syntax(err, rc, "config_syntax", path, conf_err.line, conf_err.column,
			    conf_err.text);
		return rc;
	}
	rc = load_tunnels(out, err);
	if (rc != 0)
		conf_free(out);
	return rc;
}

static void fail_list_memory(struct load_error *err, const char *path, size_t line)
{
	char is[MEMORY_TEXT_MAX];

	fail(err, -ENOMEM, path, "the list needs more memory than the %s that are available",
	     memory_format(memory_available(""), is));
	err->line = line;
	err->column = line != 0;
}

static int parse_list(int fd, const char *path, const char *name, bool strict, struct list **out,
		      struct load_error *err)
{
	struct list_error list_err;
	char *text;
	size_t size;
	int rc = read_text(fd, path, LOAD_SIZE_MAX, &text, &size, err);

	if (rc != 0)
		return rc;
	rc = list_parse_within(name, path, text, size, strict ? 0 : LIST_SKIP_BAD,
			       size > SMALL_TEXT_BYTES ? (size_t)memory_allowed() : SIZE_MAX, out,
			       &list_err);
	if (rc == -ENOMEM)
		fail_list_memory(err, path, list_err.line);
	else if (rc != 0)
		fail_syntax(err, rc, "list_syntax", path, list_err.line, list_err.column,
			    list_err.text);
	free(text);
	return rc;
}

/* As load_list, from the cache if it is there; cache may be NULL. */
static int read_list(struct cache *cache, const char *path, const char *name, bool strict,
		     struct list **out, bool *from_cache, struct load_error *err)
{
	struct cache_source source;
	bool use_cache;
	int fd = -1, rc;

	*from_cache = false;
	rc = open_file(path, &fd, err);
	if (rc != 0)
		return rc;
	use_cache = cache != NULL && cache_source_init(&source, path, fd, strict) == 0 &&
		    S_ISREG(source.stat.st_mode);
	if (use_cache && cache_read(cache, &source, name, out) == 0) {
		*from_cache = true;
		goto close_fd;
	}
	rc = parse_list(fd, path, name, strict, out, err);
	if (rc == 0 && use_cache)
		cache_write(cache, &source, fd, *out);
close_fd:
	close(fd);
	return rc;
}

int load_list(const char *path, const char *name, bool strict, struct list **out,
	      struct load_error *err)
{
	bool from_cache;

	return read_list(NULL, path, name, strict, out, &from_cache, err);
}

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static struct list *find_kept(struct list *const *keep, unsigned count, const char *name,
			      const char *path)
{
	for (unsigned i = 0; i < count; i++) {
		if (strcmp(keep[i]->name, name) == 0 && strcmp(keep[i]->file, path) == 0)
			return keep[i];
	}
	return NULL;
}

/* What the lists of a configuration are taken from. */
struct sources {
	const struct conf *conf;
	struct list *const *keep;
	unsigned keep_count;
	struct cache *cache; /* may be NULL */
};

/* Append one list of the configuration, new or kept. */
static int take_list(const struct sources *sources, const struct conf_list *entry,
		     struct load_result *result, struct load_error *err)
{
	char *path = conf_file_path(sources->conf, entry->file);
	struct list **out = &result->lists[result->list_count];
	bool from_cache = false;
	struct list *kept;
	int rc = 0;

	if (path == NULL)
		return fail_memory(err, entry->file);
	kept = find_kept(sources->keep, sources->keep_count, entry->name, path);
	if (kept != NULL)
		*out = list_ref(kept);
	else
		rc = read_list(sources->cache, path, entry->name, entry->strict, out, &from_cache,
			       err);
	free(path);
	if (rc != 0)
		return rc;
	result->list_count++;
	result->read_count += kept == NULL;
	result->cached_count += from_cache;
	return 0;
}

/* Whether there is memory for a table; if not, the spare is given up before it is refused. */
static int check_table(const struct conf *conf, const struct table_rule *rules,
		       struct table **spare, struct load_error *err)
{
	struct table_estimate estimate;
	uint64_t need;
	int rc;

	table_estimate(rules, conf->rule_count, &estimate);
	need = estimate.table + estimate.build;
	rc = check_memory(err, conf->path, "the table", need);
	if (rc == 0 || *spare == NULL)
		return rc;
	table_destroy(*spare);
	*spare = NULL;
	return check_memory(err, conf->path, "the table", need);
}

int load_rebuild(const struct conf *conf, uint32_t generation, struct table *spare,
		 struct load_result *result, struct load_error *err)
{
	uint64_t start = now_us();
	struct table_rule *rules = calloc(conf->rule_count + 1, sizeof(*rules));
	int rc;

	if (rules == NULL) {
		table_destroy(spare);
		return fail_memory(err, conf->path);
	}
	for (unsigned i = 0; i < conf->rule_count; i++) {
		rules[i].list = result->lists[conf->rules[i].list];
		rules[i].egress = (uint16_t)conf->rules[i].egress;
	}
	rc = check_table(conf, rules, &spare, err);
	if (rc != 0)
		goto free_rules;
	rc = table_rebuild(rules, conf->rule_count, (uint16_t)conf->default_egress, generation,
			   spare, &result->table);
	if (rc == -ENOMEM)
		fail_memory(err, conf->path);
	else if (rc != 0)
		fail(err, rc, conf->path, "cannot build the table: %s", strerror(-rc));
	result->build_us = now_us() - start;
free_rules:
	free(rules);
	return rc;
}

int load_build(const struct conf *conf, uint32_t generation, struct load_result *result,
	       struct load_error *err)
{
	return load_rebuild(conf, generation, NULL, result, err);
}

static int load_lists(const struct sources *sources, struct load_result *out,
		      struct load_error *err)
{
	const struct conf *conf = sources->conf;
	struct load_result result = {0};
	uint64_t start = now_us();
	int rc;

	result.lists = calloc(conf->list_count + 1, sizeof(struct list *));
	if (result.lists == NULL) {
		fail_memory(err, conf->path);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < conf->list_count; i++) {
		rc = take_list(sources, &conf->lists[i], &result, err);
		if (rc != 0)
			goto fini_result;
	}
	result.parse_us = now_us() - start;
	*out = result;
	return 0;

fini_result:
	load_result_fini(&result);
	return rc;
}

int load_all_lists(const struct conf *conf, struct list *const *keep, unsigned keep_count,
		   struct load_result *out, struct load_error *err)
{
	const struct sources sources = {conf, keep, keep_count, NULL};

	return load_lists(&sources, out, err);
}

int load_all_lists_cached(const struct conf *conf, struct list *const *keep, unsigned keep_count,
			  struct load_result *out, struct load_error *err)
{
	struct sources sources = {conf, keep, keep_count, NULL};
	int rc;

	if (conf->interface.cache[0] != '\0')
		sources.cache = cache_open(conf->interface.cache);
	rc = load_lists(&sources, out, err);
	if (rc == 0 && sources.cache != NULL) {
		cache_sweep(sources.cache);
		snprintf(out->cache_problem, sizeof(out->cache_problem), "%s",
			 cache_problem(sources.cache));
	}
	cache_close(sources.cache);
	return rc;
}

/* The second half of a load. */
static int add_table(const struct conf *conf, uint32_t generation, struct load_result *lists,
		     struct load_result *out, struct load_error *err)
{
	int rc = load_build(conf, generation, lists, err);

	if (rc != 0)
		load_result_fini(lists);
	else
		*out = *lists;
	return rc;
}

int load_table(const struct conf *conf, uint32_t generation, struct list *const *keep,
	       unsigned keep_count, struct load_result *out, struct load_error *err)
{
	struct load_result lists;
	int rc = load_all_lists(conf, keep, keep_count, &lists, err);

	return rc != 0 ? rc : add_table(conf, generation, &lists, out, err);
}

int load_table_cached(const struct conf *conf, uint32_t generation, struct list *const *keep,
		      unsigned keep_count, struct load_result *out, struct load_error *err)
{
	struct load_result lists;
	int rc = load_all_lists_cached(conf, keep, keep_count, &lists, err);

	return rc != 0 ? rc : add_table(conf, generation, &lists, out, err);
}

void load_result_fini(struct load_result *result)
{
	table_destroy(result->table);
	for (unsigned i = 0; i < result->list_count; i++)
		list_unref(result->lists[i]);
	free(result->lists);
	*result = (struct load_result){0};
}
