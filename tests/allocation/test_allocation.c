/*
 * Every operation that allocates, once for each of its allocations, which then fails.
 *
 * It must either say -ENOMEM and leave every output as it was, or do without and be complete; it
 * must give back what it took; and it must succeed when it is tried again. A new operation is a
 * line in the table below.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "ctl/load.h"
#include "dataplane/wireguard/device.h"
#include "lpm/diff.h"
#include "lpm/estimate.h"
#include "lpm/list_edit.h"
#include "lpm/list_image.h"
#include "lpm/table_patch.h"
#include "tests/allocation/allocation.h"

enum {
	PATH_ROOM = 128,
	PREFIXES = 3000, /* of each family, in a text that is not sorted */
	LARGE = 400000,  /* entries that need more than a huge page or two */
	TEXT_ROOM = PREFIXES * 64,
	UNTOUCHED = 0x5a,
	FAILURES_MAX = 1000,
	FRESH_S = CACHE_FRESH_MS / 1000 + 1,
};

/* What operations give. Filled with UNTOUCHED before each run. */
struct outputs {
	struct list *list;
	struct list *changed;
	struct table *table;
	struct lpm4 *v4;
	struct lpm6 *v6;
	struct diff diff;
	struct load_result loaded;
	struct conf conf;
	char *text;
	size_t size;
	size_t clashes;
	struct wg_device *device;
};

/* What they are given, the same for all. */
struct scene {
	struct outputs out;
	struct load_error err; /* reason NULL: not filled */
	char folder[PATH_ROOM];
	char plain[2 * PATH_ROOM];
	char packed[2 * PATH_ROOM];
	char conf_path[2 * PATH_ROOM];
	char *text;
	size_t text_size;
	struct list *lists[2];
	struct table_rule rules[2];
	struct table *table; /* of these */
	struct list *change; /* prefixes that come and are in none */
	struct list *edited; /* lists[0] with them */
	struct list *changed;
	struct conf conf;
	uint8_t *image;
	size_t image_size;
	size_t image_at;
};

struct operation {
	const char *name;
	int (*run)(struct scene *s);
	bool (*complete)(const struct scene *s); /* after success */
	void (*discard)(struct scene *s);        /* gives back what success gave */
};

/* ---- Lists ---- */

static int run_parse(struct scene *s)
{
	struct list_error err = {0};
	int rc = list_parse("name", "file", s->text, s->text_size, 0, &s->out.list, &err);

	cr_expect(rc == 0 || err.text[0] != '\0', "no text for an error");
	return rc;
}

static bool has_list(const struct scene *s)
{
	return s->out.list->count4 == PREFIXES && s->out.list->count6 == PREFIXES &&
	       strcmp(s->out.list->name, "name") == 0;
}

static void discard_list(struct scene *s)
{
	list_unref(s->out.list);
}

static int get(void *context, void *bytes, size_t size)
{
	struct scene *s = context;

	memcpy(bytes, s->image + s->image_at, size);
	s->image_at += size;
	return 0;
}

static int run_image(struct scene *s)
{
	s->image_at = 0;
	return list_image_read("name", "file", s->image_size, get, s, &s->out.list);
}

static bool has_large_list(const struct scene *s)
{
	return s->out.list->count4 == LARGE && s->out.list->counts.lines == LARGE;
}

/* ---- Tables ---- */

static int run_table(struct scene *s)
{
	return table_build(s->rules, 2, 7, 1, &s->out.table);
}

static bool table_is_right(const struct table *table)
{
	return table->count4 == PREFIXES && table->count6 == PREFIXES &&
	       table->clashes == 2 * PREFIXES &&
	       table_lookup(table, &(struct addr){.version = 4, .v4 = 0x0a000101}) == 1;
}

static bool has_table(const struct scene *s)
{
	return table_is_right(s->out.table);
}

static void discard_table(struct scene *s)
{
	table_destroy(s->out.table);
}

static int run_clashes(struct scene *s)
{
	struct table_clash clashes[8];
	size_t count = table_clashes(s->rules, 2, clashes, 8);

	if (count == 0)
		return -ENOMEM;
	s->out.clashes = count;
	return 0;
}

