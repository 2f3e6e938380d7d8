#include "tests/model/list_image_props.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lpm/list_image.h"

struct memory {
	uint8_t *bytes;
	size_t at;
	size_t size;
};

static int put(void *context, const void *bytes, size_t size)
{
	struct memory *memory = context;

	if (size > memory->size - memory->at)
		return -ENOSPC;
	memcpy(memory->bytes + memory->at, bytes, size);
	memory->at += size;
	return 0;
}

static int get(void *context, void *bytes, size_t size)
{
	struct memory *memory = context;

	if (size > memory->size - memory->at)
		return -EIO;
	memcpy(bytes, memory->bytes + memory->at, size);
	memory->at += size;
	return 0;
}

uint8_t *list_image_props_write(const struct list *list, size_t *size)
{
	struct memory memory = {.size = (size_t)list_image_size(list)};

	memory.bytes = malloc(memory.size);
	if (memory.bytes == NULL || list_image_write(list, put, &memory) != 0 ||
	    memory.at != memory.size)
		abort();
	*size = memory.size;
	return memory.bytes;
}

int list_image_props_read(const uint8_t *bytes, size_t size, struct list **out)
{
	struct memory memory = {.bytes = (uint8_t *)bytes, .size = size};
	int rc = list_image_read("name", "file", size, get, &memory, out);

	return rc == 0 && memory.at != size ? -EIO : rc;
}

/* Bit by bit, unlike the reader. */
static bool host_bits_zero(const struct addr *addr, unsigned len)
{
	uint8_t bytes[16];

	addr_to_bytes(addr, bytes);
	for (unsigned bit = len; bit < (addr->version == 4 ? 32U : 128U); bit++) {
		if ((bytes[bit / 8] >> (7 - bit % 8) & 1) != 0)
			return false;
	}
	return true;
}

static int compare(const struct prefix *a, const struct prefix *b)
{
	uint8_t x[17] = {0}, y[17] = {0};

	addr_to_bytes(&a->addr, x);
	addr_to_bytes(&b->addr, y);
	x[16] = a->len;
	y[16] = b->len;
	return memcmp(x, y, sizeof(x));
}

static const char *check_entries(const struct list *list, uint8_t version)
{
	size_t count = version == 4 ? list->count4 : list->count6;
	struct prefix last = {0};

	for (size_t i = 0; i < count; i++) {
		struct prefix prefix = {.addr.version = version};
		uint32_t line;

		if (version == 4) {
			prefix.addr.v4 = list->v4[i].addr;
			prefix.len = list->v4[i].len;
			line = list->v4[i].line;
		} else {
			prefix.addr.v6 = list->v6[i].addr;
			prefix.len = list->v6[i].len;
			line = list->v6[i].line;
		}
		if (prefix.len > (version == 4 ? 32 : 128))
			return "length";
		if (!host_bits_zero(&prefix.addr, prefix.len))
			return "host bits";
		if (line == 0 || line > list->counts.lines)
			return "line";
		if (i > 0 && compare(&last, &prefix) >= 0)
			return "order";
		last = prefix;
	}
	return NULL;
}

const char *list_image_props_check(const uint8_t *bytes, size_t size)
{
	struct list *list = NULL;
	const char *wrong;
	uint8_t *again;
	size_t again_size;

	if (list_image_props_read(bytes, size, &list) != 0)
		return list != NULL ? "a list in spite of an error" : NULL;
	wrong = check_entries(list, 4);
	if (wrong == NULL)
		wrong = check_entries(list, 6);
	again = list_image_props_write(list, &again_size);
	if (wrong == NULL && (again_size != size || memcmp(again, bytes, size) != 0))
		wrong = "its image differs";
	free(again);
	list_unref(list);
	return wrong;
}
