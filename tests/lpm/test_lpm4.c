/* Every way to look up IPv4 bursts, on tables of every width, against the naive model. */
#include <criterion/criterion.h>

#include <string.h>

#include "lpm/cpu.h"
#include "lpm/lpm4_burst.h"
#include "tests/model/lpm_model.h"

enum {
	ROUTES = 600,
	PROBES = ROUTES * 4 + 1024,
	GUARD = 0xbeef, /* no verdict */
};

static const char *const variant_names[LPM4_VARIANTS] = {"scalar", "AVX2", "AVX-512"};

/* How many verdicts there are, and how wide that makes entries: one code is LPM_NONE, one taken. */
static const struct {
	unsigned verdicts;
	unsigned width_log2;
} widths[] = {
	{1, 1}, {2, 1}, {3, 2}, {14, 2}, {15, 3}, {254, 3}, {255, 4}, {500, 4},
};

struct dense {
	struct lpm4_route routes[ROUTES];
	size_t count;
	uint32_t probes[PROBES];
	uint16_t expected[PROBES];
};

/* Verdicts lie far apart, up to the last one, so that a code is never the verdict itself. */
static void make_dense(struct dense *d, unsigned verdicts, uint64_t seed)
{
	static const struct lpm4_route corners[] = {
		{0x00000000, 32, 1}, {0x000000ff, 32, 1}, {0x00101f00, 25, 1}, {0x00102080, 25, 1},
		{0xffffff00, 31, 1}, {0xfffffffe, 32, 1}, {0xffffffff, 32, 1},
	};
	const size_t fixed = sizeof(corners) / sizeof(corners[0]);
	uint64_t state = seed;

	memcpy(d->routes, corners, sizeof(corners));
	for (size_t i = fixed; i < ROUTES; i++) {
		unsigned shortest = i & 1 ? 26 : 19; /* none covers all the others */
		unsigned random = (unsigned)(lpm_model_random(&state) >> 32);
		unsigned len = shortest + random % (33 - shortest);
		/* Half in a few /24s, half in their neighbourhood. */
		uint32_t addr = (uint32_t)lpm_model_random(&state) % (i & 1 ? 2048 : 1 << 20);

		addr += i % 3 == 0 ? 0x0a000000 : i % 3 == 1 ? 0 : 0xffe00000;
		d->routes[i] = (struct lpm4_route){addr & mask4(len), (uint8_t)len, 1};
	}
	d->count = lpm_model_sort4(d->routes, ROUTES);
	cr_assert_geq(d->count, verdicts);
	for (size_t i = 0; i < d->count; i++)
		d->routes[i].verdict =
			(uint16_t)(LPM_VERDICT_MAX - i % verdicts * (LPM_VERDICT_MAX / verdicts));
	for (size_t i = 0; i < PROBES; i++) {
		const struct lpm4_route *route = &d->routes[i / 4 % d->count];
		uint32_t last = route->addr | ~mask4(route->len);
		const uint32_t edges[] = {route->addr - 1, route->addr, last, last + 1};

		d->probes[i] = i < d->count * 4 ? edges[i % 4] : lpm_model_addr4(&state);
		d->expected[i] = lpm_model_lookup4(d->routes, d->count, d->probes[i]);
	}
}

static void expect_burst(const struct dense *d, size_t first, const uint16_t *out, unsigned n,
			 const char *how)
{
	cr_assert(out[0] == GUARD && out[n + 1] == GUARD, "%s: %u of them wrote beside", how, n);
	for (unsigned i = 0; i < n; i++)
		cr_assert_eq(out[i + 1], d->expected[first + i],
			     "%s: %08x, %u of %u: expected %u, got %u", how, d->probes[first + i],
			     i, n, d->expected[first + i], out[i + 1]);
}

