/* See worker_props.h. */
#include "tests/model/worker_props.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/dataplane.h"
#include "dataplane/packet.h"
#include "tests/model/packets.h"
#include "tests/model/translate.h"
#include "tun/nic_mem.h"
#include "tun/tun_mem.h"

enum {
	DIRECT,
	VPN,
	PLAIN,
	NONE,
	NO,
	EGRESSES,
	INTERFACES = NONE,

	PORT = 40000,
	HOURS_MS = 3 * 3600 * 1000, /* after which no flow lives */
	SEGMENTS_MAX = 64,          /* that are looked at */
	INSIDERS_MAX = 16,
	OPENERS = 6, /* TCP, UDP and echo, in both families */
	OPENER_MAX = 256,
};

static const struct way {
	const char *name, *list, *address4, *address6;
	unsigned mtu;
	bool nat;
} ways[EGRESSES] = {
	{"eth0", "198.51.0.0/16\n2001:db8:51::/48\n", "192.0.2.1", "2001:db8:2::1", 1300, true},
	{"tun9", NULL, "192.0.3.1", "2001:db8:3::1", 1420, true},
	{"tun8", "203.0.113.0/24\n2001:db8:77::/48\n", "192.0.4.1", "2001:db8:4::1", 1500, false},
	{NULL, "100.64.0.0/16\n2001:db8:64::/48\n", NULL, NULL, 0, false},
	{NULL, "100.65.0.0/16\n2001:db8:65::/48\n", NULL, NULL, 0, false},
};
static const uint8_t gateway_mac[6] = {2, 0, 0, 0, 0, 1};

/* What came in last, and what the checks of what it caused need. */
struct given {
	struct buf buf; /* parsed: offload words put right */
	struct packet packet;
	bool parses;
	bool right; /* with all its checksums and lengths */
	int from;
};

/* An address in both families. */
struct pair {
	uint8_t v4[16];
	uint8_t v6[16];
};

/* A packet that opens a flow. */
struct opener {
	uint8_t bytes[OPENER_MAX];
	uint32_t len;
	struct flow_key key;
};

static struct {
	struct dataplane *dataplane;
	struct nic *nics[INTERFACES];
	struct pair outer[INTERFACES];
	struct pair tun;
	struct pair inside; /* the ends of the flows */
	struct pair site;
	struct opener openers[OPENERS];
	uint64_t now_ms;
	uint8_t insiders[INSIDERS_MAX][17]; /* version, address */
	unsigned insider_count;
	bool flows;
	uint8_t *memory; /* of what comes out, and of a segment of it, and of one of what came in */
} play;

static struct addr address(const char *text)
{
	struct addr a = {0};

	if (addr_parse(text, strlen(text), &a) != 0)
		abort();
	return a;
}

static struct pair make_pair(const char *v4, const char *v6)
{
	struct addr a = address(v4), b = address(v6);
	struct pair pair = {0};

	addr_to_bytes(&a, pair.v4);
	addr_to_bytes(&b, pair.v6);
	return pair;
}

static const uint8_t *of_version(const struct pair *pair, uint8_t version)
{
	return version == 4 ? pair->v4 : pair->v6;
}

static bool same_address(const uint8_t *a, const uint8_t *b, uint8_t version)
{
	return memcmp(a, b, version == 4 ? 4 : 16) == 0;
}

static bool is_outer_of(const uint8_t *bytes, uint8_t version, unsigned egress)
{
	return same_address(bytes, of_version(&play.outer[egress], version), version);
}

static bool is_outer(const uint8_t *bytes, uint8_t version, bool translated)
{
	for (unsigned i = 0; i < INTERFACES; i++)
		if ((ways[i].nat || !translated) && is_outer_of(bytes, version, i))
			return true;
	return false;
}

static bool is_own(const uint8_t *bytes, uint8_t version)
{
	return same_address(bytes, of_version(&play.tun, version), version) ||
	       is_outer(bytes, version, false);
}

/* ---- Making it ---- */

static struct table *make_table(void)
{
	struct table_rule rules[EGRESSES] = {0};
	struct list_error err;
	struct table *table = NULL;
	unsigned n = 0;

	for (unsigned i = 0; i < EGRESSES; i++) {
		if (!ways[i].list)
			continue;
		rules[n].egress = (uint16_t)i;
		if (list_parse("l", "l", ways[i].list, strlen(ways[i].list), 0, &rules[n++].list,
			       &err) != 0)
			abort();
	}
	if (table_build(rules, n, VPN, 1, &table) != 0)
		abort();
	while (n > 0)
		list_unref(rules[--n].list);
	return table;
}

