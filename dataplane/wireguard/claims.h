/*
 * Which peer has which allowed prefix: the device's own book, of which the workers' tables
 * (struct wg_allowed) are made. A prefix has one owner; each owner's are in the order in which they
 * came. Owners are numbers of peers.
 */
#ifndef SLUICE_DATAPLANE_WIREGUARD_CLAIMS_H
#define SLUICE_DATAPLANE_WIREGUARD_CLAIMS_H

#include <stddef.h>
#include <stdint.h>

#include "dataplane/wireguard/peer.h"
#include "lpm/prefix.h"

struct claims;

/*
 * Copy a book, with room for more.
 *
 * from:   NULL: an empty one
 * extra:  how many may be added to the copy
 * Errors: -ENOMEM
 */
int claims_copy(const struct claims *from, size_t extra, struct claims **out);
void claims_destroy(struct claims *claims); /* NULL does nothing */

/* Give a prefix to an owner, whoever had it; there must be room. */
void claims_set(struct claims *claims, const struct prefix *prefix, uint16_t owner);

/* Take a prefix from an owner; nothing happens if it is not its. */
void claims_unset(struct claims *claims, const struct prefix *prefix, uint16_t owner);

/* Take all from an owner. */
void claims_clear(struct claims *claims, uint16_t owner);

size_t claims_count(const struct claims *claims, uint16_t owner);

/* Write an owner's prefixes; out has room for claims_count. */
void claims_list(const struct claims *claims, uint16_t owner, struct prefix *out);

/*
 * Make the tables of a book, without peers.
 *
 * out:    the caller's, until wg_allowed_destroy
 * Errors: -ENOMEM
 */
int claims_build(const struct claims *claims, struct wg_allowed **out);
void wg_allowed_destroy(struct wg_allowed *allowed); /* NULL does nothing; no reader is left */

#endif
