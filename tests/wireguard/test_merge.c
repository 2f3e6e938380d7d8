/*
 * Super-packets of merged packets: what hardware makes of them is what was put in, byte for byte,
 * and in each flow in that order; and what can be merged is.
 */
#include "dataplane/wireguard/merge.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/packet.h"
#include "dataplane/wireguard/split.h"
#include "tests/model/packets.h"

TestSuite(wireguard_merge, .timeout = 60);

enum {
	PACKETS_MAX = 128,
	ROUNDS = 400,
	FLOWS = 4,
};

struct play {
	struct wg_merge *merge;
	struct buf in[PACKETS_MAX];   /* as they were */
	struct buf laid[PACKETS_MAX]; /* what the merge has, and changes */
	unsigned flow[PACKETS_MAX];
	unsigned count;
	struct buf flat, segment;
	uint64_t seed;
};

static void begin(struct play *p, bool udp)
{
	memset(p, 0, sizeof(*p));
	p->merge = malloc(sizeof(*p->merge));
	p->flat.data = malloc(BUF_SIZE);
	p->segment.data = malloc(BUF_SIZE);
	p->seed = 20251107;
	cr_assert(p->merge && p->flat.data && p->segment.data);
	for (unsigned i = 0; i < PACKETS_MAX; i++) {
		p->in[i].data = malloc(BUF_SIZE);
		p->laid[i].data = malloc(BUF_SIZE);
		cr_assert(p->in[i].data && p->laid[i].data);
	}
	wg_merge_init(p->merge, udp);
}

static void end(struct play *p)
{
	for (unsigned i = 0; i < PACKETS_MAX; i++) {
		free(p->in[i].data);
		free(p->laid[i].data);
	}
	free(p->flat.data);
	free(p->segment.data);
	free(p->merge);
}

static unsigned below(struct play *p, unsigned limit)
{
	return (unsigned)((packets_rand(&p->seed) >> 33) % limit);
}

static void add(struct play *p, const struct packets_spec *spec, unsigned flow)
{
	struct buf *in = &p->in[p->count];
	struct buf *laid = &p->laid[p->count];

	packets_build(spec, in);
	memcpy(laid->data, in->data, in->len);
	laid->len = in->len;
	p->flow[p->count++] = flow;
	wg_merge_add(p->merge, laid->data, laid->len);
}

/* An item in one piece. */
static void flatten(struct play *p, const struct wg_merged *m)
{
	p->flat.len = 0;
	p->flat.offload = m->offload;
	for (unsigned i = 1; i <= m->count; i++) {
		memcpy(p->flat.data + p->flat.len, m->pieces[i].iov_base, m->pieces[i].iov_len);
		p->flat.len += (uint32_t)m->pieces[i].iov_len;
	}
	cr_assert_eq(p->flat.len, m->len);
}

/* Whose the next packet is, of those that have not come yet; each flow in its order. */
static int find(const struct play *p, const bool came[PACKETS_MAX], const struct buf *segment)
{
	bool seen[FLOWS] = {false};

	for (unsigned i = 0; i < p->count; i++) {
		if (came[i] || seen[p->flow[i]])
			continue;
		seen[p->flow[i]] = true;
		if (p->in[i].len == segment->len &&
		    memcmp(p->in[i].data, segment->data, segment->len) == 0)
			return (int)i;
	}
	return -1;
}

/* Finish, and compare with what was added. Returns: how many items they became */
static unsigned check(struct play *p, unsigned round)
{
	bool came[PACKETS_MAX] = {false};
	unsigned count = 0;

	wg_merge_finish(p->merge);
	for (unsigned i = 0; i < p->merge->count; i++) {
		const char *wrong;

		flatten(p, &p->merge->items[i]);
		wrong = packets_check(&p->flat);
		cr_assert_null(wrong, "round %u, item %u: %s", round, i, wrong);
		for (unsigned k = 0; packets_segment(&p->flat, k, &p->segment); k++) {
			int at = find(p, came, &p->segment);

			cr_assert_geq(at, 0, "round %u, item %u, segment %u is no packet's turn",
				      round, i, k);
			came[at] = true;
			count++;
		}
	}
	cr_assert_eq(count, p->count, "round %u: %u of %u packets came", round, count, p->count);
	count = p->merge->count;
	wg_merge_reset(p->merge);
	p->count = 0;
	return count;
}

