/*
 * Edits: a list from another one and a few prefixes that come or go, at a cost in proportion to
 * those and to the edits before.
 *
 * The new list shares the entries of the old one and has the differences in an array beside them.
 * When that array is past max(1024, an entry in 256) it is merged into entries of the list's own,
 * so that an edit costs the same on average, however long the list.
 */
#ifndef SLUICE_LPM_LIST_EDIT_H
#define SLUICE_LPM_LIST_EDIT_H

#include "lpm/list.h"

enum list_edit {
	LIST_ADD,    /* those that the list has already stay as they are */
	LIST_REMOVE, /* the list must have them all */
};

enum {
	LIST_EDITS_MIN = 1024, /* edits that are never too many */
	LIST_EDITS_SHARE = 256,
};

/*
 * Make a list that differs from another by the prefixes of a change.
 *
 * list:    stays as it is; the new one may hold a reference to it
 * change:  read for its prefixes alone
 * out:     one reference, the caller's. Its prefixes that were added have LIST_LINE_ADDED.
 * changed: one reference, the caller's: the prefixes that made a difference
 * missing: set to the first prefix that was to be removed and is not there, for -ENOENT
 * Errors:  -ENOENT, -ENOMEM; out and changed are then untouched
 */
int list_edit(struct list *list, const struct list *change, enum list_edit edit, struct list **out,
	      struct list **changed, struct prefix *missing);

/*
 * Make the same list with all of its prefixes in v4 and v6, and no edits. No reference is counted
 * but the new one's, so any thread may call as long as the list stays.
 *
 * out:    one reference, the caller's
 * Errors: -ENOMEM
 */
int list_settle(const struct list *list, struct list **out);

#endif
