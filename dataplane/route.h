/*
 * Publishing: the one place where tables and link snapshots go to the workers, and the one place
 * that waits for readers (liburcu, QSBR flavour).
 *
 * Overview: the control thread builds aside, publishes by one release-store, waits until every
 * worker has passed a quiescent state, then frees the old one. Workers read the current pointers
 * once a burst and forget them at the end of it.
 *
 * Of an old table the memory is kept: the spare. The next table is built in it; or, where little
 * changes, a patch is applied to it, it is published, and the patch is replayed on the one that it
 * replaced, so that both say the same and the next patch finds a spare that is up to date.
 *
 * Threads: publish from the control thread only. Readers are threads between route_enter and
 * route_exit. A reader calls route_quiescent once a burst, and is offline round anything that
 * may block.
 */
#ifndef SLUICE_DATAPLANE_ROUTE_H
#define SLUICE_DATAPLANE_ROUTE_H

#include <stdint.h>

#include "dataplane/links.h"
#include "lpm/table.h"
#include "lpm/table_patch.h"

struct routes;

/* NULL when memory is short. Starts with no table and no links: readers see NULL. */
struct routes *routes_create(void);

/* No reader may be left. Destroys what is published. NULL does nothing. */
void routes_destroy(struct routes *routes);

/*
 * Make the table the one that every worker uses; returns when none can see the old one, which then
 * has given its lists back and is the spare. The table belongs to routes afterwards.
 *
 * Returns: nanoseconds from the store to the last reader
 */
uint64_t route_publish_table(struct routes *routes, struct table *table);

/* The same for links; the old ones are destroyed. */
uint64_t route_publish_links(struct routes *routes, struct links *links);

/*
 * Publish what a patch makes of the table that is published, as route_publish_table does.
 *
 * patch:      made for that table; stays the caller's
 * publish_ns: set to the nanoseconds from the store to the last reader
 * Errors:     -ENOMEM; nothing was published
 */
int route_patch_table(struct routes *routes, const struct table_patch *patch, uint32_t generation,
		      uint64_t *publish_ns);

/* The spare, for table_rebuild; NULL if there is none. The caller's. */
struct table *route_take_spare(struct routes *routes);

/* The control thread's own look at what is published; valid until it publishes again. */
const struct table *route_table_control(const struct routes *routes);
const struct links *route_links_control(const struct routes *routes);

/* Return when no reader uses what it found before the call. From any thread that is no reader. */
void route_wait(void);

/* What a reader uses for this burst; checks that the thread is online. */
const struct table *route_table(const struct routes *routes);
const struct links *route_links(const struct routes *routes);

void route_enter(void);     /* registers the thread as a reader, online */
void route_exit(void);      /* before the thread ends */
void route_quiescent(void); /* nothing read before may be used after */
void route_offline(void);   /* before anything that may block */
void route_online(void);

#endif
