/* The last step of list_parse. Used inside lpm/ only. */
#ifndef SLUICE_LPM_LIST_SORT_H
#define SLUICE_LPM_LIST_SORT_H

#include "lpm/list.h"

/*
 * Sort a list's entries by (addr, len), keep the first line of each prefix and count duplicates,
 * covered and aggregated prefixes. Entries come in the order of the text.
 *
 * Errors: -ENOMEM
 */
int list_sort(struct list *list);

#endif
