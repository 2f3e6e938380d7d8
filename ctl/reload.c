/* Reloading: parse, build aside, publish; a failure at any point changes nothing. */
#include "ctl/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/daemon.h"

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
	       strcmp(a->interface, b->interface) == 0 && a->nat == b->nat &&
	       a->port_first == b->port_first && a->port_last == b->port_last &&
	       link_addr_compare(&a->gateway4, &b->gateway4) == 0 &&
	       link_addr_compare(&a->gateway6, &b->gateway6) == 0;
}

static bool same_interface(const struct conf_interface *a, const struct conf_interface *b)
{
	if (strcmp(a->name, b->name) != 0 || a->address_count != b->address_count ||
	    a->mtu != b->mtu || a->queues != b->queues || a->capture != b->capture ||
	    a->from_count != b->from_count || a->mark != b->mark || a->table != b->table ||
	    a->on_change != b->on_change)
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

void daemon_forget_lists(struct daemon *d)
{
	for (unsigned i = 0; d->lists && i < d->conf.list_count; i++)
		list_unref(d->lists[i]);
	free(d->lists);
	free(d->loaded);
	d->lists = NULL;
	d->loaded = NULL;
}

int daemon_commit(struct daemon *d, struct conf *next, struct load_result *loaded,
		  struct reload_report *report)
{
	time_t *times = loaded_times(d, loaded);

	if (!times)
		return -ENOMEM;
	*report = (struct reload_report){
		.generation = loaded->table->generation,
		.count4 = loaded->table->count4,
		.count6 = loaded->table->count6,
		.parse_us = loaded->parse_us,
		.build_us = loaded->build_us,
		.publish_ns = dataplane_publish_table(d->dataplane, loaded->table),
	};
	loaded->table = NULL;
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

int daemon_reload(struct daemon *d, const char *const *names, unsigned count,
		  struct reload_report *report, struct load_error *err)
{
	bool reread = count == 0 && d->conf.path;
	struct list **keep = NULL;
	struct load_result loaded = {0};
	struct conf next = {0};
	int rc = 0;

	for (unsigned i = 0; i < count; i++) {
		if (find_list(&d->conf, names[i]) >= 0)
			continue;
		*err = (struct load_error){.reason = "not_found"};
		snprintf(err->text, sizeof(err->text), "no list is named '%.64s'", names[i]);
		return -ENOENT;
	}
	if (reread)
		rc = load_conf(d->conf.path, &next, err);
	if (rc == 0 && reread)
		rc = daemon_check_fixed(&d->conf, &next, err);
	if (rc < 0)
		goto free_next;
	*err = (struct load_error){.reason = "memory", .text = "out of memory"};
	rc = -ENOMEM;
	keep = calloc(d->conf.list_count + 1, sizeof(struct list *));
	if (!keep)
		goto free_next;
	rc = load_table(reread ? &next : &d->conf, d->generation + 1, keep,
			lists_to_keep(d, names, count, keep), &loaded, err);
	if (rc < 0)
		goto free_next;
	rc = daemon_commit(d, reread ? &next : NULL, &loaded, report);
	load_result_fini(&loaded);
free_next:
	conf_free(&next);
	free(keep);
	return rc;
}
