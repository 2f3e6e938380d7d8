/*
 * Changing lists: a reload parses, builds aside and publishes; an edit patches. A failure at any
 * point changes nothing.
 *
 * Threads: the control thread, which waits for a builder.
 */
#include "ctl/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/builder.h"
#include "ctl/commands.h"

int daemon_load_conf(const struct daemon_origin *origin, struct conf *out, struct load_error *err)
{
	struct conf_error wrong;
	int rc;

	if (origin->list_count == 0)
		return load_conf(origin->config ? origin->config : SLUICE_CONF_PATH, out, err);
	rc = conf_from_options(origin->lists, origin->list_count, origin->direct, origin->tunnel,
			       origin->include, out, &wrong);
	if (rc < 0) {
		*err = (struct load_error){.reason = rc == -ENOMEM ? "memory" : "config_syntax"};
		snprintf(err->text, sizeof(err->text), "%s", wrong.text);
		return rc;
	}
	rc = load_tunnels(out, err);
	if (rc < 0)
		conf_free(out);
	return rc;
}

static int refuse(struct load_error *err, const struct conf *conf, unsigned line, const char *what)
{
	*err = (struct load_error){.reason = "refused", .line = line};
	snprintf(err->file, sizeof(err->file), "%s", conf->path ? conf->path : "");
	snprintf(err->text, sizeof(err->text),
		 "%s differs from what is running: that needs a restart", what);
	return -EINVAL;
}

/* Padding and what lies behind unused array slots is zero in both: they were zeroed when made. */
static bool same_egress(const struct conf_egress *a, const struct conf_egress *b)
{
	return strcmp(a->name, b->name) == 0 && a->type == b->type &&
	       strcmp(a->interface, b->interface) == 0 && a->nat == b->nat && a->mtu == b->mtu &&
	       a->on_down == b->on_down && strcmp(a->config, b->config) == 0 &&
	       a->hooks == b->hooks && a->split == b->split && a->port_first == b->port_first &&
	       a->port_last == b->port_last && link_addr_compare(&a->gateway4, &b->gateway4) == 0 &&
	       link_addr_compare(&a->gateway6, &b->gateway6) == 0;
}

static bool same_interface(const struct conf_interface *a, const struct conf_interface *b)
{
	if (strcmp(a->name, b->name) != 0 || a->address_count != b->address_count ||
	    a->mtu != b->mtu || a->queues != b->queues || a->capture != b->capture ||
	    a->from_count != b->from_count || a->mark != b->mark || a->table != b->table ||
	    a->on_change != b->on_change || a->source_flows != b->source_flows ||
	    a->source_ports != b->source_ports)
		return false;
	for (unsigned i = 0; i < a->address_count; i++)
		if (a->addresses[i].len != b->addresses[i].len ||
		    link_addr_compare(&a->addresses[i].addr, &b->addresses[i].addr) != 0)
			return false;
	for (unsigned i = 0; i < a->from_count; i++)
		if (strcmp(a->from[i], b->from[i]) != 0)
			return false;
	return true;
}

int daemon_check_fixed(const struct conf *now, const struct conf *next, struct load_error *err)
{
	char what[64];

	if (!same_interface(&now->interface, &next->interface))
		return refuse(err, next, 0, "[Interface]");
	for (unsigned i = 0; i < next->egress_count; i++) {
		if (i < now->egress_count && same_egress(&now->egresses[i], &next->egresses[i]))
			continue;
		snprintf(what, sizeof(what), "[Egress %s]", next->egresses[i].name);
		return refuse(err, next, next->egresses[i].line, what);
	}
	if (next->egress_count != now->egress_count)
		return refuse(err, next, 0, "the number of egresses");
	return 0;
}

static int find_list(const struct conf *conf, const char *name)
{
	for (unsigned i = 0; i < conf->list_count; i++)
		if (strcmp(conf->lists[i].name, name) == 0)
			return (int)i;
	return -1;
}

static int refuse_name(struct load_error *err, const char *name)
{
	*err = (struct load_error){.reason = "not_found"};
	snprintf(err->text, sizeof(err->text), "no list is named '%.64s'", name);
	return -ENOENT;
}

