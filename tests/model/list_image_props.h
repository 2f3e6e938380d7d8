/* What holds for every image that is read, whatever its bytes: for unit tests and fuzzing. */
#ifndef SLUICE_TESTS_MODEL_LIST_IMAGE_PROPS_H
#define SLUICE_TESTS_MODEL_LIST_IMAGE_PROPS_H

#include <stddef.h>
#include <stdint.h>

#include "lpm/list.h"

/* The image in new memory, the caller's. */
uint8_t *list_image_props_write(const struct list *list, size_t *size);

/* As list_image_read, of bytes in memory. */
int list_image_props_read(const uint8_t *bytes, size_t size, struct list **out);

/*
 * Read bytes as an image. What is taken must be a list as the parser makes them, and its image must
 * be the same bytes.
 *
 * Returns what is wrong, or NULL
 */
const char *list_image_props_check(const uint8_t *bytes, size_t size);

#endif