static struct packets_spec data(uint8_t version, uint8_t proto, uint32_t seq, unsigned payload)
{
	return (struct packets_spec){.version = version,
				     .proto = proto,
				     .src_port = 1,
				     .dst_port = 2,
				     .tcp_flags = TCP_ACK,
				     .tcp_options = 12,
				     .seq = seq,
				     .id = (uint16_t)(seq / payload),
				     .payload = payload};
}

Test(wireguard_merge, what_goes_on_becomes_one)
{
	static const uint8_t protos[] = {PROTO_TCP, PROTO_UDP};
	struct play p;

	begin(&p, true);
	for (unsigned i = 0; i < 4; i++) {
		for (unsigned k = 0; k < 46; k++) {
			struct packets_spec spec =
				data(i < 2 ? 4 : 6, protos[i % 2], k * 1368, 1368);

			if (k == 45) {
				spec.payload = 7;
				spec.tcp_flags |= TCP_PSH;
			}
			if (protos[i % 2] == PROTO_UDP)
				spec.tcp_options = 0;
			add(&p, &spec, 0);
		}
		cr_assert_eq(check(&p, i), 1, "case %u", i);
	}
	end(&p);
}

/* One packet that differs in this way from the one before it. */
struct difference {
	const char *name;
	struct packets_spec change; /* what is not zero is put in */
	int payload;
	int seq;
	unsigned items; /* that three packets become, of which the second differs */
};

Test(wireguard_merge, what_differs_stays_apart)
{
	static const struct difference differences[] = {
		{"nothing", {0}, 0, 0, 1},
		{"a push", {.tcp_flags = TCP_PSH | TCP_ACK}, 0, 0, 2},
		{"shorter", {0}, -1, 0, 2},
		{"longer", {0}, 1, 0, 3},
		{"no data", {0}, -1000, 0, 3},
		{"a gap", {0}, 0, 1, 3},
		{"an old one", {0}, 0, -1000, 3},
		{"ttl", {.ttl = 63}, 0, 0, 3},
		{"acknowledgement", {.ack = 1}, 0, 0, 3},
		{"fin", {.tcp_flags = TCP_FIN | TCP_ACK}, 0, 0, 3},
		{"rst", {.tcp_flags = TCP_RST | TCP_ACK}, 0, 0, 3},
		{"cwr", {.tcp_flags = TCP_CWR | TCP_ACK}, 0, 0, 3},
		{"options", {.tcp_options = 20}, 0, 0, 3},
		{"ip options", {.ip_options = 4}, 0, 0, 3},
		{"port", {.src_port = 3}, 0, 0, 2},
	};
	struct play p;

	begin(&p, true);
	for (unsigned i = 0; i < sizeof(differences) / sizeof(differences[0]); i++) {
		const struct difference *d = &differences[i];
		struct packets_spec spec = data(4, PROTO_TCP, 0, 1000);
		unsigned items;

		add(&p, &spec, 0);
		spec = data(4, PROTO_TCP, 1000, 1000);
		spec.payload = (unsigned)(1000 + d->payload);
		spec.seq = (uint32_t)(1000 + d->seq);
		spec.ttl = d->change.ttl;
		spec.ack = d->change.ack;
		spec.ip_options = d->change.ip_options;
		if (d->change.tcp_flags)
			spec.tcp_flags = d->change.tcp_flags;
		if (d->change.tcp_options)
			spec.tcp_options = d->change.tcp_options;
		if (d->change.src_port)
			spec.src_port = d->change.src_port;
		add(&p, &spec, d->change.src_port ? 1 : 0);
		spec = data(4, PROTO_TCP, d->change.src_port ? 1000 : 2000, 1000);
		add(&p, &spec, 0);
		items = check(&p, i);
		cr_assert_eq(items, d->items, "%s: %u items, want %u", d->name, items, d->items);
	}
	end(&p);
}

