#include "ctl/nearest.h"

#include <ctype.h>
#include <string.h>

static unsigned min(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static int lower(const char *text, size_t i)
{
	return tolower((unsigned char)text[i]);
}

/* Optimal string alignment; three rows of the matrix are enough to see a swap. */
unsigned nearest_distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
	unsigned rows[3][NEAREST_WORD_MAX + 1];

	for (size_t j = 0; j <= b_size; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= a_size; i++) {
		unsigned *row = rows[i % 3];
		const unsigned *above = rows[(i + 2) % 3];
		const unsigned *above2 = rows[(i + 1) % 3];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_size; j++) {
			unsigned change = lower(a, i - 1) != lower(b, j - 1);

			row[j] = min(min(row[j - 1], above[j]) + 1, above[j - 1] + change);
			if (i > 1 && j > 1 && lower(a, i - 1) == lower(b, j - 2) &&
			    lower(a, i - 2) == lower(b, j - 1))
				row[j] = min(row[j], above2[j - 2] + 1);
		}
	}
	return rows[a_size % 3][b_size];
}

void nearest_try(struct nearest *nearest, const char *name)
{
	size_t size = strlen(name);
	unsigned enough = 1 + (unsigned)nearest->size / 4;
	unsigned distance;

	if (nearest->size == 0 || nearest->size > NEAREST_WORD_MAX || size > NEAREST_WORD_MAX)
		return;
	distance = nearest_distance(nearest->word, nearest->size, name, size);
	/* Where every letter differs, the names have only their shortness in common. */
	if (distance > enough || distance >= size || distance >= nearest->size)
		return;
	if (nearest->best == NULL || distance < nearest->distance) {
		nearest->best = name;
		nearest->distance = distance;
	}
}
