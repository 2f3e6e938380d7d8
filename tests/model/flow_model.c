#include "tests/model/flow_model.h"

#include <stdlib.h>
#include <string.h>

enum {
	ENTRIES_MAX = 4096,
};

struct flow_model {
	unsigned ways;
	size_t count;
	struct flow_model_entry entries[ENTRIES_MAX];
};

struct flow_model *flow_model_create(unsigned ways)
{
	struct flow_model *model = calloc(1, sizeof(*model));

	if (model)
		model->ways = ways;
	return model;
}

void flow_model_destroy(struct flow_model *model)
{
	free(model);
}

size_t flow_model_count(const struct flow_model *model)
{
	return model->count;
}

struct flow_model_entry *flow_model_at(struct flow_model *model, size_t index)
{
	return &model->entries[index];
}

struct flow_model_entry *flow_model_get(struct flow_model *model, const struct flow_key *key)
{
	for (size_t i = 0; i < model->count; i++) {
		if (memcmp(&model->entries[i].key, key, sizeof(*key)) == 0)
			return &model->entries[i];
	}
	return NULL;
}

struct flow_model_entry *flow_model_add(struct flow_model *model, const struct flow_key *key,
					size_t set, uint64_t now_ms)
{
	struct flow_model_entry *entry;

	if (model->count == ENTRIES_MAX)
		abort();
	entry = &model->entries[model->count++];
	*entry = (struct flow_model_entry){
		.key = *key, .set = set, .created_ms = now_ms, .last_ms = now_ms};
	return entry;
}

void flow_model_remove(struct flow_model *model, const struct flow_key *key)
{
	struct flow_model_entry *entry = flow_model_get(model, key);

	if (!entry)
		abort();
	*entry = model->entries[--model->count];
}

static bool over(const struct flow_model_entry *e)
{
	return e->rst || (e->fin_out && e->fin_in);
}

static uint64_t lifetime_ms(const struct flow_model_entry *e)
{
	if (e->key.proto == 6)
		return e->in && e->ack_out && !over(e) ? 7440000 : 240000;
	return e->key.proto == 17 ? 300000 : 60000;
}

/* The first RST leaves four minutes, and never more than there were. */
static void cut_short(struct flow_model_entry *e, uint64_t now_ms)
{
	uint64_t end = e->last_ms + lifetime_ms(e);

	if (end > now_ms + 240000)
		end = now_ms + 240000;
	e->last_ms = end - 240000;
}

void flow_model_out(struct flow_model_entry *e, uint8_t tcp_flags, unsigned packets, uint32_t bytes,
		    uint64_t now_ms)
{
	bool tcp = e->key.proto == 6;
	bool syn = tcp && (tcp_flags & 0x02), ack = tcp && (tcp_flags & 0x10);
	bool rst = tcp && (tcp_flags & 0x04), fin = tcp && (tcp_flags & 0x01);
	bool finished = e->rst || e->fin_out || e->fin_in;

	e->packets_out += packets;
	e->bytes_out += bytes;
	e->out = true;
	if (rst && e->rst)
		return; /* another RST buys no time */
	if (rst) {
		cut_short(e, now_ms);
		e->rst = true;
		return;
	}
	e->last_ms = now_ms;
	e->rst = false;
	if (syn && !ack && finished)
		e->in = e->ack_out = e->fin_out = e->fin_in = false;
	if (fin)
		e->fin_out = true;
	if (ack && e->in)
		e->ack_out = true;
}

void flow_model_in(struct flow_model_entry *e, uint8_t tcp_flags, unsigned packets, uint32_t bytes,
		   uint64_t now_ms)
{
	bool tcp = e->key.proto == 6;

	e->packets_in += packets;
	e->bytes_in += bytes;
	if (tcp && (tcp_flags & 0x04) && !e->rst)
		cut_short(e, now_ms);
	else if (!e->rst) /* else only an inner side that goes on buys time */
		e->last_ms = now_ms;
	e->in = true;
	if (tcp && (tcp_flags & 0x04))
		e->rst = true;
	else if (tcp && (tcp_flags & 0x01))
		e->fin_in = true;
}

bool flow_model_expired(const struct flow_model_entry *e, uint64_t now_ms)
{
	return now_ms > e->last_ms + lifetime_ms(e);
}

uint8_t flow_model_seen(const struct flow_model_entry *e)
{
	return (uint8_t)((e->out ? 0x01 : 0) | (e->in ? 0x02 : 0) | (e->fin_out ? 0x04 : 0) |
			 (e->fin_in ? 0x08 : 0) | (e->rst ? 0x10 : 0) | (e->ack_out ? 0x20 : 0));
}

bool flow_model_full(const struct flow_model *model, size_t set)
{
	unsigned used = 0;

	for (size_t i = 0; i < model->count; i++)
		used += model->entries[i].set == set;
	return used == model->ways;
}

/* Expired, then closing, then never answered, then the rest. */
static int class_of(const struct flow_model_entry *e, uint64_t now_ms)
{
	if (flow_model_expired(e, now_ms))
		return 0;
	if (over(e))
		return 1;
	return e->in ? 3 : 2;
}

bool flow_model_may_evict(const struct flow_model *model, const struct flow_model_entry *entry,
			  uint64_t now_ms)
{
	int class = class_of(entry, now_ms);

	if (!flow_model_full(model, entry->set))
		return false;
	for (size_t i = 0; i < model->count; i++) {
		const struct flow_model_entry *e = &model->entries[i];
		int c = class_of(e, now_ms);

		if (e->set != entry->set)
			continue;
		if (c < class || (c == class && e->last_ms < entry->last_ms))
			return false;
	}
	return true;
}
