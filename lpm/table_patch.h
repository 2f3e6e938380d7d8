/*
 * Patches: what an edit of one list changes in a table, found and done at a cost in proportion to
 * the edit.
 *
 * Two tables are used in turn. The published one is never written; a patch is applied to the memory
 * of the other one, the spare, which is published then; when nobody reads the first one any more,
 * the patch is replayed on it and it is the next spare.
 */
#ifndef SLUICE_LPM_TABLE_PATCH_H
#define SLUICE_LPM_TABLE_PATCH_H

#include <stdbool.h>

#include "lpm/list_edit.h"
#include "lpm/table.h"

struct table_patch;

/*
 * Find what changes when a list is edited.
 *
 * table:   stays as it is
 * from:    the list as its rules have it; to, changed: as list_edit made them of it
 * out:     the caller's, until table_patch_destroy; it keeps nothing of what it was made from but
 *          references to lists
 * Errors:  -ENOMEM
 */
int table_patch_create(const struct table *table, const struct list *from, struct list *to,
		       const struct list *changed, struct table_patch **out);

void table_patch_destroy(struct table_patch *patch); /* NULL does nothing */

/*
 * Make the table that table_build would make of the lists as they are now.
 *
 * table:      the one that the patch was made for; stays as it is
 * spare:      a stripped table whose memory is used; taken, whatever happens; NULL if there is none
 * replayable: whether spare says what table says; set to whether the patch, replayed on table,
 *             makes it say what *out says
 * Errors:     -ENOMEM; *out is then untouched
 */
int table_patch_apply(const struct table_patch *patch, const struct table *table,
		      uint32_t generation, struct table *spare, bool *replayable,
		      struct table **out);

/*
 * Bring the stripped table up to date which the patch was made for.
 *
 * Errors: -ENOMEM, -ENOSPC; it is then good for its memory only
 */
int table_patch_replay(const struct table_patch *patch, struct table *spare);

#endif
