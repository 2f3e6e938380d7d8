#include "dataplane/flow.h"

#include <stdlib.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "dataplane/check.h"

/*
 * A hash is cut into: the set (low bits), the home way (3 bits), the tag (the upper 16 bits).
 *
 * A set is 8 tags, 16 bytes, so that one line brings the tags of 4 sets and one comparison finds
 * the ways worth a look. A new flow takes its home way if that is free: flow_prefetch can then
 * fetch the right lines of a set before anyone has read its tags.
 */
enum {
	WAYS = 8,
	HOME_SHIFT = 45,
	TAG_SHIFT = 48,
	TAG_EMPTY = 0,
	LINE_BYTES = 64,
	EVICT_SETS = 16,
	/* Sets and slots stay far inside an unsigned; nobody has memory for more. */
	CAPACITY_MAX = 1 << 28,
};

_Static_assert(WAYS == 1 << (TAG_SHIFT - HOME_SHIFT), "the home bits lie below the tag");
_Static_assert(CAPACITY_MAX / WAYS <= 1 << 30, "set bits stay clear of the home bits");

struct flow_table {
	uint64_t seed;
	size_t capacity;
	size_t set_mask;
	uint16_t *tags; /* capacity of them; the other arrays are valid where a tag is not empty */
	struct flow *flows;
	struct flow_counters *counters;
	flow_release_fn *release;
	void *context;
	size_t count;
	uint64_t changes;
	size_t sweep_set;
	size_t evict_set;
};

struct flow_table *flow_table_create(size_t capacity, uint64_t seed, flow_release_fn *release,
				     void *context)
{
	struct flow_table *table;
	size_t slots = WAYS;

	if (capacity > CAPACITY_MAX)
		return NULL;
	while (slots < capacity)
		slots *= 2;
	table = malloc(sizeof(*table));
	if (!table)
		return NULL;
	*table = (struct flow_table){
		.seed = seed,
		.capacity = slots,
		.set_mask = slots / WAYS - 1,
		.release = release,
		.context = context,
	};
	/* Only the tags are cleared: the rest costs no memory before its first use. */
	table->tags = calloc(slots, sizeof(*table->tags));
	table->flows = aligned_alloc(LINE_BYTES, slots * sizeof(*table->flows));
	table->counters = malloc(slots * sizeof(*table->counters));
	if (table->tags && table->flows && table->counters)
		return table;
	free(table->counters);
	free(table->flows);
	free(table->tags);
	free(table);
	return NULL;
}

void flow_table_destroy(struct flow_table *table)
{
	if (!table)
		return;
	for (size_t slot = 0; slot < table->capacity; slot++) {
		if (table->tags[slot] != TAG_EMPTY && table->release)
			table->release(table->context, &table->flows[slot]);
	}
	free(table->counters);
	free(table->flows);
	free(table->tags);
	free(table);
}

uint64_t flow_hash(const struct flow_table *table, const struct flow_key *key)
{
	/* Of an IPv4 key all but 16 bytes are zero. */
	if (key->version == 4) {
		uint32_t words[4];

		memcpy(&words[0], key->src, sizeof(words[0]));
		memcpy(&words[1], key->dst, sizeof(words[1]));
		memcpy(&words[2], (const uint8_t *)key + offsetof(struct flow_key, src_port), 8);
		return XXH3_64bits_withSeed(words, sizeof(words), table->seed);
	}
	return XXH3_64bits_withSeed(key, sizeof(*key), table->seed);
}

static size_t first_slot(const struct flow_table *table, uint64_t hash)
{
	return ((size_t)hash & table->set_mask) * WAYS;
}

static unsigned home_way(uint64_t hash)
{
	return (unsigned)(hash >> HOME_SHIFT) % WAYS;
}

static uint16_t tag_of(uint64_t hash)
{
	uint16_t tag = (uint16_t)(hash >> TAG_SHIFT);

	return tag == TAG_EMPTY ? 1 : tag;
}