/* All sizes, from addresses at each remainder of 4 and to verdicts at each of 64. */
static void try_variant(const struct dense *d, struct lpm4 *table, const char *name)
{
	uint8_t raw[LPM_BURST_MAX * sizeof(uint32_t) + sizeof(uint32_t)];
	uint16_t room[LPM_BURST_MAX + 2 + 32];
	size_t first = 0;

	for (unsigned n = 1; n <= LPM_BURST_MAX; n++) {
		uint8_t *addrs = raw + n % sizeof(uint32_t);
		uint16_t *out = room + n % 32;

		first = (first + n) % (PROBES - LPM_BURST_MAX);
		memcpy(addrs, d->probes + first, n * sizeof(uint32_t));
		for (unsigned i = 0; i < n + 2; i++)
			out[i] = GUARD;
		table->lookup_burst(table, addrs, out + 1, n);
		expect_burst(d, first, out, n, name);
		for (unsigned i = 0; i < n + 2; i++)
			out[i] = GUARD;
		lpm4_lookup_burst(table, (const uint32_t *)(const void *)addrs, out + 1, n);
		expect_burst(d, first, out, n, "lpm4_lookup_burst");
	}
}

Test(lpm_lpm4_burst, variants_equal_the_model, .timeout = 120)
{
	static struct dense dense;

	for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
		struct lpm4 *table = NULL;

		make_dense(&dense, widths[i].verdicts, i + 1);
		cr_assert_eq(lpm4_build(dense.routes, dense.count, NULL, &table), 0);
		cr_assert_eq(table->width_log2, widths[i].width_log2,
			     "%u verdicts: expected width %u, got %u", widths[i].verdicts,
			     1U << widths[i].width_log2, 1U << table->width_log2);
		cr_assert_gt(table->group_count, 1); /* at both ends at least */
		for (unsigned variant = 0; variant < LPM4_VARIANTS; variant++) {
			if (lpm4_choose(table, (enum lpm4_variant)variant))
				try_variant(&dense, table, variant_names[variant]);
			else
				cr_log_warn("this processor has no %s", variant_names[variant]);
		}
		for (size_t k = 0; k < PROBES; k++)
			cr_assert_eq(lpm4_lookup(table, dense.probes[k]), dense.expected[k], "%08x",
				     dense.probes[k]);
		lpm4_destroy(table);
	}
}

/* What the processor has is used, without being asked for. */
Test(lpm_lpm4_burst, the_best_is_chosen)
{
	unsigned features = cpu_features();
	struct lpm4 *table = NULL;
	lpm4_burst_fn *expected;

	cr_assert_eq(lpm4_build(NULL, 0, NULL, &table), 0);
	if ((features & CPU_AVX512) != 0)
		expected = lpm4_burst_avx512(table->width_log2);
	else if ((features & CPU_AVX2) != 0)
		expected = lpm4_burst_avx2(table->width_log2);
	else
		expected = lpm4_burst_scalar(table->width_log2);
	cr_expect(table->lookup_burst == expected, "features %x", features);
	lpm4_destroy(table);
}

/* Runs of whole /24s that start and end at every place of a word. */
Test(lpm_lpm4_burst, runs_of_blocks_at_every_place, .timeout = 60)
{
	for (unsigned verdicts = 2; verdicts <= 14; verdicts += 12) {
		for (uint32_t begin = 0; begin < 40; begin++) {
			struct lpm4_route routes[40];
			struct lpm4 *table = NULL;
			size_t n = 0;

			/* One or two /24s of a verdict each, with holes between. */
			for (uint32_t block = begin; n < 40; block += 1 + n % 3, n++)
				routes[n] = (struct lpm4_route){block << 8, 24,
								(uint16_t)(1 + n / 2 % verdicts)};
			cr_assert_eq(lpm4_build(routes, n, NULL, &table), 0);
			for (uint32_t block = 0; block < 128; block++) {
				uint16_t expected = lpm_model_lookup4(routes, n, block << 8 | 77);
				uint16_t got = lpm4_lookup(table, block << 8 | 77);

				cr_assert_eq(got, expected,
					     "from %u, block %u: expected %u, got %u", begin, block,
					     expected, got);
			}
			lpm4_destroy(table);
		}
	}
}
