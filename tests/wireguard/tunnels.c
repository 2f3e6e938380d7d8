#include "tests/wireguard/tunnels.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/packet.h"
#include "dataplane/wireguard/crypto.h"
#include "tun/tun_mem.h"
#include "tun/udp_mem.h"

enum {
	ROUNDS_MAX = 200,
	START_MS = 1000000,
};

static struct prefix prefix(const char *text)
{
	struct prefix p;

	cr_assert_eq(prefix_parse(text, strlen(text), &p, NULL), 0, "%s", text);
	return p;
}

static void open_sockets(struct tunnels *t, unsigned i, unsigned queues)
{
	struct tun_options tun = {.queues = queues, .fd = -1};
	struct wg_tunnel_options options = {
		.queues = queues, .mtu = TUNNELS_MTU, .aead = WG_AEAD_LIBCRYPTO};
	struct udp_options relay = {.queues = 1};
	struct tunnels_end *e = &t->ends[i];

	cr_assert_eq(tun_open(&tun, &e->tun), 0);
	cr_assert_eq(wg_tunnel_open(&options, &e->tunnel), 0);
	cr_assert_eq(udp_open(&relay, &t->relay[i]), 0);
	memset(e->private_key, (int)i + 1, WG_KEY);
	wg_crypto_clamp(e->private_key);
	cr_assert(wg_crypto_public(e->private_key, e->public_key));
}

static void configure(struct tunnels *t, unsigned i, bool endpoint)
{
	const struct wg_allowed_change allowed[2][2] = {
		{{.prefix = prefix("0.0.0.0/0")}, {.prefix = prefix("::/0")}},
		{{.prefix = prefix("10.0.0.1/32")}, {.prefix = prefix("fd00::1/128")}},
	};
	struct wg_peer_change peer = {
		.set = endpoint ? WG_PEER_ENDPOINT : 0,
		.endpoint = {.addr = {127, 0, 0, 1},
			     .port = udp_port(t->relay[1 - i]),
			     .version = 4},
		.allowed = allowed[i],
		.allowed_count = 2,
	};
	struct wg_changes changes = {.set = WG_DEVICE_PRIVATE_KEY, .peers = &peer, .peer_count = 1};

	memcpy(peer.public_key, t->ends[1 - i].public_key, WG_KEY);
	memcpy(changes.private_key, t->ends[i].private_key, WG_KEY);
	cr_assert_eq(
		wg_device_apply(wg_tunnel_device(t->ends[i].tunnel), &changes, t->now_ms * 1000000),
		0);
}

/* One egress, for all. */
static void publish(struct dataplane *d)
{
	struct links *links = links_create(1);
	struct table *table;

	cr_assert(links);
	cr_assert_eq(table_build(NULL, 0, 0, 1, &table), 0);
	dataplane_publish_table(d, table);
	dataplane_publish_links(d, links);
}

void tunnels_open(struct tunnels *t, const struct tunnels_options *o)
{
	memset(t, 0, sizeof(*t));
	t->now_ms = START_MS;
	t->memory = malloc(2 * (size_t)BUF_SIZE);
	cr_assert(t->memory);
	t->in.data = t->memory;
	t->out.data = t->memory + BUF_SIZE;
	for (unsigned i = 0; i < 2; i++)
		open_sockets(t, i, o->queues ? o->queues : 1);
	for (unsigned i = 0; i < 2; i++) {
		struct tunnels_end *e = &t->ends[i];
		struct egress_options egress = {.type = EGRESS_WIREGUARD,
						.tunnel = e->tunnel,
						.gateway = i == 1 && o->gateway};
		struct dataplane_options options = {.tun = e->tun,
						    .egresses = &egress,
						    .egress_count = 1,
						    .flows = 4096,
						    .straight = i == 0 || !o->split,
						    .stages_inside = true};

		cr_assert_eq(dataplane_create(&options, &e->dataplane, NULL), 0);
		publish(e->dataplane);
		configure(t, i, i == 1 || !o->no_endpoint);
	}
}

void tunnels_close(struct tunnels *t)
{
	for (unsigned i = 0; i < 2; i++) {
		dataplane_destroy(t->ends[i].dataplane);
		wg_tunnel_close(t->ends[i].tunnel);
		udp_close(t->relay[i]);
	}
	free(t->memory);
}