static struct links *make_links(void)
{
	struct links *links = links_create(EGRESSES);

	if (!links)
		abort();
	for (unsigned i = 0; i < INTERFACES; i++) {
		struct link *l = &links->link[i];

		*l = (struct link){
			.ifindex = i + 1, .up = true, .ethernet = i == DIRECT, .mtu = ways[i].mtu};
		l->address4 = address(ways[i].address4);
		l->address6 = address(ways[i].address6);
		l->gateway4 = address("192.0.2.254");
		l->gateway6 = address("2001:db8:2::fe");
		if (!l->ethernet)
			continue;
		l->neighbours = calloc(2, sizeof(*l->neighbours));
		if (!l->neighbours)
			abort();
		l->neighbour_count = 2;
		l->neighbours[0].addr = l->gateway4;
		l->neighbours[1].addr = l->gateway6;
		memcpy(l->neighbours[0].mac, gateway_mac, 6);
		memcpy(l->neighbours[1].mac, gateway_mac, 6);
		link_sort_neighbours(l);
	}
	return links;
}

static void make(void)
{
	const struct addr own[] = {address("10.66.0.2"), address("fd66::2")};
	struct egress_options egresses[EGRESSES] = {{0}};
	struct tun_options tun_options = {.name = "sluice0", .queues = 1, .fd = -1};
	struct dataplane_options options = {.egresses = egresses,
					    .egress_count = EGRESSES,
					    .flows = 64,
					    .own = own,
					    .own_count = 2,
					    .source_ports = 100,
					    .source_flows = 100};

	for (unsigned i = 0; i < INTERFACES; i++)
		egresses[i] = (struct egress_options){.type = EGRESS_INTERFACE,
						      .interface = ways[i].name,
						      .nat = ways[i].nat,
						      .port_first = PORT,
						      .port_last = PORT,
						      .on_down = ON_DOWN_DROP};
	egresses[NONE].type = EGRESS_DROP;
	egresses[NO].type = EGRESS_REJECT;
	play.tun = make_pair("10.66.0.2", "fd66::2");
	play.inside = make_pair("10.0.0.5", "fd00::5");
	play.site = make_pair("198.51.100.7", "2001:db8:51::7");
	for (unsigned i = 0; i < INTERFACES; i++)
		play.outer[i] = make_pair(ways[i].address4, ways[i].address6);
	play.memory = malloc(3 * (size_t)BUF_SIZE);
	if (!play.memory || tun_open(&tun_options, &options.tun) != 0 ||
	    dataplane_create(&options, &play.dataplane, NULL) != 0)
		abort();
	for (unsigned i = 0; i < INTERFACES; i++)
		play.nics[i] = nic_mem_find(ways[i].name);
	dataplane_publish_table(play.dataplane, make_table());
	dataplane_publish_links(play.dataplane, make_links());
}

/* ---- What must hold ---- */

/* What a list says, without a table. */
static int named_egress(const uint8_t *dst, uint8_t version)
{
	static const uint8_t site[4] = {0x20, 1, 0x0d, 0xb8};

	if (version == 6 && memcmp(dst, site, 4) == 0 && dst[4] == 0)
		return dst[5] == 0x51   ? DIRECT
		       : dst[5] == 0x77 ? PLAIN
		       : dst[5] == 0x64 ? NONE
		       : dst[5] == 0x65 ? NO
					: VPN;
	if (version == 6)
		return VPN;
	if (dst[0] == 198 && dst[1] == 51)
		return DIRECT;
	if (dst[0] == 203 && dst[1] == 0 && dst[2] == 113)
		return PLAIN;
	if (dst[0] == 100 && (dst[1] == 64 || dst[1] == 65))
		return dst[1] == 64 ? NONE : NO;
	return VPN;
}

/* No egress may carry these. */
static bool is_nowhere(const uint8_t *dst, uint8_t version)
{
	if (version == 4)
		return dst[0] == 0 || dst[0] == 127 || dst[0] >= 224 ||
		       (dst[0] == 169 && dst[1] == 254);
	return dst[0] == 0xff || (dst[0] == 0xfe && (dst[1] & 0xc0) == 0x80);
}

/* UDP over less than the whole IP payload is legal, but what offloads make of it is anybody's. */
static bool is_plain(const struct packet *p)
{
	const uint8_t *l4 = p->buf->data + p->l4_offset;

	return p->key.proto != PROTO_UDP || l4[4] * 256u + l4[5] == p->buf->len - p->l4_offset;
}

