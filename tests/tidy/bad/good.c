/* tidy: dataplane/own.c: */
#include "dataplane/own.h"

#include <stdio.h>

#include "lpm/lpm.h"
#include "tun/tun.h"

#define MANY                                                                                       \
	static int n;

typedef int (*compare)(const void *a, const void *b);

struct forward;

enum { LIMIT = 1 << 4 };

static const unsigned char table[] __attribute__((aligned(64))) = { 1, 2, 3 };
static const struct pair {
	int x, y;
} pairs[] = { { 1, 2 } };
static const compare order = NULL;
static_assert(LIMIT == 16, "");

extern const char version[];

static inline int first(const char *text, int n);

/* [good-1] the store is seen before what [good-2] loads */
static inline int __attribute__((noinline)) first(const char *text, int n)
{
	int x[] = { 1, 2 };

	if (n > 0) {
		snprintf((char *)x, sizeof x, "strcpy(%s) malloc(1)", text);
	}
	return table[0] + x[0];
}

/* [good-2] */
int own_second(void)
{
	return 'a' + '"' + pairs[0].x;
}