/* Which of the set's ways have that tag: one bit a way. */
static unsigned ways_with(const uint16_t *tags, uint16_t tag)
{
#ifdef __SSE2__
	__m128i all = _mm_loadu_si128((const __m128i *)(const void *)tags);
	__m128i same = _mm_cmpeq_epi16(all, _mm_set1_epi16((short)tag));

	return (unsigned)_mm_movemask_epi8(_mm_packs_epi16(same, _mm_setzero_si128()));
#else
	unsigned ways = 0;

	for (unsigned way = 0; way < WAYS; way++)
		ways |= (unsigned)(tags[way] == tag) << way;
	return ways;
#endif
}

void flow_prefetch(const struct flow_table *table, uint64_t hash)
{
	size_t first = first_slot(table, hash), home = first + home_way(hash);

	__builtin_prefetch(&table->tags[first]);
	__builtin_prefetch(&table->flows[home]);
	__builtin_prefetch(&table->counters[home]);
	__builtin_prefetch((const uint8_t *)&table->counters[home + 1] - 1);
}

uint64_t flow_changes(const struct flow_table *table)
{
	return table->changes;
}

static size_t slot_of(const struct flow_table *table, const struct flow *flow)
{
	return (size_t)(flow - table->flows);
}

/* Give the entry back; it may be used again at once. */
static void drop(struct flow_table *table, size_t slot)
{
	if (table->release)
		table->release(table->context, &table->flows[slot]);
	table->tags[slot] = TAG_EMPTY;
	table->count--;
	table->changes++;
}

static bool same_key(const struct flow_key *a, const struct flow_key *b)
{
	uint64_t x[5], y[5];

	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4])) == 0;
}

struct flow *flow_find(struct flow_table *table, const struct flow_key *key, uint64_t hash,
		       uint64_t now_ms)
{
	size_t first = first_slot(table, hash);
	unsigned ways = ways_with(&table->tags[first], tag_of(hash));

	for (; ways; ways &= ways - 1) {
		size_t slot = first + (unsigned)__builtin_ctz(ways);
		struct flow *flow = &table->flows[slot];

		if (!same_key(&flow->key, key))
			continue;
		if (!flow_expired(flow, now_ms))
			return flow;
		/* The caller may now create the key anew, and it must not be there twice. */
		drop(table, slot);
		return NULL;
	}
	return NULL;
}

static bool closing(const struct flow *flow)
{
	const uint8_t fins = FLOW_SEEN_FIN_OUT | FLOW_SEEN_FIN_IN;

	return (flow->seen & FLOW_SEEN_RST) || (flow->seen & fins) == fins;
}

static uint32_t idle_ms(const struct flow *flow, uint64_t now_ms)
{
	return (uint32_t)now_ms - flow->last_ms;
}

/* The least is evicted first. */
static unsigned worth(const struct flow *flow, uint64_t now_ms)
{
	if (flow_expired(flow, now_ms))
		return 0;
	if (closing(flow))
		return 1;
	return flow->seen & FLOW_SEEN_IN ? 3 : 2;
}

/* The slot of a full set whose flow will be missed least; of equals the one idle longest. */
static size_t victim(const struct flow_table *table, size_t first, uint64_t now_ms)
{
	size_t best = first;
	unsigned best_worth = worth(&table->flows[first], now_ms);

	for (size_t slot = first + 1; slot < first + WAYS; slot++) {
		unsigned w = worth(&table->flows[slot], now_ms);
		bool idler =
			idle_ms(&table->flows[slot], now_ms) > idle_ms(&table->flows[best], now_ms);

		if (w < best_worth || (w == best_worth && idler)) {
			best = slot;
			best_worth = w;
		}
	}
	return best;
}

struct flow *flow_create(struct flow_table *table, const struct flow_key *key, uint64_t hash,
			 uint64_t now_ms)
{
	size_t first = first_slot(table, hash);
	size_t slot = first + home_way(hash);
	unsigned empty = ways_with(&table->tags[first], TAG_EMPTY);

	if (!empty) {
		slot = victim(table, first, now_ms);
		drop(table, slot);
	} else if (table->tags[slot] != TAG_EMPTY) {
		slot = first + (unsigned)__builtin_ctz(empty);
	}
	table->tags[slot] = tag_of(hash);
	table->flows[slot] = (struct flow){.key = *key, .last_ms = (uint32_t)now_ms};
	table->counters[slot] = (struct flow_counters){.created_ms = now_ms};
	table->count++;
	table->changes++;
	return &table->flows[slot];
}