static bool has_clashes(const struct scene *s)
{
	return s->out.clashes == 8;
}

static void discard_nothing(struct scene *s)
{
	(void)s;
}

/* ---- Edits ---- */

static int run_edit(struct scene *s)
{
	struct prefix missing;

	return list_edit(s->lists[0], s->change, LIST_ADD, &s->out.list, &s->out.changed, &missing);
}

static bool has_edit(const struct scene *s)
{
	return list_count(s->out.list, 4) == PREFIXES + 1 &&
	       list_count(s->out.list, 6) == PREFIXES + 1 && list_count(s->out.changed, 6) == 1;
}

static void discard_edit(struct scene *s)
{
	list_unref(s->out.changed);
	list_unref(s->out.list);
}

/* In the memory of a spare that is up to date: else a table so small is built, not patched. */
static int run_patch(struct scene *s)
{
	struct table *spare = NULL;
	struct table_patch *patch = NULL;
	bool replayable = true;
	int rc = table_build(s->rules, 2, 7, 1, &spare);

	if (rc != 0)
		return rc;
	table_strip(spare);
	rc = table_patch_create(s->table, s->lists[0], s->edited, s->changed, &patch);
	if (rc == 0)
		rc = table_patch_apply(patch, s->table, 2, spare, &replayable, &s->out.table);
	else
		table_destroy(spare);
	table_patch_destroy(patch);
	return rc;
}

static bool has_patch(const struct scene *s)
{
	const struct table *table = s->out.table;

	return table->count4 == PREFIXES + 1 && table->count6 == PREFIXES + 1 &&
	       table->generation == 2 &&
	       table_lookup(table, &(struct addr){.version = 4, .v4 = 0xc6336407}) == 1;
}

static int run_copy(struct scene *s)
{
	struct lpm4 *v4 = NULL;
	int rc = lpm4_copy(s->table->v4, NULL, &v4);

	if (rc != 0)
		return rc;
	rc = lpm6_copy(s->table->v6, NULL, &s->out.v6);
	if (rc != 0)
		lpm4_destroy(v4);
	else
		s->out.v4 = v4;
	return rc;
}

static bool has_copy(const struct scene *s)
{
	return lpm4_lookup(s->out.v4, 0x0a000101) == 1 && s->out.v6 != NULL;
}

static void discard_copy(struct scene *s)
{
	lpm4_destroy(s->out.v4);
	lpm6_destroy(s->out.v6);
}

static int run_diff(struct scene *s)
{
	const struct table_rule after[] = {{s->edited, 0}, s->rules[1]};
	const struct diff_side sides[] = {{s->rules, 2, 7}, {after, 2, 7}};

	return diff_rules(&sides[0], &sides[1], 8, 0, NULL, &s->out.diff);
}

static bool has_diff(const struct scene *s)
{
	return s->out.diff.v4.added == 1 && s->out.diff.v6.added == 1 &&
	       s->out.diff.v4.kept == PREFIXES;
}

static void discard_diff(struct scene *s)
{
	diff_fini(&s->out.diff);
}

/* ---- Files ---- */

static int run_plain_text(struct scene *s)
{
	return load_text(s->plain, LOAD_SIZE_MAX, &s->out.text, &s->out.size, &s->err);
}

static int run_packed_text(struct scene *s)
{
	return load_text(s->packed, LOAD_SIZE_MAX, &s->out.text, &s->out.size, &s->err);
}

static bool has_text(const struct scene *s)
{
	return s->out.size == s->text_size && memcmp(s->out.text, s->text, s->text_size) == 0;
}

static void discard_text(struct scene *s)
{
	free(s->out.text);
}

static int run_list(struct scene *s)
{
	return load_list(s->packed, "name", true, &s->out.list, &s->err);
}

static int run_conf(struct scene *s)
{
	return load_conf(s->conf_path, &s->out.conf, &s->err);
}

static bool has_conf(const struct scene *s)
{
	return s->out.conf.list_count == 2 && s->out.conf.rule_count == 2 &&
	       strcmp(s->out.conf.lists[1].file, "packed.gz") == 0;
}

static void discard_conf(struct scene *s)
{
	conf_free(&s->out.conf);
}