Test(wireguard_merge, udp_is_merged_where_the_tun_takes_it_alone)
{
	for (int udp = 0; udp < 2; udp++) {
		struct play p;
		unsigned items;

		begin(&p, udp);
		for (unsigned i = 0; i < 10; i++) {
			struct packets_spec spec = data(4, PROTO_UDP, i * 100, 100);

			spec.no_csum = i >= 5; /* it would get one */
			spec.tcp_options = 0;
			add(&p, &spec, 0);
		}
		items = check(&p, (unsigned)udp);
		cr_assert_eq(items, udp ? 6 : 10, "%u items", items);
		end(&p);
	}
}

/* Flows, each with its own mind, in any mixture. */
static void random_round(struct play *p)
{
	struct packets_spec specs[FLOWS];
	unsigned n = 1 + below(p, PACKETS_MAX);

	for (unsigned f = 0; f < FLOWS; f++) {
		specs[f] = data(f % 2 ? 6 : 4, f < 2 ? PROTO_TCP : PROTO_UDP,
				(uint32_t)packets_rand(&p->seed), 1 + below(p, 400));
		specs[f].src_port = (uint16_t)f;
		specs[f].dont_fragment = below(p, 2);
		if (specs[f].proto == PROTO_UDP)
			specs[f].tcp_options = 0;
	}
	for (unsigned i = 0; i < n && !wg_merge_is_full(p->merge); i++) {
		unsigned flow = below(p, 100) < 90 ? i / 8 % FLOWS : below(p, FLOWS);
		struct packets_spec spec = specs[flow];

		spec.tcp_flags |= below(p, 10) == 0 ? TCP_PSH : 0;
		spec.tcp_flags |= below(p, 30) == 0 ? TCP_FIN : 0;
		if (below(p, 20) == 0)
			spec.payload = below(p, spec.payload + 1);
		if (below(p, 40) == 0)
			spec.ttl = 17;
		if (below(p, 40) == 0)
			spec.seq += 1;
		if (below(p, 50) == 0 && spec.version == 4)
			spec.ip_options = 8;
		add(p, &spec, flow);
		specs[flow].seq = spec.seq + spec.payload;
		specs[flow].id++;
	}
}

Test(wireguard_merge, any_mixture_comes_out_as_it_went_in)
{
	unsigned items = 0, packets = 0;
	struct play p;

	begin(&p, true);
	for (unsigned round = 0; round < ROUNDS; round++) {
		random_round(&p);
		packets += p.count;
		items += check(&p, round);
	}
	cr_assert_lt(items * 2, packets, "%u packets, %u items", packets, items);
	end(&p);
}

/* Packets that are none to speak of: no byte past their ends is read, and they come out alone. */
Test(wireguard_merge, whatever_is_an_ip_packet_is_taken)
{
	uint64_t seed = 5;
	struct play p;

	begin(&p, true);
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint32_t len = 20 + (uint32_t)(packets_rand(&seed) >> 40) % 60;
		uint8_t *bytes = malloc(len);

		cr_assert(bytes);
		for (uint32_t i = 0; i < len; i++)
			bytes[i] = (uint8_t)(packets_rand(&seed) >> 32);
		bytes[0] = round % 2 ? 0x45 : 0x60 | (bytes[0] & 15);
		bytes[9] = bytes[6] = round % 3 ? PROTO_TCP : PROTO_UDP;
		wg_merge_add(p.merge, bytes, len);
		wg_merge_add(p.merge, bytes, len);
		cr_assert_eq(p.merge->count, 2);
		wg_merge_finish(p.merge);
		cr_assert_eq(p.merge->items[1].len, len);
		wg_merge_reset(p.merge);
		free(bytes);
	}
	end(&p);
}
