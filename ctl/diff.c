/*
 * The method "diff": what a reload would move.
 *
 * Overview: read aside and build aside as a reload does, so that what a reload refuses is refused
 * here with the same words; compare with the running table; ask the new table about the flows that
 * the workers remember; throw all of it away. Nothing is published.
 *
 * Parameters, all optional:
 *   config   path of a configuration to read instead of the running one's file
 *   lists    {NAME: path}: only these lists are read again, from there; null: from their own files
 *   family   4 or 6
 *   changes  how many changed prefixes to tell of
 *
 * Threads: the control thread, which waits for a builder, and that for another, which compares
 * while it builds: both only read the lists, but for the count of references, which the comparison
 * does not touch.
 */
#include "ctl/diff.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "ctl/builder.h"
#include "ctl/daemon.h"

enum {
	SHIFT_32 = 32, /* of a number's upper half: how many /32, /48 and /64 it is */
	SHIFT_48 = 16,
	SITES = 0xffff,
};

/* What is asked for. */
struct wish {
	const char *config;
	const json_t *lists;
	unsigned family;
	size_t changes;
};

/* Where changes are told of. */
struct teller {
	const struct conf *conf;
	json_t *array;
	size_t max;
	size_t count;
};

/* A comparison on its way, beside the building of the table. */
struct comparison {
	struct diff_side before;
	struct diff_side after;
	unsigned egress_count;
	unsigned family;
	const struct diff_watcher *watcher; /* NULL: nobody asks for each prefix */
	struct diff diff;
	uint64_t us;
	int rc;
};

/* All that is known of the next table. */
struct work {
	struct daemon *daemon;
	struct comparison comparison;
	struct load_result loaded;
};

/* What is read and built, and of what. */
struct loading {
	struct work *work;
	const struct conf *conf;
	struct list *const *keep;
	unsigned kept;
	struct load_error *err;
	int rc;
};

struct flow_moves {
	uint64_t moved[EGRESSES_MAX][EGRESSES_MAX];
	uint64_t moved_count;
	uint64_t kept_count;
};

char *diff_blocks_format(const struct diff_count *count, char out[DIFF_BLOCKS_MAX])
{
	const struct {
		uint64_t count;
		const char *size;
	} blocks[] = {
		{count->all ? UINT64_C(1) << SHIFT_32 : count->hi >> SHIFT_32, "/32"},
		{count->hi >> SHIFT_48 & SITES, "/48"},
		{count->hi & SITES, "/64"},
		{count->lo, "/128"},
	};
	size_t n = 0;

	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		if (blocks[i].count != 0)
			n += (size_t)snprintf(out + n, DIFF_BLOCKS_MAX - n, "%s%llu %s",
					      n > 0 ? " + " : "",
					      (unsigned long long)blocks[i].count, blocks[i].size);
	}
	if (n == 0)
		snprintf(out, DIFF_BLOCKS_MAX, "0");
	return out;
}

json_t *diff_json_count(const struct diff_count *count, unsigned version)
{
	char text[DIFF_COUNT_TEXT_MAX];

	if (version == 4)
		return json_integer((json_int_t)count->lo);
	return json_string(diff_count_format(count, text));
}

/* ---- What is asked for ---- */

static int read_wish(const json_t *params, struct wish *wish, struct rpc_error *err)
{
	const json_t *config = json_object_get(params, "config");
	const json_t *lists = json_object_get(params, "lists");
	const json_t *family = json_object_get(params, "family");
	const json_t *changes = json_object_get(params, "changes");

	*wish = (struct wish){0};
	if (config && !json_is_string(config))
		return rpc_error_set(err, RPC_PARAMS, "config", "config is no path");
	if (lists && !json_is_object(lists))
		return rpc_error_set(err, RPC_PARAMS, "lists", "lists is no object");
	if (config && lists)
		return rpc_error_set(err, RPC_PARAMS, "lists", "either config or lists");
	if (family && json_integer_value(family) != 4 && json_integer_value(family) != 6)
		return rpc_error_set(err, RPC_PARAMS, "family", "family is neither 4 nor 6");
	if (changes && (!json_is_integer(changes) || json_integer_value(changes) < 0))
		return rpc_error_set(err, RPC_PARAMS, "changes", "changes is no count");
	wish->config = json_string_value(config);
	wish->lists = lists;
	wish->family = (unsigned)json_integer_value(family);
	wish->changes = (size_t)json_integer_value(changes);
	if (wish->changes > DIFF_CHANGES_SHOWN)
		wish->changes = DIFF_CHANGES_SHOWN;
	return 0;
}