static int run_load(struct scene *s)
{
	return load_table(&s->conf, 1, NULL, 0, &s->out.loaded, &s->err);
}

static bool has_loaded(const struct scene *s)
{
	return s->out.loaded.list_count == 2 && table_is_right(s->out.loaded.table);
}

static void discard_loaded(struct scene *s)
{
	load_result_fini(&s->out.loaded);
}

static void empty_cache(const struct scene *s)
{
	char command[3 * PATH_ROOM];

	snprintf(command, sizeof(command), "rm -rf '%s/cache'", s->folder);
	cr_assert_eq(system(command), 0); // NOLINT(cert-env33-c)
}

/* Nothing is in the cache, so both lists are written. */
static int run_load_to_cache(struct scene *s)
{
	empty_cache(s);
	return load_table_cached(&s->conf, 1, NULL, 0, &s->out.loaded, &s->err);
}

static int run_load_from_cache(struct scene *s)
{
	return load_table_cached(&s->conf, 1, NULL, 0, &s->out.loaded, &s->err);
}

/* ---- Tunnels ---- */

enum {
	PEERS = 3,
	ALLOWED = 3,
};

/* Peers first .. first + PEERS - 1 with an address of each family, and one that all want. */
static int apply(struct wg_device *device, unsigned set, uint8_t first)
{
	struct wg_allowed_change allowed[PEERS][ALLOWED] = {0};
	struct wg_peer_change peers[PEERS] = {0};
	struct wg_changes changes = {
		.set = set, .private_key = {64}, .peers = peers, .peer_count = PEERS};

	for (unsigned i = 0; i < PEERS; i++) {
		allowed[i][0].prefix = (struct prefix){
			.addr = {.version = 4, .v4 = 0x0a000000u + first + i}, .len = 32};
		allowed[i][1].prefix = (struct prefix){
			.addr = {.version = 6, .v6 = {(uint64_t)(0xfd00 + first + i) << 48, 0}},
			.len = 64};
		allowed[i][2].prefix =
			(struct prefix){.addr = {.version = 4, .v4 = 0x0b000000}, .len = 8};
		peers[i] = (struct wg_peer_change){.set = WG_PEER_KEEPALIVE,
						   .public_key = {9, (uint8_t)(first + i)},
						   .keepalive_s = first,
						   .allowed = allowed[i],
						   .allowed_count = ALLOWED};
	}
	return wg_device_apply(device, &changes, WG_NS);
}

/* Whether it has these peers, as apply() leaves them; shared: the owner of what all want. */
static bool has_peers(struct wg_device *device, uint8_t first, unsigned count, bool shared)
{
	const struct wg_allowed *tables = wg_device_allowed(device);
	const struct addr all = {.version = 4, .v4 = 0x0b000001};
	struct wg_snapshot *now;
	bool good;

	if (wg_device_read(device, &now) < 0)
		return false;
	good = now->peer_count == count && (count == 0 || now->private_key[0] != 0) &&
	       (wg_allowed_peer(tables, &all) != NULL) == shared;
	for (unsigned i = 0; good && i < count; i++) {
		const struct addr own = {.version = 4, .v4 = 0x0a000000u + first + i};
		const struct wg_peer *peer = wg_allowed_peer(tables, &own);

		good = now->peers[i].public_key[1] == first + i &&
		       now->peers[i].keepalive_s == first &&
		       now->peers[i].allowed_count == (i == count - 1 ? 3 : 2) && peer &&
		       peer->public_key[1] == first + i;
	}
	wg_snapshot_free(now);
	return good;
}

/* A device with peers, all of which others take the places of. */
static int run_apply(struct scene *s)
{
	const struct wg_device_options options = {.workers = 1, .aead = WG_AEAD_LIBCRYPTO};
	struct wg_device *device;
	int rc = wg_device_create(&options, &device);

	if (rc < 0)
		return rc;
	rc = apply(device, WG_DEVICE_PRIVATE_KEY, 1);
	if (rc < 0) {
		cr_expect(has_peers(device, 0, 0, false), "a first set left something behind");
		goto destroy;
	}
	rc = apply(device, WG_DEVICE_REPLACE_PEERS, 101);
	if (rc < 0) {
		cr_expect(has_peers(device, 1, PEERS, true), "it is not what it was");
		goto destroy;
	}
	s->out.device = device;
	return 0;

destroy:
	wg_device_destroy(device);
	return rc;
}