/* The lists that need not be read again, into keep. */
static unsigned lists_to_keep(const struct daemon *d, const char *const *names, unsigned count,
			      struct list **keep)
{
	unsigned kept = 0;

	for (unsigned i = 0; count && i < d->conf.list_count; i++) {
		bool named = false;

		for (unsigned n = 0; n < count; n++)
			named |= strcmp(names[n], d->conf.lists[i].name) == 0;
		if (!named)
			keep[kept++] = d->lists[i];
	}
	return kept;
}

static time_t *loaded_times(const struct daemon *d, const struct load_result *loaded)
{
	time_t *times = calloc(loaded->list_count + 1, sizeof(*times));

	for (unsigned i = 0; times && i < loaded->list_count; i++) {
		times[i] = time(NULL);
		for (unsigned k = 0; d->lists && k < d->conf.list_count; k++)
			if (d->lists[k] == loaded->lists[i])
				times[i] = d->loaded[k];
	}
	return times;
}

/* The edits of those lists that will be replaced. */
static void count_edits(const struct daemon *d, const struct load_result *loaded,
			struct reload_report *report)
{
	for (unsigned i = 0; d->lists && i < d->conf.list_count; i++) {
		bool kept = false;

		for (unsigned k = 0; k < loaded->list_count; k++)
			kept |= loaded->lists[k] == d->lists[i];
		report->added += kept ? 0 : d->lists[i]->added;
		report->removed += kept ? 0 : d->lists[i]->removed;
	}
}

void daemon_forget_lists(struct daemon *d)
{
	for (unsigned i = 0; d->lists && i < d->conf.list_count; i++)
		list_unref(d->lists[i]);
	free(d->lists);
	free(d->loaded);
	d->lists = NULL;
	d->loaded = NULL;
}

/* Once: it would be said at every reload. */
static void say_cache_problem(struct daemon *d, const struct load_result *loaded)
{
	if (d->cache_problem_said || loaded->cache_problem[0] == '\0')
		return;
	fprintf(stderr, "sluice: %s\n", loaded->cache_problem);
	d->cache_problem_said = true;
}

/* The last that can fail. */
static int sync_tunnels(struct daemon *d, const struct conf *next, struct load_error *err)
{
	char error[TUNNELS_ERROR_MAX];
	int rc = tunnels_sync(d->tunnels, next, error);

	if (rc == 0)
		return 0;
	*err = (struct load_error){.reason = "refused"};
	snprintf(err->text, sizeof(err->text), "%.200s", error);
	return rc;
}

int daemon_commit(struct daemon *d, struct conf *next, struct load_result *loaded,
		  struct reload_report *report, struct load_error *err)
{
	time_t *times = loaded_times(d, loaded);
	int rc = times ? 0 : -ENOMEM;

	*err = (struct load_error){.reason = "memory", .text = "out of memory"};
	if (rc == 0 && next)
		rc = sync_tunnels(d, next, err);
	if (rc < 0) {
		free(times);
		return rc;
	}
	say_cache_problem(d, loaded);
	*report = (struct reload_report){
		.generation = loaded->table->generation,
		.count4 = loaded->table->count4,
		.count6 = loaded->table->count6,
		.parse_us = loaded->parse_us,
		.build_us = loaded->build_us,
		.lists_read = loaded->read_count,
		.lists_cached = loaded->cached_count,
		.publish_ns = dataplane_publish_table(d->dataplane, loaded->table),
	};
	loaded->table = NULL;
	count_edits(d, loaded, report);
	d->generation = report->generation;
	daemon_forget_lists(d);
	if (next) {
		conf_free(&d->conf);
		d->conf = *next;
		*next = (struct conf){0};
	}
	d->lists = loaded->lists;
	d->loaded = times;
	loaded->lists = NULL;
	loaded->list_count = 0;
	return 0;
}

/* What a reload reads and builds, and of what. */
struct building {
	struct daemon *daemon;
	const struct conf *conf;
	struct list **keep;
	unsigned kept;
	struct load_result *loaded;
	struct load_error *err;
	int rc;
};

