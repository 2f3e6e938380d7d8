#include "tests/model/nat_model.h"

#include <stdlib.h>
#include <string.h>

enum {
	MAPS_MAX = 8192,
	HOLD_MS = 120 * 1000, /* RFC 6888 REQ-8 */
};

struct model_map {
	uint32_t index;
	uint8_t inner[16];
	uint16_t inner_port, outer_port;
	uint8_t version, proto;
	uint32_t flows; /* 0: held */
	uint64_t released_ms;
};

struct nat_model {
	unsigned first, count;
	bool busy[65536];
	size_t map_count;
	struct model_map maps[MAPS_MAX];
};

struct nat_model *nat_model_create(uint16_t port_first, unsigned count, const uint16_t *busy,
				   size_t busy_count)
{
	struct nat_model *model = calloc(1, sizeof(*model));

	if (!model)
		return NULL;
	model->first = port_first;
	model->count = count;
	for (size_t i = 0; i < busy_count; i++)
		model->busy[busy[i]] = true;
	return model;
}

void nat_model_destroy(struct nat_model *model)
{
	free(model);
}

static bool translatable(const struct flow_key *key)
{
	return key->proto == 6 || key->proto == 17 || (key->version == 4 && key->proto == 1) ||
	       (key->version == 6 && key->proto == 58);
}

static bool is_endpoint(const struct model_map *m, const struct flow_key *key)
{
	return m->version == key->version && m->proto == key->proto &&
	       m->inner_port == key->src_port && memcmp(m->inner, key->src, 16) == 0;
}

static struct model_map *by_endpoint(struct nat_model *model, const struct flow_key *key)
{
	for (size_t i = 0; i < model->map_count; i++) {
		if (is_endpoint(&model->maps[i], key))
			return &model->maps[i];
	}
	return NULL;
}

static struct model_map *by_port(struct nat_model *model, const struct flow_key *key, unsigned port)
{
	for (size_t i = 0; i < model->map_count; i++) {
		struct model_map *m = &model->maps[i];

		if (m->version == key->version && m->proto == key->proto && m->outer_port == port)
			return m;
	}
	return NULL;
}

static bool rests(const struct model_map *m, uint64_t now_ms)
{
	return m->flows == 0 && now_ms < m->released_ms + HOLD_MS;
}

/* The first port that needs no other endpoint's rest, or 0. */
static unsigned unneeded(struct nat_model *model, const struct flow_key *key, uint64_t now_ms)
{
	for (unsigned port = model->first; port < model->first + model->count; port++) {
		const struct model_map *m = by_port(model, key, port);

		if (!model->busy[port] && (!m || (m->flows == 0 && !rests(m, now_ms))))
			return port;
	}
	return 0;
}

static const struct model_map *held_longest(struct nat_model *model, const struct flow_key *key)
{
	const struct model_map *best = NULL;

	for (size_t i = 0; i < model->map_count; i++) {
		const struct model_map *m = &model->maps[i];

		if (m->version == key->version && m->proto == key->proto && m->flows == 0 &&
		    (!best || m->released_ms < best->released_ms))
			best = m;
	}
	return best;
}

/* Whether a port may be given to an endpoint that has none. */
static const char *judge(struct nat_model *model, const struct flow_key *key, unsigned port,
			 uint64_t now_ms)
{
	struct model_map *holder;

	if (port < model->first || port >= model->first + model->count)
		return "a port outside the slice";
	if (model->busy[port])
		return "a busy port";
	holder = by_port(model, key, port);
	if (!holder)
		return NULL;
	if (holder->flows > 0)
		return "a port of a live mapping";
	if (rests(holder, now_ms)) {
		if (unneeded(model, key, now_ms))
			return "a resting port, though others were free";
		if (holder->released_ms != held_longest(model, key)->released_ms)
			return "a resting port, but not the one that rested longest";
	}
	*holder = model->maps[--model->map_count];
	return NULL;
}

static const char *check_map(const struct flow_key *key, const struct nat_map *map)
{
	if (map->version != key->version || map->proto != key->proto ||
	    map->inner_port != key->src_port || memcmp(map->inner, key->src, 16) != 0)
		return "a mapping of another endpoint";
	return NULL;
}

const char *nat_model_acquire(struct nat_model *model, const struct flow_key *key, uint32_t index,
			      const struct nat_map *map, uint64_t now_ms)
{
	struct model_map *m = by_endpoint(model, key);
	const char *broken;

	if (!translatable(key))
		return index ? "a mapping for a protocol without ports" : NULL;
	if (m && m->flows == 0 && !rests(m, now_ms) && (!map || map->outer_port != m->outer_port)) {
		*m = model->maps[--model->map_count]; /* may be forgotten after its rest */
		m = NULL;
	}
	if (index == 0) {
		if (m || unneeded(model, key, now_ms) || held_longest(model, key))
			return "none, though a port was to be had";
		return NULL;
	}
	broken = check_map(key, map);
	if (broken)
		return broken;
	if (m) {
		if (m->index != index || m->outer_port != map->outer_port)
			return "another mapping than before";
	} else {
		broken = judge(model, key, map->outer_port, now_ms);
		if (broken)
			return broken;
		if (model->map_count == MAPS_MAX)
			abort();
		m = &model->maps[model->map_count++];
		*m = (struct model_map){
			.index = index,
			.inner_port = key->src_port,
			.outer_port = map->outer_port,
			.version = key->version,
			.proto = key->proto,
		};
		memcpy(m->inner, key->src, sizeof(m->inner));
	}
	m->flows++;
	return map->flows == m->flows ? NULL : "a wrong count of flows";
}

static struct model_map *live_by_index(const struct nat_model *model, uint32_t index)
{
	for (size_t i = 0; i < model->map_count; i++) {
		const struct model_map *m = &model->maps[i];

		if (m->index == index && m->flows > 0)
			return (struct model_map *)m;
	}
	return NULL;
}

void nat_model_release(struct nat_model *model, uint32_t index, uint64_t now_ms)
{
	struct model_map *m = live_by_index(model, index);

	if (!m)
		abort();
	m->flows--;
	m->released_ms = now_ms;
}

size_t nat_model_live(const struct nat_model *model)
{
	size_t n = 0;

	for (size_t i = 0; i < model->map_count; i++)
		n += model->maps[i].flows > 0;
	return n;
}

uint32_t nat_model_live_index(const struct nat_model *model, size_t n)
{
	for (size_t i = 0; i < model->map_count; i++) {
		if (model->maps[i].flows > 0 && n-- == 0)
			return model->maps[i].index;
	}
	return 0;
}

uint32_t nat_model_outer(const struct nat_model *model, uint8_t version, uint8_t proto,
			 uint16_t port)
{
	for (size_t i = 0; i < model->map_count; i++) {
		const struct model_map *m = &model->maps[i];

		if (m->flows > 0 && m->version == version && m->proto == proto &&
		    m->outer_port == port)
			return m->index;
	}
	return 0;
}

uint32_t nat_model_flows(const struct nat_model *model, uint32_t index)
{
	const struct model_map *m = live_by_index(model, index);

	return m ? m->flows : 0;
}