static bool has_device(const struct scene *s)
{
	return has_peers(s->out.device, 101, PEERS, true);
}

static void discard_device(struct scene *s)
{
	wg_device_destroy(s->out.device);
}

static const struct operation operations[] = {
	{"list_parse", run_parse, has_list, discard_list},
	{"list_image_read", run_image, has_large_list, discard_list},
	{"table_build", run_table, has_table, discard_table},
	{"table_clashes", run_clashes, has_clashes, discard_nothing},
	{"list_edit", run_edit, has_edit, discard_edit},
	{"table_patch_apply", run_patch, has_patch, discard_table},
	{"lpm4_copy and lpm6_copy", run_copy, has_copy, discard_copy},
	{"diff_rules", run_diff, has_diff, discard_diff},
	{"load_text of a plain file", run_plain_text, has_text, discard_text},
	{"load_text of a packed file", run_packed_text, has_text, discard_text},
	{"load_list", run_list, has_list, discard_list},
	{"load_conf", run_conf, has_conf, discard_conf},
	{"load_table", run_load, has_loaded, discard_loaded},
	{"load_table_cached, writing", run_load_to_cache, has_loaded, discard_loaded},
	{"load_table_cached, reading", run_load_from_cache, has_loaded, discard_loaded},
	{"wg_device_apply", run_apply, has_device, discard_device},
};

/* ---- The scene ---- */

/* Prefixes of both families, long and short, back to front. */
static void make_text(struct scene *s)
{
	s->text = malloc(TEXT_ROOM);
	for (unsigned i = PREFIXES; i > 0; i--) {
		unsigned len = i % 2 != 0 ? 24 : 28;

		s->text_size += (size_t)snprintf(s->text + s->text_size, TEXT_ROOM - s->text_size,
						 "10.%u.%u.0/%u\n2001:db8:%x::%x/%u\n", i / 256,
						 i % 256, len, i, i % 2, i % 2 != 0 ? 128 : 48);
	}
}

static void write_file(const char *path, const void *bytes, size_t size)
{
	FILE *out = fopen(path, "w");

	cr_assert(out != NULL && fwrite(bytes, 1, size, out) == size);
	fclose(out);
}

static void make_files(struct scene *s)
{
	static const char conf[] = "[Interface]\nCache = /nonexistent\n"
				   "[Egress a]\nType = drop\n[Egress b]\nType = reject\n"
				   "[List one]\nFile = plain\n[List two]\nFile = packed.gz\n"
				   "[Rule]\nList = one\nEgress = a\n"
				   "[Rule]\nList = two\nEgress = b\n"
				   "[Default]\nEgress = b\n";
	gzFile packed;

	snprintf(s->folder, sizeof(s->folder), "/tmp/sluice-test-allocation.XXXXXX");
	cr_assert_not_null(mkdtemp(s->folder));
	snprintf(s->plain, sizeof(s->plain), "%s/plain", s->folder);
	snprintf(s->packed, sizeof(s->packed), "%s/packed.gz", s->folder);
	snprintf(s->conf_path, sizeof(s->conf_path), "%s/conf", s->folder);
	write_file(s->plain, s->text, s->text_size);
	write_file(s->conf_path, conf, strlen(conf));
	packed = gzopen(s->packed, "w");
	cr_assert_eq(gzwrite(packed, s->text, (unsigned)s->text_size), (int)s->text_size);
	gzclose(packed);
}

static int put(void *context, const void *bytes, size_t size)
{
	struct scene *s = context;

	memcpy(s->image + s->image_size, bytes, size);
	s->image_size += size;
	return 0;
}

static void make_image(struct scene *s)
{
	const size_t room = (size_t)LARGE * 20;
	char *text = malloc(room);
	struct list_error err;
	struct list *list;
	size_t size = 0;

	for (unsigned i = 0; i < LARGE; i++)
		size += (size_t)snprintf(text + size, room - size, "10.%u.%u.%u\n", i >> 16,
					 i >> 8 & 255, i & 255);
	cr_assert_eq(list_parse("", "", text, size, 0, &list, &err), 0);
	s->image = malloc((size_t)list_image_size(list));
	cr_assert_eq(list_image_write(list, put, s), 0);
	list_unref(list);
	free(text);
}

