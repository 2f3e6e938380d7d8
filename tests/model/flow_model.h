/*
 * What dataplane/flow.h promises, as an unordered list that is searched from end to end.
 *
 * The model does not choose: the test tells it which flows went, and it says whether they might.
 * Times are whole, so that nothing wraps.
 */
#ifndef SLUICE_TESTS_MODEL_FLOW_MODEL_H
#define SLUICE_TESTS_MODEL_FLOW_MODEL_H

#include "dataplane/flow.h"

struct flow_model;

struct flow_model_entry {
	struct flow_key key;
	size_t set;
	uint64_t created_ms;
	uint64_t last_ms;
	uint64_t packets_out, bytes_out, packets_in, bytes_in;
	bool out, in;                       /* packets of that direction */
	bool fin_out, fin_in, rst, ack_out; /* TCP */
};

struct flow_model *flow_model_create(unsigned ways);
void flow_model_destroy(struct flow_model *model);

size_t flow_model_count(const struct flow_model *model);
struct flow_model_entry *flow_model_at(struct flow_model *model, size_t index);

/* The entry of a key, expired or not; NULL if there is none. */
struct flow_model_entry *flow_model_get(struct flow_model *model, const struct flow_key *key);

struct flow_model_entry *flow_model_add(struct flow_model *model, const struct flow_key *key,
					size_t set, uint64_t now_ms);
void flow_model_remove(struct flow_model *model, const struct flow_key *key);

void flow_model_out(struct flow_model_entry *entry, uint8_t tcp_flags, unsigned packets,
		    uint32_t bytes, uint64_t now_ms);
void flow_model_in(struct flow_model_entry *entry, uint8_t tcp_flags, unsigned packets,
		   uint32_t bytes, uint64_t now_ms);

bool flow_model_expired(const struct flow_model_entry *entry, uint64_t now_ms);

/* What flow.seen must be. */
uint8_t flow_model_seen(const struct flow_model_entry *entry);

bool flow_model_full(const struct flow_model *model, size_t set);

/* Whether that entry may make room in its set: none of the set would be missed less. */
bool flow_model_may_evict(const struct flow_model *model, const struct flow_model_entry *entry,
			  uint64_t now_ms);

#endif
