/*
 * Overview: see route.h. What orders what, by tags:
 *
 *   control                               reader
 *   build the table
 *   store the pointer       [pub-1]  ->   load the pointer        [pub-2]
 *                                         use it
 *   wait for all readers    [grace-2] <-  quiescent or offline    [grace-1]
 *   destroy the old one, or write it
 *
 * The control thread is not a reader. If it registers as one (a single-threaded program may), then
 * publishing is a quiescent state of its own: nothing it read before may be used after.
 */
#include "dataplane/route.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#ifndef __has_feature
#define __has_feature(feature) 0
#endif

#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
/*
 * ThreadSanitizer does not see what orders things inside liburcu: these tell it of [grace-1] and
 * [grace-2]. Nothing of liburcu is inlined then, or its own intended races would be reported.
 */
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
static const char grace_period;
#define GRACE_RELEASE() __tsan_release((void *)&grace_period)
#define GRACE_ACQUIRE() __tsan_acquire((void *)&grace_period)
#else
#define _LGPL_SOURCE
#define URCU_INLINE_SMALL_FUNCTIONS
#define GRACE_RELEASE() ((void)0)
#define GRACE_ACQUIRE() ((void)0)
#endif

#include <urcu/urcu-qsbr.h>

#include "dataplane/check.h"

_Static_assert(__atomic_always_lock_free(sizeof(void *), 0), "pointers are published by one store");

/* Read by all in every burst, written at a publish: on a line of its own. */
struct routes {
	_Alignas(64) struct table *table;
	struct links *links;
	/* The control thread's alone. */
	_Alignas(64) struct table *spare; /* stripped; NULL: none */
	bool spare_current;               /* it says what the table says */
};

struct routes *routes_create(void)
{
	struct routes *routes = aligned_alloc(_Alignof(struct routes), sizeof(*routes));

	if (routes)
		*routes = (struct routes){0};
	return routes;
}

void routes_destroy(struct routes *routes)
{
	if (!routes)
		return;
	table_destroy(routes->table);
	table_destroy(routes->spare);
	links_destroy(routes->links);
	free(routes);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/*
 * [grace-2] Orders every reader's use of what was published before, up to its quiescent state
 * [grace-1], before what follows here: the destruction, or that the memory is written again.
 * Otherwise a reader would use what is freed or half written.
 */
static uint64_t wait_for_readers(uint64_t since_ns)
{
	urcu_qsbr_synchronize_rcu();
	GRACE_ACQUIRE();
	return now_ns() - since_ns;
}

void route_wait(void)
{
	wait_for_readers(0);
}

uint64_t route_publish_table(struct routes *routes, struct table *table)
{
	struct table *old = routes->table; /* only this thread writes it */
	uint64_t start_ns = now_ns();
	uint64_t waited_ns;

	CHECK(!old || table != old);
	/*
	 * [pub-1] Orders the building of the table before its pointer; pairs with [pub-2].
	 * Otherwise a reader could follow the pointer to contents that are not written yet.
	 */
	__atomic_store_n(&routes->table, table, __ATOMIC_RELEASE);
	waited_ns = wait_for_readers(start_ns);
	if (old) {
		table_strip(old);
		table_destroy(routes->spare);
		routes->spare = old;
		routes->spare_current = false;
	}
	return waited_ns;
}

struct table *route_take_spare(struct routes *routes)
{
	struct table *spare = routes->spare;

	routes->spare = NULL;
	return spare;
}

int route_patch_table(struct routes *routes, const struct table_patch *patch, uint32_t generation,
		      uint64_t *publish_ns)
{
	bool replayable = routes->spare_current;
	struct table *table;
	int rc = table_patch_apply(patch, routes->table, generation, route_take_spare(routes),
				   &replayable, &table);

	if (rc < 0)
		return rc;
	*publish_ns = route_publish_table(routes, table);
	if (replayable)
		routes->spare_current = table_patch_replay(patch, routes->spare) == 0;
	return 0;
}

uint64_t route_publish_links(struct routes *routes, struct links *links)
{
	struct links *old = routes->links;
	uint64_t start_ns = now_ns();
	uint64_t waited_ns;

	CHECK(!old || links != old);
	__atomic_store_n(&routes->links, links, __ATOMIC_RELEASE); /* [pub-1] as above */
	waited_ns = wait_for_readers(start_ns);
	links_destroy(old);
	return waited_ns;
}

const struct table *route_table_control(const struct routes *routes)
{
	return routes->table;
}

const struct links *route_links_control(const struct routes *routes)
{
	return routes->links;
}

const struct table *route_table(const struct routes *routes)
{
	CHECK(urcu_qsbr_read_ongoing());
	/*
	 * [pub-2] Orders the pointer before what is read through it; pairs with [pub-1]. An acquire
	 * where a dependency would do: free on x86, once a burst elsewhere, and ThreadSanitizer
	 * understands it.
	 */
	return __atomic_load_n(&routes->table, __ATOMIC_ACQUIRE);
}

const struct links *route_links(const struct routes *routes)
{
	CHECK(urcu_qsbr_read_ongoing());
	return __atomic_load_n(&routes->links, __ATOMIC_ACQUIRE); /* [pub-2] as above */
}

void route_enter(void)
{
	urcu_qsbr_register_thread();
}

void route_exit(void)
{
	GRACE_RELEASE(); /* [grace-1] */
	urcu_qsbr_unregister_thread();
}

void route_quiescent(void)
{
	/*
	 * [grace-1] Orders all uses of what was read since the last one before the reader's
	 * counter; pairs with [grace-2]. liburcu has a full barrier here when a grace period waits.
	 */
	GRACE_RELEASE();
	urcu_qsbr_quiescent_state();
}

void route_offline(void)
{
	GRACE_RELEASE(); /* [grace-1] */
	urcu_qsbr_thread_offline();
}

void route_online(void)
{
	urcu_qsbr_thread_online();
}
