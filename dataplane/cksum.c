/* See cksum.h. Sums are taken modulo 0xffff, where 64-, 32- and 16-bit words all count alike. */
#include "dataplane/cksum.h"

#include <string.h>

#include "dataplane/wire.h"

/* One's complement addition: a carry out of the top counts as one. */
static uint64_t add_carry(uint64_t a, uint64_t b)
{
	uint64_t sum = a + b;

	return sum + (sum < a);
}

/* The last bytes of data, fewer than 8, as a word padded with zero. */
static uint64_t load_tail(const uint8_t *at, size_t size)
{
	uint8_t word[8] = {0};
	uint64_t value;
	size_t done = 0;

	if (size & 4) {
		memcpy(word, at, 4);
		done = 4;
	}
	if (size & 2) {
		memcpy(word + done, at + done, 2);
		done += 2;
	}
	if (size & 1)
		word[done] = at[done];
	memcpy(&value, word, sizeof(value));
	return value;
}

uint64_t cksum_add(uint64_t sum, const void *data, size_t size)
{
	const uint8_t *at = data;
	size_t words = size / 8;
	uint64_t even = 0;
	uint64_t odd = 0;
	uint64_t word;

	/* Two sums of 32-bit halves need no carries: a countable loop that compilers vectorise. */
	for (size_t i = 0; i < words; i++) {
		memcpy(&word, at + 8 * i, sizeof(word));
		even += word & UINT32_MAX;
		odd += word >> 32;
	}
	sum = add_carry(sum, even + odd);
	if (size % 8 != 0)
		sum = add_carry(sum, load_tail(at + 8 * words, size % 8));
	return sum;
}

uint16_t cksum_fold(uint64_t sum)
{
	sum = (sum >> 32) + (sum & UINT32_MAX);
	sum = (sum >> 32) + (sum & UINT32_MAX);
	sum = (sum >> 16) + (sum & UINT16_MAX);
	sum = (sum >> 16) + (sum & UINT16_MAX);
	return (uint16_t)sum;
}

uint64_t cksum_pseudo(uint8_t version, const uint8_t *src, const uint8_t *dst, uint8_t proto,
		      uint32_t length)
{
	size_t size = version == 4 ? 4 : 16;
	uint8_t rest[8] = {0};
	uint64_t sum;

	/* The layout of version 6; that of version 4 has the same words, less some zeros. */
	wire_put32(rest, length);
	rest[7] = proto;
	sum = cksum_add(0, src, size);
	sum = cksum_add(sum, dst, size);
	return cksum_add(sum, rest, sizeof(rest));
}

uint64_t cksum_delta(const void *old_bytes, const void *new_bytes, size_t size)
{
	uint16_t old_sum = cksum_fold(cksum_add(0, old_bytes, size));

	return cksum_add((uint16_t)~old_sum, new_bytes, size);
}

uint16_t cksum_update(uint16_t field, uint64_t delta)
{
	return (uint16_t)~cksum_fold(add_carry((uint16_t)~field, delta));
}

uint16_t cksum_update_partial(uint16_t field, uint64_t delta)
{
	return cksum_fold(add_carry(field, delta));
}
