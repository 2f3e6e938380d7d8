/*
 * What dataplane/nat.h promises, as a list of all mappings that ever were: searched from end to
 * end. The model does not choose ports: it says whether a choice was allowed.
 */
#ifndef SLUICE_TESTS_MODEL_NAT_MODEL_H
#define SLUICE_TESTS_MODEL_NAT_MODEL_H

#include "dataplane/nat.h"

struct nat_model;

struct nat_model *nat_model_create(uint16_t port_first, unsigned count, const uint16_t *busy,
				   size_t busy_count);
void nat_model_destroy(struct nat_model *model);

/*
 * An endpoint was given a mapping: index and what nat_at says of it (NULL for index 0).
 *
 * Returns: NULL, or the promise that this breaks
 */
const char *nat_model_acquire(struct nat_model *model, const struct flow_key *key, uint32_t index,
			      const struct nat_map *map, uint64_t now_ms);

void nat_model_release(struct nat_model *model, uint32_t index, uint64_t now_ms);

/* Live mappings, and the nth of them. */
size_t nat_model_live(const struct nat_model *model);
uint32_t nat_model_live_index(const struct nat_model *model, size_t n);

/* Index of the live mapping behind an outer port, or 0. */
uint32_t nat_model_outer(const struct nat_model *model, uint8_t version, uint8_t proto,
			 uint16_t port);

/* References to a mapping. */
uint32_t nat_model_flows(const struct nat_model *model, uint32_t index);

#endif
