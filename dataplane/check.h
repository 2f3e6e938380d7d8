/* Invariants behind the trust edges: checked in release too, fatal when broken. */
#ifndef SLUICE_DATAPLANE_CHECK_H
#define SLUICE_DATAPLANE_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (__builtin_expect(!(condition), 0)) {                                           \
			fprintf(stderr, "%s:%d: broken invariant: %s\n", __FILE__, __LINE__,       \
				#condition);                                                       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#endif