/* Whether giving up this flow helps who is short of ports, or of what its source may have. */
static bool gives(const struct flow *f, const struct flow_key *like, uint16_t egress,
		  uint32_t source)
{
	if (f->seen & FLOW_SEEN_IN)
		return false;
	if (source)
		return f->source == source;
	return f->nat != FLOW_NAT_NONE && f->egress == egress && f->key.proto == like->proto &&
	       f->key.version == like->version;
}

struct flow *flow_choose_unanswered(struct flow_table *table, const struct flow_key *like,
				    uint16_t egress, uint32_t source, uint64_t now_ms)
{
	size_t best = SIZE_MAX;

	for (unsigned i = 0; i < EVICT_SETS && best == SIZE_MAX; i++) {
		size_t first = table->evict_set * WAYS;

		table->evict_set = (table->evict_set + 1) & table->set_mask;
		for (size_t slot = first; slot < first + WAYS; slot++) {
			const struct flow *f = &table->flows[slot];

			if (table->tags[slot] == TAG_EMPTY || !gives(f, like, egress, source))
				continue;
			if (best == SIZE_MAX ||
			    idle_ms(f, now_ms) > idle_ms(&table->flows[best], now_ms))
				best = slot;
		}
	}
	return best == SIZE_MAX ? NULL : &table->flows[best];
}

bool flow_evict_chosen(struct flow_table *table, struct flow *chosen, const struct flow_key *like,
		       uint16_t egress)
{
	size_t slot = slot_of(table, chosen);

	if (table->tags[slot] == TAG_EMPTY || !gives(chosen, like, egress, 0))
		return false;
	drop(table, slot);
	return true;
}

bool flow_evict_unanswered(struct flow_table *table, const struct flow_key *like, uint16_t egress,
			   uint32_t source, uint64_t now_ms)
{
	struct flow *f = flow_choose_unanswered(table, like, egress, source, now_ms);

	if (!f)
		return false;
	drop(table, slot_of(table, f));
	return true;
}

void flow_remove(struct flow_table *table, struct flow *flow)
{
	size_t slot = slot_of(table, flow);

	CHECK(slot < table->capacity && table->tags[slot] != TAG_EMPTY);
	drop(table, slot);
}

struct flow_counters *flow_counters(struct flow_table *table, const struct flow *flow)
{
	return &table->counters[slot_of(table, flow)];
}

