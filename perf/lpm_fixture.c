#include "perf/lpm_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	HOT = 1 << 16, /* destinations that Zipf's law chooses from */
	FULL4 = 900000,
	FULL6 = 160000,
	LINE_MAX_BYTES = PREFIX_TEXT_MAX,
};

void fixture_fail(const char *what)
{
	fprintf(stderr, "sluice-perf: %s\n", what);
	exit(1);
}

void *fixture_allocate(size_t count, size_t size)
{
	void *memory = calloc(count, size);

	if (memory == NULL)
		fixture_fail("out of memory");
	return memory;
}

/* xorshift64*, the same in every run */
static uint64_t draw(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

struct list *fixture_parse(const char *text, size_t size)
{
	struct list_error err;
	struct list *list = NULL;

	if (list_parse("perf", "perf", text, size, 0, &list, &err) != 0) {
		fprintf(stderr, "sluice-perf: %zu:%zu: %s\n", err.line, err.column, err.text);
		exit(1);
	}
	return list;
}

/* Lengths and how many of a hundred prefixes have them. */
struct share {
	uint8_t len;
	uint8_t percent;
};

static unsigned draw_len(uint64_t *state, const struct share *shares)
{
	unsigned at = (unsigned)(draw(state) >> 32) % 100;

	while (at >= shares->percent)
		at -= (shares++)->percent;
	return shares->len;
}

struct list *fixture_make_up_full(void)
{
	static const struct share shares4[] = {{24, 60}, {23, 10}, {22, 11}, {21, 5}, {20, 5},
					       {19, 3},  {18, 2},  {17, 1},  {16, 2}, {14, 1}};
	static const struct share shares6[] = {{48, 47}, {32, 13}, {44, 10}, {40, 9}, {36, 6},
					       {47, 4},  {46, 4},  {29, 4},  {33, 2}, {64, 1}};
	static const uint16_t tops6[] = {0x2001, 0x2400, 0x2600, 0x2800, 0x2a00, 0x2c00};
	size_t room = (size_t)(FULL4 + FULL6) * LINE_MAX_BYTES, size = 0;
	char *text = fixture_allocate(room, 1);
	uint64_t state = 1;
	struct list *list;

	for (unsigned i = 0; i < FULL4 + FULL6; i++) {
		struct prefix prefix = {.addr.version = i < FULL4 ? 4 : 6};
		uint64_t random = draw(&state);

		prefix.addr.v4 = (uint32_t)((random >> 32) % 223 + 1) << 24 | (random & 0xffffff);
		prefix.addr.v6.hi = (uint64_t)(tops6[random % 6] + (random >> 32) % 16) << 48 |
				    draw(&state) >> 16;
		prefix.len = (uint8_t)draw_len(&state, i < FULL4 ? shares4 : shares6);
		prefix_format(&prefix, text + size);
		size += strlen(text + size);
		text[size++] = '\n';
	}
	list = fixture_parse(text, size); /* clears the host bits */
	free(text);
	return list;
}

static struct prefix prefix_of(const struct fixture *f, const struct list *list, size_t i)
{
	return f->version == 4 ? list4_prefix(&list->v4[i]) : list6_prefix(&list->v6[i]);
}

static unsigned rule_of(const struct fixture *f, size_t i)
{
	return (f->version == 4 ? f->routes4[i].verdict : f->routes6[i].verdict) - 1U;
}

/* Each prefix goes to a rule by lot. */
static void split(struct fixture *f, const struct list *all)
{
	uint64_t state = 2;

	f->routes4 = fixture_allocate(f->count, sizeof(*f->routes4));
	f->routes6 = fixture_allocate(f->count, sizeof(*f->routes6));
	for (size_t i = 0; i < f->count; i++) {
		struct prefix prefix = prefix_of(f, all, i);
		uint16_t verdict = (uint16_t)((draw(&state) >> 32) % FIXTURE_RULES + 1);

		f->routes4[i] = (struct lpm4_route){prefix.addr.v4, prefix.len, verdict};
		f->routes6[i] = (struct lpm6_route){prefix.addr.v6, prefix.len, verdict};
	}
}

/* The prefixes of one rule, or of all of them, as text; the caller's. */
static char *print_rule(const struct fixture *f, const struct list *all, int rule, size_t *size)
{
	char *text = fixture_allocate(f->count + 1, LINE_MAX_BYTES);

	*size = 0;
	for (size_t i = 0; i < f->count; i++) {
		struct prefix prefix = prefix_of(f, all, i);

		if (rule >= 0 && rule_of(f, i) != (unsigned)rule)
			continue;
		prefix_format(&prefix, text + *size);
		*size += strlen(text + *size);
		text[(*size)++] = '\n';
	}
	return text;
}

struct table *fixture_build(const struct fixture *f)
{
	struct table *table = NULL;

	if (table_build(f->rules, FIXTURE_RULES, 0, 1, &table) != 0)
		fixture_fail("out of memory");
	return table;
}

void fixture_init(struct fixture *f, const struct list *all, size_t key_count)
{
	f->count = f->version == 4 ? all->count4 : all->count6;
	f->key_count = key_count;
	split(f, all);
	f->text = print_rule(f, all, -1, &f->size);
	f->list = fixture_parse(f->text, f->size);
	for (int i = 0; i < FIXTURE_RULES; i++) {
		size_t size;
		char *text = print_rule(f, all, i, &size);

		f->rules[i] = (struct table_rule){fixture_parse(text, size), (uint16_t)i};
		free(text);
	}
	f->table = fixture_build(f);
	f->keys4 = fixture_allocate(key_count, sizeof(*f->keys4));
	f->keys6 = fixture_allocate(key_count, sizeof(*f->keys6));
	f->bytes6 = fixture_allocate(key_count, sizeof(*f->bytes6));
}

void fixture_fini(struct fixture *f)
{
	free(f->bytes6);
	free(f->keys6);
	free(f->keys4);
	table_destroy(f->table);
	for (unsigned i = 0; i < FIXTURE_RULES; i++)
		list_unref(f->rules[i].list);
	list_unref(f->list);
	free(f->text);
	free(f->routes6);
	free(f->routes4);
}

static void set_key(struct fixture *f, size_t at, const struct prefix *inside, uint64_t *state)
{
	struct addr6 host = mask6(inside->len);
	uint64_t random = draw(state);

	f->keys4[at] = inside->addr.v4 | ((uint32_t)random & ~mask4(inside->len & 63));
	f->keys6[at].hi = inside->addr.v6.hi | (random & ~host.hi);
	f->keys6[at].lo = inside->addr.v6.lo | (draw(state) & ~host.lo);
}

static void draw_uniform(struct fixture *f)
{
	const struct prefix whole = {.addr.version = (uint8_t)f->version};
	uint64_t state = 3;

	for (size_t i = 0; i < f->key_count; i++)
		set_key(f, i, &whole, &state);
}

static void draw_inside(struct fixture *f)
{
	uint64_t state = 4;

	for (size_t i = 0; i < f->key_count; i++) {
		struct prefix prefix = prefix_of(f, f->list, draw(&state) % f->count);

		set_key(f, i, &prefix, &state);
	}
}

static void draw_zipf(struct fixture *f)
{
	size_t count = f->key_count < HOT ? f->key_count : HOT;
	uint32_t *hot4 = fixture_allocate(count, sizeof(*hot4));
	struct addr6 *hot6 = fixture_allocate(count, sizeof(*hot6));
	uint64_t state = 5;

	draw_inside(f);
	memcpy(hot4, f->keys4, count * sizeof(*hot4));
	memcpy(hot6, f->keys6, count * sizeof(*hot6));
	for (size_t i = 0; i < f->key_count; i++) {
		/* The inverse of the distribution, with the harmonic sum as a logarithm. */
		double u = (double)(draw(&state) >> 11) / 9007199254740992.0;
		size_t rank = (size_t)exp(u * log((double)count + 1)) - 1;

		f->keys4[i] = hot4[rank < count ? rank : count - 1];
		f->keys6[i] = hot6[rank < count ? rank : count - 1];
	}
	free(hot6);
	free(hot4);
}

void fixture_draw(struct fixture *f, enum fixture_keys keys)
{
	if (keys == f->drawn)
		return;
	f->drawn = keys;
	if (keys == KEYS_UNIFORM)
		draw_uniform(f);
	else if (keys == KEYS_INSIDE)
		draw_inside(f);
	else if (keys == KEYS_ZIPF)
		draw_zipf(f);
	for (size_t i = 0; i < f->key_count; i++) {
		uint64_t halves[2] = {__builtin_bswap64(f->keys6[i].hi),
				      __builtin_bswap64(f->keys6[i].lo)};

		memcpy(f->bytes6[i], halves, sizeof(halves));
	}
}

struct peer_keys fixture_peer_keys(const struct fixture *f)
{
	return (struct peer_keys){f->keys4, (const uint8_t(*)[PEER_ADDR6_BYTES])f->bytes6,
				  f->key_count};
}
