/*
 * Lists as large as they may come, through files as the daemon reads them: 4 million IPv4 and 2
 * million IPv6 prefixes.
 *
 * Invariants:
 *   right   what loads answers as a scan over all prefixes does
 *   clear   where there is too little memory, it is refused with what it needs and what there is,
 *           before any is taken
 *   whole   the table from before then still answers as it did
 *
 * usage: scale_prefixes
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/load.h"
#include "ctl/memory.h"
#include "lpm/estimate.h"
#include "tests/model/lpm_model.h"

enum {
	COUNT4 = 4000000,
	COUNT6 = 2000000,
	ASKED = 100, /* addresses of each family that are compared */
	PATH_ROOM = 128,
	TIGHT_MIB = 64, /* what is left where it must be refused */
};

struct shape {
	const char *name;
	void (*write)(FILE *out);
};

static void write_random(FILE *out)
{
	uint64_t seed = 4;

	for (unsigned i = 0; i < COUNT4; i++) {
		uint64_t random = lpm_model_random(&seed);

		fprintf(out, "%u.%u.%u.%u/%u\n", (unsigned)(random >> 56),
			(unsigned)(random >> 48) & 255, (unsigned)(random >> 40) & 255,
			(unsigned)(random >> 32) & 255, 22 + (unsigned)(random >> 8) % 11);
	}
	for (unsigned i = 0; i < COUNT6; i++) {
		uint64_t random = lpm_model_random(&seed);

		fprintf(out, "2%03x:%x:%x::%x/%u\n", (unsigned)(random >> 52),
			(unsigned)(random >> 36) & 0xffff, (unsigned)(random >> 20) & 0xffff,
			(unsigned)random & 0xffff, 20 + (unsigned)(random >> 40) % 109);
	}
}

/* Each needs a second level of its own: the worst that so many can do. */
static void write_scattered(FILE *out)
{
	for (unsigned i = 0; i < COUNT4; i++)
		fprintf(out, "%u.%u.%u.%u\n", i >> 14, i >> 6 & 255, i << 2 & 255, i % 251);
	for (unsigned i = 0; i < COUNT6; i++)
		fprintf(out, "2001:%x:%x::%x\n", i >> 16, i & 0xffff, i % 65521 + 1);
}

static const struct shape shapes[] = {
	{"random", write_random},
	{"scattered", write_scattered},
};

static void fail(const char *shape, const char *what)
{
	fprintf(stderr, "scale_prefixes: %s: %s\n", shape, what);
	exit(1);
}

/* Addresses inside and between the prefixes. */
static void compare(const char *shape, const struct load_result *loaded)
{
	const struct list *list = loaded->lists[0];
	struct lpm4_route *routes4 = malloc(list->count4 * sizeof(*routes4));
	struct lpm6_route *routes6 = malloc(list->count6 * sizeof(*routes6));
	uint64_t seed = 5;

	if (routes4 == NULL || routes6 == NULL)
		fail(shape, "out of memory");
	for (size_t i = 0; i < list->count4; i++)
		routes4[i] = (struct lpm4_route){list->v4[i].addr, list->v4[i].len, 1};
	for (size_t i = 0; i < list->count6; i++)
		routes6[i] = (struct lpm6_route){list->v6[i].addr, list->v6[i].len, 1};
	for (unsigned i = 0; i < ASKED; i++) {
		uint64_t random = lpm_model_random(&seed);
		struct addr a4 = {.version = 4, .v4 = routes4[random % list->count4].addr};
		struct addr a6 = {.version = 6, .v6 = routes6[random % list->count6].addr};

		a4.v4 += i % 3;
		a6.v6.lo += i % 3;
		if (table_lookup(loaded->table, &a4) !=
		    lpm_model_lookup4(routes4, list->count4, a4.v4))
			fail(shape, "an IPv4 address has a wrong verdict");
		if (table_lookup(loaded->table, &a6) !=
		    lpm_model_lookup6(routes6, list->count6, &a6.v6))
			fail(shape, "an IPv6 address has a wrong verdict");
	}
	free(routes4);
	free(routes6);
}

static struct conf make_conf(const char *file)
{
	struct conf_error err;
	struct conf conf;

