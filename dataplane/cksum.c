/* See cksum.h. Sums are taken modulo 0xffff, where 64-, 32- and 16-bit words all count alike. */
#include "dataplane/cksum.h"

#include <arpa/inet.h>
#include <string.h>

/*
 * The sum of the last bytes, fewer than 8. No words are put together in memory: reading them back
 * in another size than they were written in would stall.
 */
static uint64_t add_tail(const uint8_t *at, size_t size)
{
	uint64_t sum = 0;
	uint32_t word;
	uint16_t half;

	if (size & 4) {
		memcpy(&word, at, sizeof(word));
		sum += word;
		at += sizeof(word);
	}
	if (size & 2) {
		memcpy(&half, at, sizeof(half));
		sum += half;
		at += sizeof(half);
	}
	if (size & 1)
		sum += htons((uint16_t)(*at << 8));
	return sum;
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
	return cksum_carry(sum, even + odd + add_tail(at + 8 * words, size % 8));
}

uint64_t cksum_copy(uint64_t sum, void *to, const void *from, size_t size)
{
	const uint8_t *at = from;
	uint8_t *out = to;
	size_t words = size / 8;
	uint64_t even = 0;
	uint64_t odd = 0;
	uint64_t word;

	for (size_t i = 0; i < words; i++) {
		memcpy(&word, at + 8 * i, sizeof(word));
		memcpy(out + 8 * i, &word, sizeof(word));
		even += word & UINT32_MAX;
		odd += word >> 32;
	}
	memcpy(out + 8 * words, at + 8 * words, size % 8);
	return cksum_carry(sum, even + odd + add_tail(at + 8 * words, size % 8));
}

uint64_t cksum_pseudo(uint8_t version, const uint8_t *src, const uint8_t *dst, uint8_t proto,
		      uint32_t length)
{
	size_t size = version == 4 ? 4 : 16;
	uint64_t sum;

	/* The layout of version 6; that of version 4 has the same words, less some zeros. */
	sum = cksum_add(htonl(length), src, size);
	sum = cksum_add(sum, dst, size);
	return cksum_carry(sum, htonl(proto));
}

uint64_t cksum_delta(const void *old_bytes, const void *new_bytes, size_t size)
{
	uint16_t old_sum = cksum_fold(cksum_add(0, old_bytes, size));

	return cksum_add((uint16_t)~old_sum, new_bytes, size);
}
