/* The cover is greedy: the largest aligned block that fits, again and again. */
#include "lpm/range.h"

#include "lpm/addr6.h"

/* The host bits of the largest block that may start at an address: its trailing zeros. */
static unsigned bits_aligned(struct addr6 addr)
{
	if (addr.lo != 0)
		return (unsigned)__builtin_ctzll(addr.lo);
	return addr.hi != 0 ? 64 + (unsigned)__builtin_ctzll(addr.hi) : 128;
}

/* The host bits of the largest block that is not longer than the range. */
static unsigned bits_fitting(const struct range *range)
{
	struct addr6 count = addr6_next(addr6_subtract(range->last, range->first));

	if (count.hi != 0)
		return 127 - (unsigned)__builtin_clzll(count.hi);
	return count.lo != 0 ? 63 - (unsigned)__builtin_clzll(count.lo) : 128;
}

bool range_cut(struct range *range, struct addr6 *addr, uint8_t *len)
{
	unsigned aligned = bits_aligned(range->first);
	unsigned fitting = bits_fitting(range);
	struct addr6 end;

	*addr = range->first;
	*len = (uint8_t)(128 - (aligned < fitting ? aligned : fitting));
	end = addr6_last(*addr, *len);
	range->first = addr6_next(end);
	return !addr6_equal(end, range->last);
}