static int refuse_file(struct load_error *err, int rc, const char *path, const char *what)
{
	*err = (struct load_error){.reason = "file"};
	snprintf(err->file, sizeof(err->file), "%s", path);
	snprintf(err->text, sizeof(err->text), "%s", what);
	return rc;
}

/* A path from outside must not make the control thread wait, as a pipe would. */
static int check_file(const char *path, struct load_error *err)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return refuse_file(err, -errno, path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return refuse_file(err, -EINVAL, path, "not a regular file");
	return 0;
}

static struct conf_list *find_list(struct conf_list *lists, unsigned count, const char *name)
{
	for (unsigned i = 0; i < count; i++)
		if (strcmp(lists[i].name, name) == 0)
			return &lists[i];
	return NULL;
}

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void compare(void *context)
{
	struct comparison *c = context;
	uint64_t start = now_us();

	c->rc = diff_rules(&c->before, &c->after, c->egress_count, c->family, c->watcher, &c->diff);
	c->us = now_us() - start;
}

/* Build the table, and compare meanwhile: the control thread shall not wait longer than it must. */
static int build(struct work *w, const struct conf *conf, struct load_error *err)
{
	struct table_rule *rules = calloc((size_t)conf->rule_count + 1, sizeof(*rules));
	struct builder comparing;
	int rc;

	*err = (struct load_error){.reason = "memory", .text = "out of memory"};
	if (rules == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < conf->rule_count; i++) {
		rules[i].list = w->loaded.lists[conf->rules[i].list];
		rules[i].egress = (uint16_t)conf->rules[i].egress;
	}
	w->comparison.after =
		(struct diff_side){rules, conf->rule_count, (uint16_t)conf->default_egress};
	builder_start(&comparing, compare, &w->comparison);
	rc = load_build(conf, w->daemon->generation + 1, &w->loaded, err);
	builder_finish(&comparing);
	free(rules);
	return rc != 0 ? rc : w->comparison.rc;
}

static void load_behind(void *context)
{
	struct loading *l = context;

	l->rc = load_all_lists(l->conf, l->keep, l->kept, &l->work->loaded, l->err);
	if (l->rc == 0)
		l->rc = build(l->work, l->conf, l->err);
}

static int load(struct work *w, const struct conf *conf, struct list *const *keep, unsigned kept,
		struct load_error *err)
{
	struct loading l = {.work = w, .conf = conf, .keep = keep, .kept = kept, .err = err};
	struct builder builder;

	builder_start(&builder, load_behind, &l);
	builder_finish(&builder);
	return l.rc;
}

/* The whole configuration, as `reload` without names reads it. */
static int load_all(struct work *w, const struct daemon_origin *origin, struct load_error *err)
{
	struct conf conf;
	int rc = daemon_load_conf(origin, &conf, err);

	if (rc != 0)
		return rc;
	rc = daemon_check_fixed(&w->daemon->conf, &conf, err);
	if (rc == 0)
		rc = load(w, &conf, NULL, 0, err);
	conf_free(&conf);
	return rc;
}

/* Give lists other files; paths are borrowed. */
static int replace_files(struct conf_list *lists, unsigned count, const json_t *wanted,
			 struct load_error *err)
{
	const char *name;
	json_t *path;