/* What has come to the relay that stands for `to` goes on to it, as if from the other. */
static unsigned pass_on(struct tunnels *t, unsigned to)
{
	struct udp_message m = {.data = malloc(UDP_MESSAGE_ROOM)};
	unsigned moved = 0;

	cr_assert(m.data);
	while (udp_recv_burst(udp_queue_at(t->relay[to], 0), &m, 1, 1)) {
		unsigned times;

		cr_assert_leq(udp_segments(&m), UDP_SEGMENTS_MAX);
		cr_assert_leq(m.len, UDP_MESSAGE_MAX);
		if (m.data[0] == UDP_TYPE_SESSION) {
			t->looked += udp_segments(&m);
			t->messages++;
		}
		times = t->look ? t->look(t, to, &m) : 1;
		memset(&m.endpoint, 0, sizeof(m.endpoint));
		m.endpoint.version = 4;
		m.endpoint.port = udp_port(wg_tunnel_udp(t->ends[to].tunnel));
		memcpy(m.endpoint.addr, (const uint8_t[4]){127, 0, 0, 1}, 4);
		while (times-- > 0)
			udp_send_burst(udp_queue_at(t->relay[1 - to], 0), &m, 1);
		moved++;
	}
	free(m.data);
	return moved;
}

void tunnels_turn(struct tunnels *t)
{
	unsigned moved = 1;

	for (unsigned i = 0; moved && i < ROUNDS_MAX; i++) {
		moved = 0;
		for (unsigned k = 0; k < 2; k++) {
			struct tunnels_end *e = &t->ends[k];

			for (unsigned q = 0; q < tun_queue_count(e->tun); q++)
				moved += dataplane_turn(e->dataplane, q, t->now_ms);
			wg_device_serve(wg_tunnel_device(e->tunnel), t->now_ms * 1000000);
			moved += pass_on(t, 1 - k);
		}
		t->now_ms++;
	}
}

void tunnels_queue(struct tunnels *t, unsigned end, const struct packets_spec *spec)
{
	packets_build(spec, &t->in);
	cr_assert_eq(tun_mem_inject(t->ends[end].tun, 0, t->in.data, t->in.len, &t->in.offload), 0);
}

void tunnels_send(struct tunnels *t, unsigned end, const struct packets_spec *spec)
{
	tunnels_queue(t, end, spec);
	tunnels_turn(t);
}

bool tunnels_take(struct tunnels *t, unsigned end)
{
	struct tun *tun = t->ends[end].tun;

	for (unsigned q = 0; q < tun_queue_count(tun); q++) {
		const char *wrong;

		t->out.len = (uint32_t)tun_mem_take(tun, q, t->out.data, BUF_SIZE, &t->out.offload);
		if (t->out.len == 0)
			continue;
		wrong = packets_check(&t->out);
		cr_assert_null(wrong, "what came out of end %u: %s", end, wrong);
		return true;
	}
	return false;
}

struct packets_spec tunnels_spec(uint8_t version, uint8_t proto, unsigned end)
{
	struct packets_spec spec = {.version = version,
				    .proto = proto,
				    .src_port = 1234,
				    .dst_port = 80,
				    .tcp_flags = TCP_ACK,
				    .payload = 100};
	static const uint8_t net4[4] = {10, 0, 0, 0}, net6[16] = {0xfd};

	memcpy(spec.src, version == 4 ? net4 : net6, version == 4 ? 4 : 16);
	memcpy(spec.dst, spec.src, 16);
	spec.src[version == 4 ? 3 : 15] = (uint8_t)(1 + end);
	spec.dst[version == 4 ? 3 : 15] = (uint8_t)(2 - end);
	if (proto == PROTO_ICMP || proto == PROTO_ICMP6)
		spec.icmp_type = proto == PROTO_ICMP ? 8 : 128;
	return spec;
}

uint64_t tunnels_drops(const struct tunnels *t, unsigned end, enum reason reason)
{
	struct worker_counters c;
	uint64_t sum = 0;

	for (unsigned i = 0; i < dataplane_worker_count(t->ends[end].dataplane); i++) {
		dataplane_read_counters(t->ends[end].dataplane, i, &c);
		sum += c.drops[reason];
	}
	return sum;
}