/* Each segment is well-formed; with a change, it is that of what came in with that change. */
static const char *check_segments(const struct given *given, const struct buf *out,
				  const struct translate *change)
{
	struct buf got = {.data = play.memory + BUF_SIZE},
		   want = {.data = play.memory + 2 * (size_t)BUF_SIZE};

	for (unsigned i = 0; i < SEGMENTS_MAX && packets_segment(out, i, &got); i++) {
		const char *wrong = packets_check(&got);

		if (wrong)
			return wrong;
		if (!change)
			continue;
		if (!packets_segment(&given->buf, i, &want))
			return "a segment more";
		translate_packet(change, &want);
		if (got.len != want.len || memcmp(got.data, want.data, got.len) != 0)
			return "not what the model makes of it";
	}
	return NULL;
}

static unsigned mtu_of(unsigned egress, uint8_t version)
{
	return version == 6 && ways[egress].mtu < 1280 ? 1280 : ways[egress].mtu;
}

static const char *check_form(const struct given *given, struct buf *out, struct packet *p)
{
	uint32_t len = out->len;
	unsigned proto;

	if (packet_parse(out, p) != REASON_NONE || out->len != len)
		return "what goes out does not parse";
	if ((out->offload.flags & OFFLOAD_NEEDS_CSUM) &&
	    out->offload.csum_start != packets_transport(out, &proto, NULL))
		return "checksum left to offload at a wrong place";
	if (given->right && given->packet.kind == PACKET_ICMP_ERROR &&
	    p->kind == PACKET_ICMP_ERROR && !packets_check_quote(&given->buf) &&
	    packets_check_quote(out))
		return "quote spoilt";
	return given->right ? packets_check(out) : NULL;
}

/* The change that a packet of a flow undergoes on its way by an egress. */
static struct translate change_of(const struct given *given, unsigned egress,
				  const struct packet *out)
{
	uint8_t version = out->key.version;
	bool outward = given->from < 0;
	struct translate change = {.source = outward};

	change.cut = !outward && version == 4 && out->buf->len > ways[egress].mtu &&
		     out->buf->offload.gso_type == OFFLOAD_GSO_NONE;
	change.mss = (uint16_t)(mtu_of(egress, version) - (version == 4 ? 40 : 60));
	change.hop = !is_own(outward ? given->packet.key.src : out->key.dst, version);
	memcpy(change.addr, outward ? out->key.src : out->key.dst, sizeof(change.addr));
	change.port = outward ? out->key.src_port : out->key.dst_port;
	return change;
}

static const char *check_flow_packet(const struct given *given, const struct buf *out,
				     const struct packet *p, unsigned egress)
{
	struct translate change = change_of(given, egress, p);
	bool same = given->packet.kind == PACKET_TRANSPORT && p->kind == PACKET_TRANSPORT &&
		    !given->packet.first_fragment && !p->first_fragment && is_plain(&given->packet);

	if (!given->right)
		return NULL;
	return check_segments(given, out, same ? &change : NULL);
}

static const char *check_source(const struct packet *p, unsigned egress)
{
	const struct flow_key *key = &p->key;

	if (!is_outer_of(key->src, key->version, egress))
		return "source is not ours";
	if (p->kind == PACKET_TRANSPORT && key->src_port != PORT)
		return "source port is not of our slice";
	return NULL;
}

/* An answer of our own to somebody outside, whose packet had no hop left. */
static const char *check_answer_out(const struct given *given, const struct buf *out,
				    const struct packet *p, unsigned egress)
{
	if (given->from != (int)egress || p->kind != PACKET_ICMP_ERROR ||
	    !same_address(p->key.dst, given->packet.key.src, p->key.version))
		return "what came in went out";
	if (packets_check(out))
		return packets_check(out);
	if (!given->right || (given->buf.offload.flags & OFFLOAD_NEEDS_CSUM))
		return NULL;
	return packets_check_quote(out);
}