	json_object_foreach((json_t *)wanted, name, path)
	{
		struct conf_list *list = find_list(lists, count, name);
		int rc;

		if (list == NULL) {
			*err = (struct load_error){.reason = "not_found"};
			snprintf(err->text, sizeof(err->text), "no list is named '%.64s'", name);
			return -ENOENT;
		}
		if (!json_is_string(path))
			continue;
		list->file = (char *)json_string_value(path);
		rc = check_file(list->file, err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* These lists alone, as `reload` with names reads them, but from other files where one is given. */
static int load_named(struct work *w, const json_t *wanted, struct load_error *err)
{
	const struct daemon *d = w->daemon;
	unsigned count = d->conf.list_count, kept = 0;
	struct conf_list *lists = calloc((size_t)count + 1, sizeof(*lists));
	struct list **keep = calloc((size_t)count + 1, sizeof(struct list *));
	struct conf conf = d->conf; /* all but its lists is borrowed */
	int rc = -ENOMEM;

	*err = (struct load_error){.reason = "memory", .text = "out of memory"};
	if (lists == NULL || keep == NULL)
		goto out;
	for (unsigned i = 0; i < count; i++) {
		lists[i] = d->conf.lists[i];
		if (json_object_get(wanted, lists[i].name) == NULL)
			keep[kept++] = d->lists[i];
	}
	rc = replace_files(lists, count, wanted, err);
	conf.lists = lists;
	if (rc == 0)
		rc = load(w, &conf, keep, kept, err);
out:
	free(keep);
	free(lists);
	return rc;
}

static int load_wish(struct work *w, const struct wish *wish, struct load_error *err)
{
	const struct daemon_origin file = {.config = wish->config};
	int rc = 0;

	if (wish->lists != NULL)
		return load_named(w, wish->lists, err);
	if (wish->config != NULL)
		rc = check_file(wish->config, err);
	if (rc != 0)
		return rc;
	return load_all(w, wish->config != NULL ? &file : &w->daemon->origin, err);
}

/* ---- Flows ---- */

static unsigned egress_of(const struct table *table, const struct addr *dst)
{
	return table->verdicts[table_lookup(table, dst)].egress;
}

static void count_aims(const struct table *running, const struct table *next, unsigned family,
		       const struct flow_aim *aims, size_t count, struct flow_moves *moves)
{
	for (size_t i = 0; i < count; i++) {
		struct addr dst = addr_from_bytes(aims[i].version, aims[i].dst);
		unsigned from = aims[i].egress, to = egress_of(next, &dst);

		if (family != 0 && family != dst.version)
			continue;

		/*
		 * One that drains goes on doing so. One that has been silent since an earlier
		 * reload may have to move by that already.
		 */
		if (to == from || aims[i].draining || to == egress_of(running, &dst)) {
			moves->kept_count++;
			continue;
		}
		moves->moved[from][to]++;
		moves->moved_count++;
	}
}

static int count_flows(const struct daemon *d, const struct table *next, unsigned family,
		       struct flow_moves *moves)
{
	const struct table *running = route_table_control(dataplane_routes(d->dataplane));
	struct flow_aim *aims = malloc(FLOWS_DEFAULT * sizeof(*aims));

	if (aims == NULL)
		return -ENOMEM;
	for (unsigned w = 0; w < dataplane_worker_count(d->dataplane); w++) {
		size_t count = dataplane_flow_aims(d->dataplane, w, aims, FLOWS_DEFAULT);

		count_aims(running, next, family, aims, count, moves);
	}
	free(aims);
	return 0;
}

/* ---- The answer ---- */

static void tell_change(void *context, const struct diff_change *change)
{
	static const char *const kinds[] = {
		[DIFF_ADDED] = "added",
		[DIFF_REMOVED] = "removed",
		[DIFF_MOVED] = "moved",
	};
	struct teller *t = context;
	const struct diff_place *place = change->after.list ? &change->after : &change->before;
	char prefix[PREFIX_TEXT_MAX];

	if (t->count++ >= t->max)
		return;
	json_array_append_new(
		t->array,
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:I}", "change", kinds[change->kind],
			  "prefix", prefix_format(&change->prefix, prefix), "from",
			  t->conf->egresses[change->from].name, "to",
			  t->conf->egresses[change->to].name, "list", place->list->name, "file",
			  rpc_string(place->list->file), "line", (json_int_t)place->line));
}

static json_t *json_prefixes(const struct diff_family *f)
{
	return json_pack("{s:I, s:I, s:I, s:I}", "added", (json_int_t)f->added, "removed",
			 (json_int_t)f->removed, "moved", (json_int_t)f->moved, "kept",
			 (json_int_t)f->kept);
}

static json_t *json_move(const struct conf *conf, const struct diff_move *v4,
			 const struct diff_move *v6, uint64_t flows, unsigned from, unsigned to)
{
	char blocks[DIFF_BLOCKS_MAX];

	return json_pack("{s:s, s:s, s:I, s:o, s:I, s:o, s:s, s:I}", "from",
			 conf->egresses[from].name, "to", conf->egresses[to].name, "prefixes4",
			 (json_int_t)v4->prefixes, "addresses4", diff_json_count(&v4->addresses, 4),
			 "prefixes6", (json_int_t)v6->prefixes, "addresses6",
			 diff_json_count(&v6->addresses, 6), "blocks6",
			 diff_blocks_format(&v6->addresses, blocks), "flows", (json_int_t)flows);
}

/* The pairs of egresses between which anything moves. */
static json_t *json_moves(const struct conf *conf, const struct diff *diff,
			  const struct flow_moves *flows)
{
	json_t *array = json_array();

	for (unsigned from = 0; from < diff->egress_count; from++) {
		for (unsigned to = 0; to < diff->egress_count; to++) {
			const struct diff_move *v4 = diff_move_at(diff, &diff->v4, from, to);
			const struct diff_move *v6 = diff_move_at(diff, &diff->v6, from, to);
			uint64_t moved = flows->moved[from][to];

			if (v4->prefixes + v6->prefixes + moved > 0 ||
			    !diff_count_zero(&v4->addresses) || !diff_count_zero(&v6->addresses))
				json_array_append_new(array,
						      json_move(conf, v4, v6, moved, from, to));
		}
	}
	return array;
}

static int answer(const struct work *w, const struct teller *teller, json_t **result)
{
	const struct daemon *d = w->daemon;
	const struct diff *diff = &w->comparison.diff;
	struct flow_moves *flows = calloc(1, sizeof(*flows));
	uint64_t start = now_us();
	json_t *moves;
	bool differ;
	int rc = flows != NULL ? count_flows(d, w->loaded.table, w->comparison.family, flows)
			       : -ENOMEM;

	if (rc != 0)
		goto out;
	moves = json_moves(&d->conf, diff, flows);
	differ = json_array_size(moves) > 0 || diff->v4.added + diff->v4.removed > 0 ||
		 diff->v6.added + diff->v6.removed > 0;
	*result =
		json_pack("{s:b, s:O, s:I, s:o, s:o, s:o, s:I, s:I, s:s, s:I, s:I, s:I, s:I}",
			  "differ", differ, "changes", teller->array, "change_count",
			  (json_int_t)teller->count, "moves", moves, "v4", json_prefixes(&diff->v4),
			  "v6", json_prefixes(&diff->v6), "flows", (json_int_t)flows->moved_count,
			  "flows_kept", (json_int_t)flows->kept_count, "on_change",
			  conf_on_change_names[d->conf.interface.on_change], "parse_us",
			  (json_int_t)w->loaded.parse_us, "build_us",
			  (json_int_t)w->loaded.build_us, "compare_us",
			  (json_int_t)w->comparison.us, "flows_us", (json_int_t)(now_us() - start));
out:
	free(flows);
	return rc;
}

int diff_method(void *context, const json_t *params, json_t **result, struct rpc_error *err)
{
	struct daemon *d = context;
	struct teller teller = {.conf = &d->conf};
	const struct diff_watcher watcher = {tell_change, &teller};
	struct work w = {.daemon = d};
	char text[LOAD_ERROR_TEXT_MAX];
	struct load_error wrong;
	struct wish wish;
	int rc = read_wish(params, &wish, err);

	if (rc < 0)
		return rc;
	teller.array = json_array();
	teller.max = wish.changes;
	w.comparison = (struct comparison){
		.before = diff_side_of(route_table_control(dataplane_routes(d->dataplane))),
		.egress_count = d->conf.egress_count,
		.family = wish.family,
		.watcher = wish.changes > 0 ? &watcher : NULL,
	};
	rc = load_wish(&w, &wish, &wrong);
	if (rc == 0) {
		rc = answer(&w, &teller, result);
	} else {
		rpc_error_set(err, 0, wrong.reason, "%s", load_error_format(&wrong, text));
		err->data = json_pack("{s:o, s:I, s:I, s:o}", "file", rpc_string(wrong.file),
				      "line", (json_int_t)wrong.line, "col",
				      (json_int_t)wrong.column, "text", rpc_string(wrong.text));
	}
	diff_fini(&w.comparison.diff);
	load_result_fini(&w.loaded);
	json_decref(teller.array);
	return rc;
}
