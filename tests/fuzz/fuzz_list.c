/* list_parse: what it takes is sorted, unique and masked; what it refuses has a place. */
#include <errno.h>

#include "lpm/addr6.h"
#include "lpm/list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (unsigned flags = 0; flags <= LIST_SKIP_BAD; flags++) {
		struct list_error err = {0};
		struct list *l = NULL;
		int rc = list_parse("f", "f", (const char *)data, size, flags, &l, &err);

		check(rc == 0 || (rc == -EINVAL && flags == 0 && err.line > 0 && err.column > 0));
		for (size_t i = 0; rc == 0 && i < l->count4; i++) {
			const struct list4_entry *e = &l->v4[i], *b = i > 0 ? e - 1 : NULL;

			check(e->len <= 32 && (e->addr & ~mask4(e->len)) == 0 && e->line > 0);
			check(!b || b->addr < e->addr || (b->addr == e->addr && b->len < e->len));
		}
		for (size_t i = 0; rc == 0 && i < l->count6; i++) {
			const struct list6_entry *e = &l->v6[i], *b = i > 0 ? e - 1 : NULL;
			struct addr6 host = addr6_host_mask(e->len);

			check(e->len <= 128 && !(e->addr.hi & host.hi) && !(e->addr.lo & host.lo));
			check(!b || addr6_less(b->addr, e->addr) ||
			      (addr6_equal(b->addr, e->addr) && b->len < e->len));
		}
		list_unref(l);
	}
	return 0;
}
