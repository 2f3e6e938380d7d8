/*
 * A list as bytes and back, much sooner read than its text. What an image holds, in the byte order
 * of the machine that wrote it:
 *
 *     8   "sluiceL" and a zero byte
 *     4   version of this layout
 *     4   0x01020304, for the byte order
 *     80  count4, count6, then each of struct list_counts: 64 bits each
 *     9   for each IPv4 prefix: address, line, 32 bits each, and length, 8 bits
 *     21  for each IPv6 prefix: address, high half first, 64 bits each, line, and length
 *
 * One list has one image: there is no padding, and nothing that its text does not decide.
 */
#ifndef SLUICE_LPM_LIST_IMAGE_H
#define SLUICE_LPM_LIST_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "lpm/list.h"

/* Put size bytes somewhere, or get them from there, all of them. 0 or -errno. */
typedef int list_image_put(void *context, const void *bytes, size_t size);
typedef int list_image_get(void *context, void *bytes, size_t size);

/* How many bytes list_image_write will put. */
uint64_t list_image_size(const struct list *list);

/* Put the image, piece by piece. Errors: those of put, which is not called again after one */
int list_image_write(const struct list *list, list_image_put *put, void *context);

/*
 * Make a list of an image, which may hold anything.
 *
 * name, file: copied; an image has none
 * size:       of the image; no more is asked of get, and no more memory taken than it accounts for
 * out:        a list with one reference, the caller's; the very list that list_parse made
 * Errors:     -EINVAL (no such list can be: damaged, another version, another byte order),
 *             -ENOMEM, those of get; *out is then untouched
 */
int list_image_read(const char *name, const char *file, uint64_t size, list_image_get *get,
		    void *context, struct list **out);

#endif
