#include "lpm/lpm6_lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lpm/pages.h"

enum {
	ROOT_BYTES = LPM6_ROOT * sizeof(uint32_t),
	HUGE_FROM = 1 << 20, /* bytes; smaller tables would waste most of a huge page */
	LOOSE_FROM = 4096,   /* lines; below, nobody minds free ones */
};

/* Map memory for as many lines at least; more, if it is rounded up. */
static uint8_t *map_lines(size_t lines, size_t *mapped)
{
	size_t size;

	if (lines > SIZE_MAX / LPM6_LINE_BYTES / 2)
		return NULL;
	size = ROOT_BYTES + lines * LPM6_LINE_BYTES;
	*mapped = pages_round(size);
	return pages_map(*mapped, size >= HUGE_FROM);
}

static void use_memory(struct lpm6 *table, uint8_t *memory, size_t mapped)
{
	size_t room = (mapped - ROOT_BYTES) / LPM6_LINE_BYTES;

	table->memory = memory;
	table->mapped = mapped;
	table->root = (uint32_t *)(void *)memory;
	table->lines = (union lpm6_line *)(void *)(memory + ROOT_BYTES);
	table->line_room = (uint32_t)(room < 1U << LPM6_LINE_BITS ? room : 1U << LPM6_LINE_BITS);
}

static void init_line0(union lpm6_line *line)
{
	memset(line, 0, sizeof(*line)); /* base 0 */
	for (unsigned i = 0; i < LPM6_FANOUT - 1; i++)
		line->index.keys[i] = LPM6_UNUSED;
}

int lpm6_lines_create(struct lpm6 *spare, size_t lines, struct lpm6 **out)
{
	struct lpm6 *table = spare;
	size_t mapped;
	uint8_t *memory;

	if (table == NULL) {
		table = calloc(1, sizeof(*table));
		if (table == NULL)
			return -ENOMEM;
	}
	if (table->memory == NULL || table->line_room < lines) {
		memory = map_lines(lines, &mapped);
		if (memory == NULL) {
			lpm6_destroy(table);
			return -ENOMEM;
		}
		pages_unmap(table->memory, table->mapped);
		use_memory(table, memory, mapped);
	}
	memset(table->free_runs, 0, sizeof(table->free_runs));
	table->free_count = 0;
	table->line_count = 1;
	init_line0(&table->lines[0]);
	*out = table;
	return 0;
}

/* Twice the room. */
static int grow(struct lpm6 *table)
{
	size_t mapped;
	uint8_t *memory;

	if (table->line_room == 1U << LPM6_LINE_BITS)
		return -ENOMEM;
	memory = map_lines((size_t)table->line_room * 2, &mapped);
	if (memory == NULL)
		return -ENOMEM;
	memcpy(memory, table->memory, ROOT_BYTES + (size_t)table->line_count * LPM6_LINE_BYTES);
	pages_unmap(table->memory, table->mapped);
	use_memory(table, memory, mapped);
	return 0;
}

int lpm6_lines_alloc(struct lpm6 *table, unsigned n, uint32_t *line)
{
	for (unsigned length = n; length <= LPM6_FANOUT; length++) {
		uint32_t found = table->free_runs[length];

		if (found == 0)
			continue;
		table->free_runs[length] = table->lines[found].next_free;
		table->free_count -= length;
		if (length > n)
			lpm6_lines_free(table, found + n, length - n);
		*line = found;
		return 0;
	}
	if (table->line_count > LOOSE_FROM && table->free_count > table->line_count / 2)
		return -ENOSPC;
	if (table->line_room - table->line_count < n) {
		int rc = grow(table);

		if (rc != 0)
			return rc;
	}
	*line = table->line_count;
	table->line_count += n;
	return 0;
}

void lpm6_lines_free(struct lpm6 *table, uint32_t line, unsigned n)
{
	table->lines[line].next_free = table->free_runs[n];
	table->free_runs[n] = line;
	table->free_count += n;
}

int lpm6_copy(const struct lpm6 *from, struct lpm6 *spare, struct lpm6 **out)
{
	struct lpm6 *table;
	int rc = lpm6_lines_create(spare, from->line_count, &table);

	if (rc != 0)
		return rc;
	memcpy(table->memory, from->memory,
	       ROOT_BYTES + (size_t)from->line_count * LPM6_LINE_BYTES);
	memcpy(table->free_runs, from->free_runs, sizeof(table->free_runs));
	table->line_count = from->line_count;
	table->free_count = from->free_count;
	table->height = from->height;
	table->lookup_burst = from->lookup_burst;
	*out = table;
	return 0;
}