static const char *check_leaving(const struct given *given, struct buf *out, unsigned egress,
				 const uint8_t next_hop[6])
{
	struct packet p;
	const char *wrong = check_form(given, out, &p);
	uint32_t size;

	if (wrong)
		return wrong;
	size = out->offload.gso_type ? (uint32_t)p.payload + out->offload.gso_size : out->len;
	if (size > mtu_of(egress, p.key.version))
		return "longer than the link takes";
	if (egress == DIRECT && memcmp(next_hop, gateway_mac, 6) != 0)
		return "to another than the gateway";
	if (ways[egress].nat)
		wrong = check_source(&p, egress);
	else if (!same_address(p.key.src, given->packet.key.src, p.key.version))
		wrong = "source translated";
	if (wrong)
		return wrong;
	if (given->from >= 0)
		return check_answer_out(given, out, &p, egress);
	if (!same_address(p.key.dst, given->packet.key.dst, p.key.version))
		return "destination changed";
	if (is_nowhere(p.key.dst, p.key.version))
		return "left for nowhere";
	if (named_egress(p.key.dst, p.key.version) != (int)egress)
		return "left by an egress that the table does not name";
	if (!ways[egress].nat) /* the model would translate */
		return given->right && p.kind == PACKET_TRANSPORT && !p.first_fragment
			       ? check_segments(given, out, NULL)
			       : NULL;
	return check_flow_packet(given, out, &p, egress);
}

static bool is_insider(const uint8_t *addr, uint8_t version)
{
	for (unsigned i = 0; i < play.insider_count; i++)
		if (play.insiders[i][0] == version &&
		    same_address(play.insiders[i] + 1, addr, version))
			return true;
	return false;
}

/* An error tells of what left from the address that it comes to. */
static bool wrong_quote(const struct given *given, const struct packet *out)
{
	struct flow_key before, after;
	uint16_t at, l4;

	return packet_quoted(&given->packet, &before, &at, &l4) != REASON_NONE ||
	       packet_quoted(out, &after, &at, &l4) != REASON_NONE ||
	       !same_address(before.src, given->packet.key.dst, before.version) ||
	       !same_address(after.src, out->key.dst, after.version) ||
	       !same_address(after.dst, before.dst, after.version);
}

static const char *check_entering(const struct given *given, struct buf *out)
{
	struct packet p;
	const char *wrong = check_form(given, out, &p);

	if (wrong)
		return wrong;
	if (given->from < 0) {
		bool answer = p.kind == PACKET_ICMP_ERROR || (p.tcp_flags & TCP_RST);
		bool back = same_address(p.key.dst, given->packet.key.src, p.key.version);

		if (is_outer(given->packet.key.dst, given->packet.key.version, true))
			return NULL; /* a hairpin, or the answer to one */
		return answer && back ? NULL : "neither an answer nor a hairpin";
	}
	if (!is_insider(p.key.dst, p.key.version))
		return "to somebody who did not ask";
	if (!is_outer_of(given->packet.key.dst, p.key.version, (unsigned)given->from))
		return "was for another";
	if (p.kind == PACKET_ICMP_ERROR && given->right && wrong_quote(given, &p))
		return "about a packet that was not ours";
	if (!same_address(p.key.src, given->packet.key.src, p.key.version))
		return "source changed";
	if (play.flows && p.kind == PACKET_TRANSPORT && p.key.proto != PROTO_ICMP &&
	    p.key.proto != PROTO_ICMP6 && p.key.dst_port != 1234)
		return "to a port that did not ask";
	return check_flow_packet(given, out, &p, (unsigned)given->from);
}

/* ---- Playing ---- */

static const char *look(const struct given *given)
{
	struct buf out = {.data = play.memory};
	const char *wrong = NULL;
	uint8_t next_hop[6];

	for (unsigned i = 0; i < INTERFACES; i++) {
		while ((out.len = (uint32_t)nic_mem_take(play.nics[i], 0, out.data, BUF_SIZE,
							 &out.offload, next_hop)) > 0)
			if (!wrong)
				wrong = given->parses ? check_leaving(given, &out, i, next_hop)
						      : "left, and does not parse";
	}
	while ((out.len = (uint32_t)tun_mem_take(dataplane_tun(play.dataplane), 0, out.data,
						 BUF_SIZE, &out.offload)) > 0)
		if (!wrong)
			wrong = given->parses ? check_entering(given, &out)
					      : "answered, and does not parse";
	return wrong;
}

static void note_insider(const struct flow_key *key)
{
	uint8_t *slot = play.insiders[play.insider_count];

	if (is_insider(key->src, key->version) || play.insider_count == INSIDERS_MAX)
		return;
	slot[0] = key->version;
	memcpy(slot + 1, key->src, sizeof(key->src));
	play.insider_count++;
}

