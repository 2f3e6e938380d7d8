/* What look-ups are measured on: a table, the text that it came from, and keys. */
#ifndef SLUICE_PERF_LPM_FIXTURE_H
#define SLUICE_PERF_LPM_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include "lpm/list.h"
#include "lpm/table.h"
#include "perf/peer.h"

enum {
	FIXTURE_RULES = 14, /* that a table is split over, as if by country; so many verdicts */
};

enum fixture_keys {
	KEYS_NONE,
	KEYS_UNIFORM, /* over all addresses */
	KEYS_INSIDE,  /* announced prefixes, each as likely as the other */
	KEYS_ZIPF,    /* few destinations inside prefixes; the n-th is asked for 1/n as often */
};

/* One table of one family. */
struct fixture {
	const char *name;
	unsigned version;
	char *text; /* all prefixes, in order */
	size_t size;
	struct list *list; /* the text parsed */
	struct table_rule rules[FIXTURE_RULES];
	struct lpm4_route *routes4; /* what the rules say, sorted; of the family only */
	struct lpm6_route *routes6;
	size_t count;
	struct table *table;
	enum fixture_keys drawn;
	size_t key_count; /* a multiple of LPM_BURST_MAX */
	uint32_t *keys4;  /* of the family only */
	struct addr6 *keys6;
	uint8_t (*bytes6)[PEER_ADDR6_BYTES]; /* keys6 in network byte order */
};

/* Print and end the process. */
_Noreturn void fixture_fail(const char *what);

/* Zeroed; never NULL. */
void *fixture_allocate(size_t count, size_t size);

/* A list with as many prefixes of each length as the Internet has, but spread evenly. */
struct list *fixture_make_up_full(void);

/* Of the prefixes of one family of a list, at least one; the list is not kept. */
void fixture_init(struct fixture *f, const struct list *all, size_t key_count);
void fixture_fini(struct fixture *f);

/* Draw other keys, the same in every run of the program. */
void fixture_draw(struct fixture *f, enum fixture_keys keys);

/* As peers take them. */
struct peer_keys fixture_peer_keys(const struct fixture *f);

/* The steps of a reload; the caller's. */
struct list *fixture_parse(const char *text, size_t size);
struct table *fixture_build(const struct fixture *f);

#endif
