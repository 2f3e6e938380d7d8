/*
 * Included by force where clang-tidy reads a file, and nowhere else: who looks at errno sees that
 * a call has failed. The analyzer thinks that "return -errno" may be 0 otherwise, and then that the
 * caller may go on with results that were never written. It follows numbers, not their signs.
 */
#ifndef TESTS_TIDY_ANALYZED_ERRNO_H
#define TESTS_TIDY_ANALYZED_ERRNO_H

#include <errno.h>

int analyzed_choice(void);

static inline int *analyzed_errno(void)
{
	int *e = &errno;

	switch (analyzed_choice()) {
	case 0:
		*e = EINTR;
		break;
	case 1:
		*e = EAGAIN;
		break;
	default:
		*e = EINVAL;
	}
	return e;
}

#undef errno
#define errno (*analyzed_errno())

#endif