static void make_edit(struct scene *s)
{
	static const char added[] = "198.51.100.7\n2001:db8:ffff::/48\n";
	struct list_error err;
	struct prefix missing;

	cr_assert_eq(table_build(s->rules, 2, 7, 1, &s->table), 0);
	cr_assert_eq(list_parse("", "", added, strlen(added), 0, &s->change, &err), 0);
	cr_assert_eq(list_edit(s->lists[0], s->change, LIST_ADD, &s->edited, &s->changed, &missing),
		     0);
}

static void scene_make(struct scene *s)
{
	struct load_error err;

	*s = (struct scene){0};
	make_text(s);
	make_files(s);
	make_image(s);
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(load_list(s->plain, "name", true, &s->lists[i], &err), 0);
		s->rules[i] = (struct table_rule){s->lists[i], (uint16_t)i};
	}
	make_edit(s);
	cr_assert_eq(load_conf(s->conf_path, &s->conf, &err), 0, "%s", err.text);
	snprintf(s->conf.interface.cache, sizeof(s->conf.interface.cache), "%.100s/cache",
		 s->folder);
	sleep(FRESH_S); /* so that the lists can be kept */
}

static void scene_remove(struct scene *s)
{
	char command[3 * PATH_ROOM];

	conf_free(&s->conf);
	table_destroy(s->table);
	list_unref(s->changed);
	list_unref(s->edited);
	list_unref(s->change);
	list_unref(s->lists[0]);
	list_unref(s->lists[1]);
	free(s->image);
	free(s->text);
	snprintf(command, sizeof(command), "rm -rf '%s'", s->folder);
	cr_assert_eq(system(command), 0); // NOLINT(cert-env33-c)
}

/* ---- The property ---- */

static bool is_untouched(const struct outputs *out)
{
	const unsigned char *bytes = (const unsigned char *)out;

	for (size_t i = 0; i < sizeof(*out); i++) {
		if (bytes[i] != UNTOUCHED)
			return false;
	}
	return true;
}

static int try_once(struct scene *s, const struct operation *op, unsigned fail_at,
		    struct allocation_report *report)
{
	size_t live = allocation_live();
	int rc;

	memset(&s->out, UNTOUCHED, sizeof(s->out));
	s->err = (struct load_error){0};
	allocation_start(fail_at);
	rc = op->run(s);
	*report = allocation_stop();
	if (rc == 0) {
		cr_expect(op->complete(s), "%s: allocation %u fails: success without the whole",
			  op->name, fail_at);
		op->discard(s);
	} else {
		cr_expect_eq(rc, -ENOMEM, "%s: allocation %u fails: expected %d, actual %d",
			     op->name, fail_at, -ENOMEM, rc);
		cr_expect(is_untouched(&s->out), "%s: allocation %u fails: an output is touched",
			  op->name, fail_at);
		cr_expect(s->err.reason == NULL || strcmp(s->err.reason, "memory") == 0,
			  "%s: allocation %u fails: reason %s", op->name, fail_at, s->err.reason);
	}
	cr_expect_eq(allocation_live(), live, "%s: allocation %u fails: %zd not given back",
		     op->name, fail_at, (ssize_t)(allocation_live() - live));
	return rc;
}

Test(allocation, every_allocation_may_fail, .timeout = 300)
{
	static struct scene s;

	scene_make(&s);
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		const struct operation *op = &operations[i];
		struct allocation_report report = {.failed = true};
		unsigned failures = 0;

		for (unsigned k = 1; report.failed && k < FAILURES_MAX; k++) {
			struct allocation_report again;

			failures += try_once(&s, op, k, &report) != 0;
			cr_expect_eq(try_once(&s, op, 0, &again), 0,
				     "%s: no success after allocation %u failed", op->name, k);
		}
		cr_expect_not(report.failed, "%s: no end after %u", op->name, report.made);
		cr_expect_gt(failures, 0, "%s: it never failed", op->name);
	}
	scene_remove(&s);
}
