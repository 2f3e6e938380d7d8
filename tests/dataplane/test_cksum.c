/* dataplane/cksum.h against a model that goes byte by byte. */
#include "dataplane/cksum.h"

#include <criterion/criterion.h>

#include <string.h>

#include "tests/model/packets.h"

TestSuite(dataplane_cksum);

/* The one's complement sum of 16-bit words in network order, each carry added at once. */
static uint16_t model_sum(uint16_t sum, const uint8_t *at, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		uint32_t next = sum + (i % 2 == 0 ? (uint32_t)at[i] << 8 : at[i]);

		sum = (uint16_t)(next > 0xffff ? next - 0xffff : next);
	}
	return sum;
}

/* A folded sum of cksum.h, in network order. */
static uint16_t value(uint16_t field)
{
	uint8_t bytes[2];

	memcpy(bytes, &field, sizeof(bytes));
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static uint16_t field(uint16_t value_to_store)
{
	uint8_t bytes[2] = {(uint8_t)(value_to_store >> 8), (uint8_t)value_to_store};
	uint16_t out;

	memcpy(&out, bytes, sizeof(out));
	return out;
}

static void fill(uint8_t *out, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size; i++)
		out[i] = (uint8_t)(packets_rand(&seed) >> 40);
}

Test(dataplane_cksum, known_answers)
{
	static const uint8_t zeros[64];
	static const struct {
		const char *name;
		uint8_t bytes[20];
		size_t size;
		uint16_t want;
	} cases[] = {
		{"nothing", {0}, 0, 0},
		{"RFC 1071, section 3", {0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7}, 8, 0xddf2},
		{"odd byte", {0x12, 0x34, 0x56}, 3, 0x6834},
		{"carry of a carry", {0xff, 0xff, 0, 1}, 4, 1},
		{"all ones stay the sum's other zero", {0xff, 0xff, 0xff, 0xff}, 4, 0xffff},
		{"an IPv4 header with its checksum",
		 {0x45, 0,    0,    0x73, 0, 0, 0x40, 0,    0x40, 0x11,
		  0xb8, 0x61, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0,    0xc7},
		 20,
		 0xffff},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint16_t got = value(cksum_fold(cksum_add(0, cases[i].bytes, cases[i].size)));

		cr_expect(got == cases[i].want, "%s: want %04x, got %04x", cases[i].name,
			  cases[i].want, got);
	}
	cr_expect(cksum_fold(cksum_add(0, zeros, sizeof(zeros))) == 0);
}

Test(dataplane_cksum, add_equals_model_at_all_alignments_and_sizes)
{
	static uint8_t bytes[65600];

	fill(bytes, sizeof(bytes), 7);
	for (size_t from = 0; from < 16; from++) {
		for (size_t size = 0; size <= 300; size++) {
			uint16_t want = model_sum(0, bytes + from, size);
			uint16_t got = value(cksum_fold(cksum_add(0, bytes + from, size)));

			cr_assert(got == want, "from %zu size %zu: want %04x, got %04x", from, size,
				  want, got);
		}
	}
	for (size_t size = 65500; size <= 65584; size++) {
		uint16_t want = model_sum(0, bytes + 3, size);
		uint16_t got = value(cksum_fold(cksum_add(0, bytes + 3, size)));

		cr_assert(got == want, "size %zu: want %04x, got %04x", size, want, got);
	}
}

Test(dataplane_cksum, sums_add_up_even_at_the_brim)
{
	static uint8_t ones[65536];
	static const uint64_t starts[] = {0, 1, 0xffff, UINT32_MAX, UINT64_MAX - 1, UINT64_MAX};

	memset(ones, 0xff, sizeof(ones));
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		for (size_t size = 0; size <= sizeof(ones); size += 4095) {
			/* Modulo 0xffff the words of ones are nothing, an odd byte is 0xff00. */
			uint16_t odd = size % 2 ? field(0xff00) : 0;
			uint16_t want = (uint16_t)((starts[i] % 0xffff + odd) % 0xffff);
			uint16_t got = cksum_fold(cksum_add(starts[i], ones, size)) % 0xffff;

			cr_assert(got == want, "start %#lx size %zu: want %04x, got %04x",
				  (unsigned long)starts[i], size, want, got);
		}
	}
}

