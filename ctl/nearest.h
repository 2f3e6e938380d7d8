/* The known name that somebody probably meant. */
#ifndef SLUICE_CTL_NEAREST_H
#define SLUICE_CTL_NEAREST_H

#include <stddef.h>

enum {
	NEAREST_WORD_MAX = 32, /* longer words are near to nothing */
};

/*
 * How many letters must be put in, left out, changed or swapped with their neighbour to make one
 * word of the other, whatever their case. Both at most NEAREST_WORD_MAX long.
 */
unsigned nearest_distance(const char *a, size_t a_size, const char *b, size_t b_size);

/*
 * Search names one by one: start with best NULL and distance 0, give every name, and best is the
 * nearest of those that are near enough to be worth a question.
 */
struct nearest {
	const char *word; /* not terminated */
	size_t size;
	const char *best; /* one of the names given, or NULL */
	unsigned distance;
};

void nearest_try(struct nearest *nearest, const char *name);

#endif