const char *worker_props_play(const struct buf *buf, int from)
{
	struct given given = {.buf = *buf, .from = from};
	const char *wrong;

	if (buf->len == 0)
		return NULL;
	given.buf.data = malloc(buf->len);
	if (!given.buf.data)
		abort();
	memcpy(given.buf.data, buf->data, buf->len);
	given.right = !packets_check(&given.buf);
	given.parses = packet_parse(&given.buf, &given.packet) == REASON_NONE;
	if (given.parses && (given.buf.offload.flags & OFFLOAD_NEEDS_CSUM))
		given.right = given.right && is_plain(&given.packet);
	if (given.parses && from < 0)
		note_insider(&given.packet.key);
	if (from < 0)
		tun_mem_inject(dataplane_tun(play.dataplane), 0, buf->data, buf->len,
			       &buf->offload);
	else
		nic_mem_inject(play.nics[from], 0, buf->data, buf->len, &buf->offload);
	dataplane_turn(play.dataplane, 0, play.now_ms);
	wrong = look(&given);
	free(given.buf.data);
	return wrong;
}

void worker_props_hold(const struct buf *buf, int from)
{
	const char *wrong = worker_props_play(buf, from);

	if (!wrong)
		return;
	fprintf(stderr, "%s\n", wrong);
	abort();
}

bool worker_props_input(const uint8_t *input, size_t size, struct buf *buf)
{
	if (size < sizeof(buf->offload) + 1 || size - sizeof(buf->offload) > BUF_SIZE)
		return false;
	memcpy(&buf->offload, input, sizeof(buf->offload));
	buf->len = (uint32_t)(size - sizeof(buf->offload));
	buf->data = malloc(buf->len);
	if (!buf->data)
		abort();
	memcpy(buf->data, input + sizeof(buf->offload), buf->len);
	if (buf->offload.flags & 0x80)
		packets_fix(buf);
	else if (buf->offload.flags & 0x40)
		packets_fix_ip(buf);
	return true;
}

void worker_props_ends(uint8_t version, int from, uint8_t src[16], uint8_t dst[16])
{
	const struct pair *to = from < 0 ? &play.site : &play.outer[DIRECT];

	if (!play.dataplane)
		make();
	memcpy(src, of_version(from < 0 ? &play.inside : &play.site, version), 16);
	memcpy(dst, of_version(to, version), 16);
}

static void make_opener(uint8_t version, uint8_t proto, struct opener *opener)
{
	struct buf buf = {.data = opener->bytes};
	struct packets_spec spec = {.version = version,
				    .proto = proto,
				    .src_port = 1234,
				    .dst_port = 80,
				    .tcp_flags = TCP_SYN,
				    .icmp_type = version == 4 ? 8 : 128};
	struct packet packet;

	worker_props_ends(version, WORKER_PROPS_INSIDE, spec.src, spec.dst);
	packets_build(&spec, &buf);
	opener->len = buf.len;
	if (packet_parse(&buf, &packet) != REASON_NONE)
		abort();
	opener->key = packet.key;
}

static void make_openers(void)
{
	static const uint8_t protos[2][OPENERS / 2] = {{PROTO_TCP, PROTO_UDP, PROTO_ICMP},
						       {PROTO_TCP, PROTO_UDP, PROTO_ICMP6}};

	for (unsigned i = 0; i < OPENERS; i++) {
		struct opener *opener = &play.openers[i];
		struct buf buf = {.data = opener->bytes};

		make_opener(i < OPENERS / 2 ? 4 : 6, protos[i / (OPENERS / 2)][i % (OPENERS / 2)],
			    opener);
		buf.len = opener->len;
		worker_props_hold(&buf, WORKER_PROPS_INSIDE);
	}
}

/* All in one turn. Each was looked at when it was made. */
static void open_flows(void)
{
	struct buf out = {.data = play.memory};
	uint8_t next_hop[6];
	unsigned left = 0;

	for (unsigned i = 0; i < OPENERS; i++) {
		const struct opener *opener = &play.openers[i];

		note_insider(&opener->key);
		tun_mem_inject(dataplane_tun(play.dataplane), 0, opener->bytes, opener->len,
			       &out.offload);
	}
	dataplane_turn(play.dataplane, 0, play.now_ms);
	while (nic_mem_take(play.nics[DIRECT], 0, out.data, BUF_SIZE, &out.offload, next_hop) > 0)
		left++;
	if (left != OPENERS)
		abort();
}

void worker_props_begin(bool flows)
{
	if (!play.dataplane)
		make();
	if (play.openers[0].len == 0)
		make_openers();
	play.now_ms += HOURS_MS;
	play.insider_count = 0;
	play.flows = flows;
	dataplane_turn(play.dataplane, 0, play.now_ms);
	if (flows)
		open_flows();
}