Test(dataplane_cksum, pseudo_header)
{
	static const uint8_t src[16] = {0x20, 1, 0xd, 0xb8, [15] = 1};
	static const uint8_t dst[16] = {0xfe, 0x80, [14] = 0xff, [15] = 0xfe};
	static const struct {
		uint8_t version;
		uint8_t proto;
		uint32_t length;
	} cases[] = {{4, 6, 20}, {4, 17, 65535}, {6, 17, 8}, {6, 6, 65535}, {6, 58, 70000}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t size = cases[i].version == 4 ? 4 : 16;
		uint8_t bytes[40] = {0};
		uint16_t want, got;

		memcpy(bytes, src, size);
		memcpy(bytes + size, dst, size);
		if (cases[i].version == 4) { /* RFC 793: zero, protocol, length */
			bytes[9] = cases[i].proto;
			bytes[10] = (uint8_t)(cases[i].length >> 8);
			bytes[11] = (uint8_t)cases[i].length;
		} else { /* RFC 8200, section 8.1: length, zero, next header */
			bytes[33] = (uint8_t)(cases[i].length >> 16);
			bytes[34] = (uint8_t)(cases[i].length >> 8);
			bytes[35] = (uint8_t)cases[i].length;
			bytes[39] = cases[i].proto;
		}
		want = model_sum(0, bytes, cases[i].version == 4 ? 12 : 40);
		got = value(cksum_fold(
			cksum_pseudo(cases[i].version, src, dst, cases[i].proto, cases[i].length)));
		cr_expect(got == want, "case %zu: want %04x, got %04x", i, want, got);
	}
}

Test(dataplane_cksum, update_as_rfc_1624_says)
{
	/* Section 4: equation 2 would have made 0xffff of it. */
	static const uint8_t before[2] = {0x55, 0x55};
	static const uint8_t after[2] = {0x32, 0x85};
	uint16_t got = value(cksum_update(field(0xdd2f), cksum_delta(before, after, 2)));

	cr_expect(got == 0, "want 0000, got %04x", got);
}

Test(dataplane_cksum, update_equals_computing_anew)
{
	uint64_t seed = 99;
	uint8_t bytes[64];
	uint8_t parts[16];

	for (unsigned i = 0; i < 100000; i++) {
		size_t size = 2 + 2 * (i % 8);
		size_t at = 2 * (packets_rand(&seed) % 20);
		uint16_t old_sum, want, got, partial;
		uint64_t delta;

		fill(bytes, sizeof(bytes), i + 1);
		if (i % 3 == 0) /* sparse data meets the two zeros more often */
			memset(bytes, i % 2 ? 0xff : 0, sizeof(bytes) - 2);
		fill(parts, sizeof(parts), 2 * i + 1);
		if (i % 5 == 0)
			memset(parts, i % 2 ? 0 : 0xff, sizeof(parts));
		old_sum = cksum_fold(cksum_add(0, bytes, sizeof(bytes)));
		delta = cksum_delta(bytes + at, parts, size);
		memcpy(bytes + at, parts, size);
		want = cksum_fold(cksum_add(0, bytes, sizeof(bytes)));
		if (old_sum == 0)
			continue; /* no packet is all zero */
		got = (uint16_t)~cksum_update((uint16_t)~old_sum, delta);
		partial = cksum_update_partial(old_sum, delta);
		cr_assert(want == 0 ? got == 0xffff : got == want, "%u: want %04x, got %04x", i,
			  want, got);
		cr_assert(partial == got, "%u: complete %04x, partial %04x", i, got, partial);
	}
}