/* The inner side opens a connection where a finished one was: nothing of that counts any more. */
static bool reopens(const struct flow *flow, uint8_t tcp_flags)
{
	const uint8_t over = FLOW_SEEN_FIN_OUT | FLOW_SEEN_FIN_IN | FLOW_SEEN_RST;

	return (tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && (flow->seen & over);
}

static void tcp_note_out(struct flow *flow, uint8_t tcp_flags)
{
	if (tcp_flags & TCP_RST) {
		flow->seen |= FLOW_SEEN_RST;
		return;
	}
	if (reopens(flow, tcp_flags))
		flow->seen &= FLOW_DRAINING | FLOW_HAIRPIN;
	/* An end that goes on after an RST never took it: forged, or out of its window. */
	flow->seen &= (uint8_t)~FLOW_SEEN_RST;
	if (tcp_flags & TCP_FIN)
		flow->seen |= FLOW_SEEN_FIN_OUT;
	if ((tcp_flags & TCP_ACK) && (flow->seen & FLOW_SEEN_IN))
		flow->seen |= FLOW_SEEN_ACK_OUT;
}

static void tcp_note_in(struct flow *flow, uint8_t tcp_flags)
{
	if (tcp_flags & TCP_RST)
		flow->seen |= FLOW_SEEN_RST;
	else if (tcp_flags & TCP_FIN)
		flow->seen |= FLOW_SEEN_FIN_IN;
}

static bool established(const struct flow *flow)
{
	const uint8_t tcp = FLOW_SEEN_IN | FLOW_SEEN_ACK_OUT;

	if (flow->key.proto != PROTO_TCP)
		return flow->seen & FLOW_SEEN_IN;
	return (flow->seen & tcp) == tcp && !closing(flow);
}

static uint32_t idle_limit_ms(const struct flow *flow)
{
	switch (flow->key.proto) {
	case PROTO_TCP:
		return established(flow) ? FLOW_IDLE_TCP_MS : FLOW_IDLE_TCP_TRANSITORY_MS;
	case PROTO_UDP:
		return FLOW_IDLE_UDP_MS;
	case PROTO_ICMP:
	case PROTO_ICMP6:
		return FLOW_IDLE_ICMP_MS;
	default:
		return FLOW_IDLE_OTHER_MS;
	}
}

/*
 * After an RST the flow has FLOW_IDLE_TCP_TRANSITORY_MS, or what it had left if that is less, and
 * only an inner side that goes on gives it more: packets from outside, and RSTs of either side,
 * keep nothing alive (RFC 7857).
 */
static void refresh(struct flow *flow, uint8_t seen_before, uint64_t now_ms)
{
	struct flow was = *flow;
	uint32_t left;

	if (seen_before & flow->seen & FLOW_SEEN_RST)
		return;
	flow->last_ms = (uint32_t)now_ms;
	if (!(flow->seen & FLOW_SEEN_RST))
		return;
	was.seen = seen_before;
	left = idle_limit_ms(&was) - idle_ms(&was, now_ms);
	if (left < FLOW_IDLE_TCP_TRANSITORY_MS)
		flow->last_ms -= FLOW_IDLE_TCP_TRANSITORY_MS - left;
}

void flow_note_out(struct flow_table *table, struct flow *flow, const struct packet *packet,
		   unsigned packets, uint64_t now_ms)
{
	struct flow_counters *counters = flow_counters(table, flow);
	uint8_t before = flow->seen;

	if (flow->key.proto == PROTO_TCP)
		tcp_note_out(flow, packet->tcp_flags);
	flow->seen |= FLOW_SEEN_OUT;
	refresh(flow, before, now_ms);
	counters->packets_out += packets;
	counters->bytes_out += packet->buf->len;
}

void flow_note_in(struct flow_table *table, struct flow *flow, const struct packet *packet,
		  unsigned packets, uint64_t now_ms)
{
	struct flow_counters *counters = flow_counters(table, flow);
	uint8_t before = flow->seen;

	if (flow->key.proto == PROTO_TCP)
		tcp_note_in(flow, packet->tcp_flags);
	flow->seen |= FLOW_SEEN_IN;
	refresh(flow, before, now_ms);
	counters->packets_in += packets;
	counters->bytes_in += packet->buf->len;
}

bool flow_expired(const struct flow *flow, uint64_t now_ms)
{
	return idle_ms(flow, now_ms) > idle_limit_ms(flow);
}

void flow_sweep(struct flow_table *table, unsigned sets, uint64_t now_ms)
{
	for (unsigned i = 0; i < sets; i++) {
		size_t first = table->sweep_set * WAYS;
		unsigned full = ~ways_with(&table->tags[first], TAG_EMPTY) & ((1U << WAYS) - 1);

		for (; full; full &= full - 1) {
			size_t slot = first + (unsigned)__builtin_ctz(full);

			if (flow_expired(&table->flows[slot], now_ms))
				drop(table, slot);
		}
		table->sweep_set = (table->sweep_set + 1) & table->set_mask;
	}
}

size_t flow_count(const struct flow_table *table)
{
	return table->count;
}

size_t flow_capacity(const struct flow_table *table)
{
	return table->capacity;
}

unsigned flow_set_count(const struct flow_table *table)
{
	return (unsigned)(table->set_mask + 1);
}

struct flow *flow_at(struct flow_table *table, size_t index, uint64_t now_ms)
{
	if (index >= table->capacity || table->tags[index] == TAG_EMPTY)
		return NULL;
	return flow_expired(&table->flows[index], now_ms) ? NULL : &table->flows[index];
}

const char *flow_state_name(const struct flow *flow)
{
	const uint8_t both = FLOW_SEEN_OUT | FLOW_SEEN_IN;

	if (flow->seen & FLOW_DRAINING)
		return "draining";
	if (closing(flow))
		return "closing";
	if (established(flow))
		return "established";
	if ((flow->seen & both) == both)
		return "opening";
	if (flow->key.proto == PROTO_TCP || !(flow->seen & both))
		return "new";
	return "one-way";
}
