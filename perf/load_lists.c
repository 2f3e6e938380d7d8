#include "perf/load_lists.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/load.h"

enum {
	PATH_MAX_BYTES = LOAD_DIR_MAX + 32,
	AIM_TRIES = 100000,
	NESTED_EVERY = 10, /* of the made up ones, this many-th lies inside the one before */
};

static const char *const side_names[LOAD_SIDES] = {"left", "right"};

/* xorshift64*, the same in every run */
static uint64_t draw(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

/* Networks of /24 from all over, each once, and halves of some of them. */
static char *make_up(size_t count, size_t *size)
{
	char *text = malloc(count * PREFIX_TEXT_MAX + 1);
	uint32_t network = 0, made = 0;

	*size = 0;
	while (text && made < count) {
		struct prefix p = {.addr.version = 4, .len = 24};

		if (made % NESTED_EVERY == NESTED_EVERY - 1) {
			p.len = 25;
		} else {
			network = (network + 10368889) & 0xffffff; /* odd: visits all of them */
			if (network >> 16 == 0 || network >> 16 > 223)
				continue;
		}
		p.addr.v4 = network << 8;
		prefix_format(&p, text + *size);
		*size += strlen(text + *size);
		text[(*size)++] = '\n';
		made++;
	}
	return text;
}

static int take(struct load_lists *l, const struct list *list)
{
	size_t n = 0;

	l->count4 = list->count4;
	l->count = list->count4 + list->count6;
	l->prefixes = calloc(l->count + 1, sizeof(*l->prefixes));
	if (!l->prefixes)
		return -ENOMEM;
	for (size_t i = 0; i < list->count4; i++)
		l->prefixes[n++].prefix = (struct prefix){
			.addr = {.version = 4, .v4 = list->v4[i].addr}, .len = list->v4[i].len};
	for (size_t i = 0; i < list->count6; i++)
		l->prefixes[n++].prefix = (struct prefix){
			.addr = {.version = 6, .v6 = list->v6[i].addr}, .len = list->v6[i].len};
	for (size_t i = 0; i < n; i++)
		l->prefixes[i].class = (uint8_t)(i % LOAD_CLASSES);
	return 0;
}

int load_lists_init(struct load_lists *l, const char *file, size_t count, bool edits,
		    const char *dir)
{
	char place[LOAD_ERROR_TEXT_MAX];
	struct list_error wrong = {0};
	struct load_error err = {0};
	struct list *list = NULL;
	int rc;

	*l = (struct load_lists){.edits = edits};
	snprintf(l->dir, sizeof(l->dir), "%s", dir);
	if (file) {
		rc = load_list(file, "load", true, &list, &err);
		if (rc < 0)
			fprintf(stderr, "sluice-perf load: %s\n", load_error_format(&err, place));
	} else {
		size_t size;
		char *text = make_up(count, &size);

		rc = text ? list_parse("load", "made up", text, size, 0, &list, &wrong) : -ENOMEM;
		free(text);
	}
	if (rc == 0) {
		rc = take(l, list);
		list_unref(list);
	}
	return rc;
}

void load_lists_fini(struct load_lists *l)
{
	free(l->prefixes);
	*l = (struct load_lists){0};
}

static uint32_t mask_of(unsigned len)
{
	return len ? UINT32_MAX << (32 - len) : 0;
}

static int compare4(const void *a, const void *b)
{
	const struct prefix *x = a, *y = &((const struct load_prefix *)b)->prefix;

	if (x->addr.v4 != y->addr.v4)
		return x->addr.v4 < y->addr.v4 ? -1 : 1;
	return (x->len > y->len) - (x->len < y->len);
}

/* The longest prefix that holds an address: asks for one length after another. */
static struct load_prefix *owner_of(const struct load_lists *l, uint32_t addr)
{
	for (int len = 32; len >= 0; len--) {
		struct prefix p = {.addr = {.version = 4, .v4 = addr & mask_of((unsigned)len)},
				   .len = (uint8_t)len};
		struct load_prefix *found =
			bsearch(&p, l->prefixes, l->count4, sizeof(*l->prefixes), compare4);

		if (found)
			return found;
	}
	return NULL;
}

/* What a host may have, and the test's own links have not. */
static bool usable(uint32_t a)
{
	return a >> 24 >= 1 && a >> 24 <= 223 && a >> 24 != 10 && a >> 24 != 127 &&
	       a >> 22 != 0x6440 >> 6 && a >> 16 != 0xa9fe && (a & 0xff) != 0 && (a & 0xff) != 255;
}

int load_lists_aim(struct load_lists *l, unsigned flows, uint32_t *addrs, uint8_t *classes)
{
	uint64_t state = 3;

	for (unsigned flow = 0; flow < flows; flow++) {
		unsigned class = flow % LOAD_CLASSES, tries = 0;

		for (; l->count4 > 0 && tries < AIM_TRIES; tries++) {
			const struct load_prefix *from =
				&l->prefixes[(draw(&state) >> 16) % l->count4];
			uint32_t inside =
				(uint32_t)(draw(&state) >> 32) & ~mask_of(from->prefix.len);
			uint32_t addr = from->prefix.addr.v4 | inside;
			struct load_prefix *owner = usable(addr) ? owner_of(l, addr) : NULL;

			if (!owner || owner->class != class)
				continue;
			owner->aimed = true;
			addrs[flow] = addr;
			classes[flow] = (uint8_t) class;
			break;
		}
		if (l->count4 == 0 || tries == AIM_TRIES) {
			fprintf(stderr, "sluice-perf load: too few IPv4 prefixes to aim at\n");
			return -ENOENT;
		}
	}
	return 0;
}

static bool listed(const struct load_lists *l, const struct load_prefix *p, unsigned side,
		   uint32_t generation)
{
	if (!l->edits)
		return load_side(p->class, generation) == side;
	if (side == LOAD_RIGHT)
		return true;
	return (p->aimed || p->class == LOAD_STAYS_LEFT) &&
	       load_side(p->class, generation) == LOAD_LEFT;
}

static int write_list(const struct load_lists *l, unsigned side, uint32_t generation)
{
	char path[PATH_MAX_BYTES], text[PREFIX_TEXT_MAX];
	FILE *f;
	int rc = 0;

	snprintf(path, sizeof(path), "%s/%s.%u", l->dir, side_names[side],
		 generation % LOAD_PERIOD);
	f = fopen(path, "we");
	if (!f)
		return -errno;
	for (size_t i = 0; i < l->count; i++)
		if (listed(l, &l->prefixes[i], side, generation))
			fprintf(f, "%s\n", prefix_format(&l->prefixes[i].prefix, text));
	if (ferror(f))
		rc = -EIO;
	if (fclose(f) != 0)
		rc = -errno;
	return rc;
}

int load_lists_write(const struct load_lists *l)
{
	int rc = 0;

	for (uint32_t g = 1; rc == 0 && g <= LOAD_PERIOD; g++)
		for (unsigned side = 0; rc == 0 && side < LOAD_SIDES; side++)
			rc = write_list(l, side, g);
	return rc;
}

int load_lists_select(const struct load_lists *l, uint32_t generation)
{
	char target[32], link[PATH_MAX_BYTES], path[PATH_MAX_BYTES];

	for (unsigned side = 0; side < LOAD_SIDES; side++) {
		snprintf(target, sizeof(target), "%s.%u", side_names[side],
			 generation % LOAD_PERIOD);
		snprintf(link, sizeof(link), "%s/next", l->dir);
		snprintf(path, sizeof(path), "%s/%s.txt", l->dir, side_names[side]);
		if (symlink(target, link) < 0 || rename(link, path) < 0)
			return -errno;
	}
	return 0;
}

json_t *load_lists_moved_next(const struct load_lists *l, uint32_t generation)
{
	unsigned class = load_class_moved_next(generation);
	char text[PREFIX_TEXT_MAX];
	json_t *array = json_array();

	for (size_t i = 0; i < l->count4; i++)
		if (l->prefixes[i].aimed && l->prefixes[i].class == class)
			json_array_append_new(
				array, json_string(prefix_format(&l->prefixes[i].prefix, text)));
	return array;
}