static void build(void *context)
{
	struct building *b = context;

	b->rc = load_all_lists_cached(b->conf, b->keep, b->kept, b->loaded, b->err);
	if (b->rc == 0)
		b->rc = load_rebuild(b->conf, b->daemon->generation + 1,
				     dataplane_take_spare(b->daemon->dataplane), b->loaded, b->err);
}

int daemon_reload(struct daemon *d, const char *const *names, unsigned count,
		  struct reload_report *report, struct load_error *err)
{
	bool reread = count == 0;
	struct list **keep = NULL;
	struct load_result loaded = {0};
	struct conf next = {0};
	struct builder builder;
	struct building b;
	int rc = 0;

	for (unsigned i = 0; i < count; i++) {
		if (find_list(&d->conf, names[i]) < 0)
			return refuse_name(err, names[i]);
	}
	if (reread)
		rc = daemon_load_conf(&d->origin, &next, err);
	if (rc == 0 && reread)
		rc = daemon_check_fixed(&d->conf, &next, err);
	if (rc < 0)
		goto free_next;
	*err = (struct load_error){.reason = "memory", .text = "out of memory"};
	rc = -ENOMEM;
	keep = calloc(d->conf.list_count + 1, sizeof(struct list *));
	if (!keep)
		goto free_next;
	b = (struct building){.daemon = d,
			      .conf = reread ? &next : &d->conf,
			      .keep = keep,
			      .kept = lists_to_keep(d, names, count, keep),
			      .loaded = &loaded,
			      .err = err};
	builder_start(&builder, build, &b);
	builder_finish(&builder);
	rc = b.rc;
	if (rc == 0)
		rc = daemon_commit(d, reread ? &next : NULL, &loaded, report, err);
	load_result_fini(&loaded);
free_next:
	conf_free(&next);
	free(keep);
	return rc;
}

/* Publish what the table is with one list edited, in which changed made a difference. */
static int publish_edit(struct daemon *d, const struct list *from, struct list *to,
			const struct list *changed, struct edit_report *report)
{
	const struct routes *routes = dataplane_routes(d->dataplane);
	struct table_patch *patch;
	int rc;

	rc = table_patch_create(route_table_control(routes), from, to, changed, &patch);
	if (rc < 0)
		return rc;
	rc = dataplane_patch_table(d->dataplane, patch, d->generation + 1, &report->publish_ns);
	table_patch_destroy(patch);
	if (rc == 0)
		d->generation++;
	return rc;
}

static int refuse_missing(struct load_error *err, const char *name, const struct prefix *missing)
{
	char prefix[PREFIX_TEXT_MAX];

	*err = (struct load_error){.reason = "not_found"};
	snprintf(err->text, sizeof(err->text), "%s is not in list '%.64s'",
		 prefix_format(missing, prefix), name);
	return -ENOENT;
}

int daemon_edit_list(struct daemon *d, const char *name, const struct list *change,
		     enum list_edit edit, struct edit_report *report, struct load_error *err)
{
	int index = find_list(&d->conf, name);
	uint64_t start = daemon_now_us();
	struct list *edited, *changed;
	struct edit_report done = {0};
	const struct table *table;
	struct prefix missing;
	int rc;

	if (index < 0)
		return refuse_name(err, name);
	*err = (struct load_error){.reason = "memory", .text = "out of memory"};
	rc = list_edit(d->lists[index], change, edit, &edited, &changed, &missing);
	if (rc == -ENOENT)
		return refuse_missing(err, name, &missing);
	if (rc < 0)
		return rc;
	done.changed = changed->count4 + changed->count6;
	done.present = change->count4 + change->count6 - done.changed;
	if (done.changed > 0)
		rc = publish_edit(d, d->lists[index], edited, changed, &done);
	list_unref(changed);
	if (rc < 0) {
		list_unref(edited);
		return rc;
	}
	list_unref(d->lists[index]);
	d->lists[index] = edited;
	table = route_table_control(dataplane_routes(d->dataplane));
	done.generation = d->generation;
	done.count4 = table->count4;
	done.count6 = table->count6;
	done.edit_us = daemon_now_us() - start;
	*report = done;
	return 0;
}
