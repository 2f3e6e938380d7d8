/*
 * Readers and a publisher at once, small enough for ThreadSanitizer: it watches that all that a
 * reader touches was written before the pointer was stored, and was let go before it is freed.
 *
 * usage: race_publish [--plant]
 *
 * Without --plant it runs once as it should be, and once in a child process whose publisher does
 * not wait for readers: that one must fail.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <urcu/urcu-qsbr.h>

#include "dataplane/route.h"

enum {
	READERS = 2,
	TABLES = 40,
	LINKS_A_TABLE = 20,
	TURNS_MIN = 2000, /* of each reader */
	TURNS_MAX = 10000000,
	PLANTED_S = 60, /* a reader of freed memory may never come to an end */
};

static bool skip_waiting; /* for the function below, which the linker puts before liburcu's */

void urcu_qsbr_synchronize_rcu(void)
{
	void (*wait)(void);

	if (skip_waiting)
		return;
	*(void **)&wait = dlsym(RTLD_NEXT, "urcu_qsbr_synchronize_rcu");
	wait();
}

struct race {
	struct routes *routes;
	struct list *list;
	bool stop;
	int wrong;
	uint64_t turns[READERS];
	unsigned next;
};

static void *read_until_stopped(void *argument)
{
	struct race *race = argument;
	unsigned index = __atomic_fetch_add(&race->next, 1, __ATOMIC_RELAXED);
	struct addr addr = {.version = 4, .v4 = 10U << 24};
	uint32_t seen = 0;

	route_enter();
	for (uint64_t turn = 0; turn < TURNS_MAX; turn++) {
		const struct table *table = route_table(race->routes);
		const struct links *links = route_links(race->routes);
		uint16_t egress = table->verdicts[table_lookup(table, &addr)].egress;

		if (egress != (uint16_t)table->generation || table->generation < seen ||
		    links->link[0].mtu != links->link[1].mtu)
			__atomic_store_n(&race->wrong, 1, __ATOMIC_RELAXED);
		seen = table->generation;
		route_quiescent(); /* table and links must not be used below here */
		if (turn % 64 == 0) {
			route_offline();
			route_online();
		}
		__atomic_store_n(&race->turns[index], turn, __ATOMIC_RELAXED);
		if (turn >= TURNS_MIN && __atomic_load_n(&race->stop, __ATOMIC_RELAXED))
			break;
	}
	route_exit();
	return NULL;
}

static void publish_table(struct race *race, uint32_t generation)
{
	struct table_rule rule = {.list = race->list, .egress = (uint16_t)generation};
	struct table *table;

	if (table_build(&rule, 1, 0, generation, &table) < 0)
		abort();
	route_publish_table(race->routes, table);
}

static void publish_links(struct race *race, unsigned stamp)
{
	struct links *links = links_create(2);

	if (!links)
		abort();
	links->link[0].mtu = links->link[1].mtu = stamp;
	route_publish_links(race->routes, links);
}

/* Returns whether the answers were right; ThreadSanitizer has its own word in the exit code. */
static bool run(bool plant)
{
	struct race race = {.routes = routes_create()};
	struct list_error error;
	pthread_t threads[READERS];

	if (!race.routes || list_parse("race", "race.txt", "10.0.0.0/8", 10, 0, &race.list, &error))
		abort();
	publish_table(&race, 1);
	publish_links(&race, 1);
	skip_waiting = plant;
	for (unsigned i = 0; i < READERS; i++) {
		if (pthread_create(&threads[i], NULL, read_until_stopped, &race))
			abort();
	}
	for (unsigned i = 2; i < TABLES; i++) {
		publish_table(&race, i);
		for (unsigned j = 0; j < LINKS_A_TABLE; j++)
			publish_links(&race, i * LINKS_A_TABLE + j);
	}
	__atomic_store_n(&race.stop, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(threads[i], NULL);
	routes_destroy(race.routes);
	list_unref(race.list);
	printf("race_publish: %d tables, %d links, %llu and %llu turns%s\n", TABLES,
	       TABLES * LINKS_A_TABLE, (unsigned long long)race.turns[0],
	       (unsigned long long)race.turns[1], plant ? ", planted" : "");
	return !race.wrong;
}

int main(int argc, char **argv)
{
	bool plant = argc > 1 && strcmp(argv[1], "--plant") == 0;
	int status = 0;
	pid_t pid;

	if (plant) {
		alarm(PLANTED_S);
		return run(true) ? 0 : 1;
	}
	/* A process of its own, before there are threads; only its exit code is of interest. */
	pid = fork();
	if (pid < 0)
		abort();
	if (pid == 0) {
		if (!freopen("/dev/null", "w", stderr))
			abort();
		setenv("TSAN_OPTIONS", "halt_on_error=1:suppressions=tests/tsan.supp", 1);
		execl("/proc/self/exe", argv[0], "--plant", (char *)NULL);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	printf("race_publish: planted: %s\n", status ? "found" : "NOT FOUND");
	return run(false) && status ? 0 : 1;
}