	if (conf_from_options(&file, 1, "eth0", "tun0", false, &conf, &err) != 0)
		fail(file, err.text);
	return conf;
}

/* keep: the list is there already, only its table is to be made; or NULL */
static void refuse_in_child(const char *shape, const struct conf *conf,
			    const struct load_result *before, const struct load_result *keep)
{
	uint64_t size_kib = 0;
	struct load_result loaded = {0};
	struct load_error err = {0};
	char text[LOAD_ERROR_TEXT_MAX];
	struct rlimit limit;
	FILE *status = fopen("/proc/self/status", "r");
	int rc;

	while (status != NULL && fgets(text, sizeof(text), status) != NULL) {
		if (strncmp(text, "VmSize:", 7) == 0)
			size_kib = strtoull(text + 7, NULL, 10);
	}
	if (status != NULL)
		fclose(status);
	limit.rlim_cur = limit.rlim_max = size_kib * 1024 + ((rlim_t)TIGHT_MIB << 20);
	if (size_kib == 0 || setrlimit(RLIMIT_AS, &limit) != 0)
		fail(shape, "cannot set a limit");
	rc = load_table(conf, 2, keep != NULL ? keep->lists : NULL, keep != NULL, &loaded, &err);
	if (rc != -ENOMEM || loaded.table != NULL || strcmp(err.reason, "memory") != 0)
		fail(shape, "it was not refused");
	printf("%s: refused: %s\n", shape, load_error_format(&err, text));
	if (strstr(err.text, "needs") == NULL || strstr(err.text, "available") == NULL)
		fail(shape, "that does not say why");
	compare(shape, before);
	exit(0);
}

static void expect_refusal(const char *shape, const struct conf *conf,
			   const struct load_result *before, const struct load_result *keep)
{
	int status = 0;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child == 0)
		refuse_in_child(shape, conf, before, keep);
	if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
		fail(shape, "the child failed");
}

static void try_shape(const struct shape *shape, const char *folder,
		      const struct load_result *small)
{
	char path[PATH_ROOM], needed[MEMORY_TEXT_MAX];
	struct load_result loaded;
	struct load_error err;
	struct table_estimate estimate;
	struct conf conf;
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s.txt", folder, shape->name);
	out = fopen(path, "w");
	if (out == NULL)
		fail(shape->name, "cannot write its text");
	shape->write(out);
	if (fclose(out) != 0)
		fail(shape->name, "cannot write its text");
	conf = make_conf(path);
	if (load_table(&conf, 1, NULL, 0, &loaded, &err) != 0)
		fail(shape->name, err.text);
	table_estimate(loaded.table->rules, 1, &estimate);
	printf("%s: %zu + %zu prefixes, parsed in %.2f s, built in %.2f s, table %zu MiB, "
	       "estimated %s with what building takes\n",
	       shape->name, loaded.table->count4, loaded.table->count6,
	       (double)loaded.parse_us / 1e6, (double)loaded.build_us / 1e6,
	       table_size_bytes(loaded.table) >> 20,
	       memory_format(estimate.table + estimate.build, needed));
	compare(shape->name, &loaded);
	expect_refusal(shape->name, &conf, small, &loaded);
	load_result_fini(&loaded);
	expect_refusal(shape->name, &conf, small, NULL);
	conf_free(&conf);
	unlink(path);
}

int main(void)
{
	static const char text[] = "10.0.0.0/8\n10.1.0.0/16\n2001:db8::/32\n";
	char folder[] = "/tmp/sluice-scale.XXXXXX", path[PATH_ROOM];
	struct load_result small;
	struct load_error err;
	struct conf conf;
	FILE *out;

	if (mkdtemp(folder) == NULL)
		fail("small", "no folder");
	snprintf(path, sizeof(path), "%s/small.txt", folder);
	out = fopen(path, "w");
	if (out == NULL || fputs(text, out) < 0 || fclose(out) != 0)
		fail("small", "cannot write its text");
	conf = make_conf(path);
	if (load_table(&conf, 1, NULL, 0, &small, &err) != 0)
		fail("small", err.text);
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		try_shape(&shapes[i], folder, &small);
	load_result_fini(&small);
	conf_free(&conf);
	unlink(path);
	rmdir(folder);
	return 0;
}
