/*
 * Cookies and the limiter, by the names of what the protocol asks for; see test_handshake.c.
 *
 * wg_c1  not under load the second MAC is not looked at
 * wg_c2  under load: a cookie reply for a right first MAC, and nothing else is done
 * wg_c3  under load a cookie's owner may have so many handshakes only
 * wg_c4  a cookie is bound to address and port
 * wg_c5  a reply is taken once, for what was sent, and not followed at once
 * wg_c6  responses are answered by cookies, too
 * wg_c7  no answer is longer than what asked for it
 */
#include "dataplane/wireguard/cookie.h"

#include <criterion/criterion.h>
#include <string.h>

#include "dataplane/wireguard/state.h"
#include "tests/wireguard/forge.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct pair_datagram initiation(struct pair *p, uint64_t n)
{
	return forge_initiation(p, 1, p->ends[0].private_key, UINT64_C(7) << 60 | n);
}

static const uint8_t *cookie_of(struct pair *p, unsigned end)
{
	struct wg_cookie_jar *jar = &member_of(pair_peer(p, end))->jar;

	return jar->has_cookie ? jar->cookie : NULL;
}

/* Lets end 0 ask while end 1 is under load. Returns: the reply, not delivered */
static struct pair_datagram ask(struct pair *p)
{
	struct pair_datagram d;

	cr_assert(!pair_send(p, 0, "x", 1));
	pair_serve(p, 0);
	d = forge_take(p, 0);
	forge_load(p, 1);
	pair_receive(p, 1, &d);
	return forge_take(p, 1);
}

Test(wireguard_cookie, wg_c1_without_load)
{
	struct pair *p = pair_create();
	struct pair_datagram d = initiation(p, 1);

	memset(d.data + d.len - WG_COOKIE, 0x77, WG_COOKIE);
	pair_receive(p, 1, &d);
	cr_assert_eq(p->ends[1].sent_by_type[WG_RESPONSE], 1);
	cr_assert_eq(p->ends[1].sent_by_type[WG_COOKIE_REPLY], 0);
	pair_destroy(p);
}

Test(wireguard_cookie, wg_c2_under_load)
{
	static const uint8_t mac2s[] = {0, 0x77};
	struct pair *p = pair_create();
	struct pair_datagram d;

	forge_load(p, 1);
	for (unsigned i = 0; i < COUNT(mac2s); i++) {
		d = initiation(p, i);
		memset(d.data + d.len - WG_COOKIE, mac2s[i], WG_COOKIE);
		pair_receive(p, 1, &d);
		cr_assert_eq(p->ends[1].wire_count, 1, "mac2 of %u", mac2s[i]);
		d = forge_take(p, 1);
		cr_assert_eq(d.data[0], WG_COOKIE_REPLY);
		cr_assert_eq(d.len, WG_COOKIE_REPLY_SIZE);
		cr_assert_eq(wg_get32(d.data + 4), 77, "for its sender");
	}
	d.data[0] = WG_INITIATION;
	d.len = WG_INITIATION_SIZE;
	pair_receive(p, 1, &d);
	cr_assert_eq(p->ends[1].wire_count, 0, "a wrong first MAC is answered");
	cr_assert_eq(forge_counters(p, 1).bad_handshake, 0, "it was looked into");
	cr_assert(!member_of(pair_peer(p, 1))->heard);
	/* A second later all is as it was. */
	p->now_ns += WG_NS;
	d = initiation(p, 9);
	pair_receive(p, 1, &d);
	cr_assert_eq(p->ends[1].sent_by_type[WG_RESPONSE], 1);
	pair_destroy(p);
}

Test(wireguard_cookie, wg_c3_rate)
{
	struct pair *p = pair_create();
	struct pair_datagram d = ask(p);

	pair_receive(p, 0, &d);
	cr_assert(cookie_of(p, 0));
	for (unsigned i = 0; i < 20; i++) {
		d = initiation(p, i);
		forge_macs(p, 1, &d, cookie_of(p, 0));
		pair_receive(p, 1, &d);
		p->now_ns += i % 2 ? WG_NS / 50 : 0;
	}
	cr_assert_eq(p->ends[1].sent_by_type[WG_COOKIE_REPLY], 1, "that of before");
	/* Five at once, and 180 ms make another three. */
	cr_assert_eq(forge_counters(p, 1).limited, 20 - 5 - 3);
	pair_destroy(p);
}

Test(wireguard_cookie, wg_c4_address_and_port)
{
	struct pair *p = pair_create();
	struct pair_datagram d = ask(p);
	const struct udp_endpoint at = p->ends[0].at;
	struct udp_endpoint others[] = {at, at, at};

	pair_receive(p, 0, &d);
	others[0].port++;
	others[1].addr[3]++;
	for (unsigned i = 0; i < COUNT(others); i++) {
		unsigned sent = p->ends[1].sent_by_type[WG_RESPONSE];

		d = initiation(p, 100 + i);
		forge_macs(p, 1, &d, cookie_of(p, 0));
		wg_device_receive(p->ends[1].device, d.data, d.len, &others[i], p->now_ns);
		cr_assert_eq(p->ends[1].sent_by_type[WG_RESPONSE] - sent, i == 2, "case %u", i);
	}
	/* And to the secret of two minutes. */
	p->now_ns += 121 * WG_NS;
	forge_load(p, 1);
	d = initiation(p, 200);
	forge_macs(p, 1, &d, cookie_of(p, 0));
	pair_lose(p, 1);
	pair_receive(p, 1, &d);
	cr_assert_eq(forge_take(p, 1).data[0], WG_COOKIE_REPLY);
	pair_destroy(p);
}

Test(wireguard_cookie, wg_c5_replies)
{
	struct pair *p = pair_create();
	struct pair_datagram reply = ask(p);
	struct pair_datagram bad = reply;
	struct pair_datagram d;

	bad.data[40] ^= 1;
	pair_receive(p, 0, &bad);
	cr_assert_null(cookie_of(p, 0));
	bad = reply;
	bad.data[4] ^= 1; /* another receiver */
	pair_receive(p, 0, &bad);
	cr_assert_null(cookie_of(p, 0));
	pair_receive(p, 0, &reply);
	cr_assert(cookie_of(p, 0));
	cr_assert_eq(p->ends[0].wire_count, 0, "it was followed at once");
	pair_receive(p, 0, &reply);
	cr_assert_eq(forge_counters(p, 0).bad_handshake, 3, "taken twice");
	/* The next initiation, at its time, has a second MAC that end 1 knows. */
	p->now_ns += 6 * WG_NS;
	p->wall_ns += 6 * WG_NS;
	pair_serve(p, 0);
	d = forge_take(p, 0);
	forge_load(p, 1);
	pair_receive(p, 1, &d);
	cr_assert_eq(p->ends[1].sent_by_type[WG_RESPONSE], 1);
	/* A cookie is used for 115 s. */
	for (unsigned i = 0; i < 2; i++) {
		static const uint8_t zero[WG_COOKIE];

		p->now_ns = member_of(pair_peer(p, 0))->jar.cookie_ns + (114 + 2 * i) * WG_NS;
		wg_cookie_add_macs(p->ends[0].device->crypto, &member_of(pair_peer(p, 0))->jar,
				   d.data, d.len, p->now_ns);
		cr_assert_eq(!memcmp(d.data + d.len - WG_COOKIE, zero, WG_COOKIE), i == 1, "%u s",
			     114 + 2 * i);
	}
	pair_destroy(p);
}

Test(wireguard_cookie, wg_c6_for_responses)
{
	struct pair *p = pair_create();
	struct pair_datagram d;

	cr_assert(!pair_send(p, 0, "x", 1));
	pair_serve(p, 0);
	d = forge_take(p, 0);
	pair_receive(p, 1, &d);
	forge_load(p, 0);
	d = forge_take(p, 1);
	pair_receive(p, 0, &d);
	d = forge_take(p, 0);
	cr_assert_eq(d.data[0], WG_COOKIE_REPLY);
	pair_receive(p, 1, &d);
	cr_assert(cookie_of(p, 1));
	pair_destroy(p);
}

Test(wireguard_cookie, wg_c7_no_amplification)
{
	struct pair *p = pair_create();
	struct pair_datagram d = initiation(p, 1);

	pair_receive(p, 1, &d);
	cr_assert_leq(forge_take(p, 1).len, d.len);
	forge_load(p, 1);
	d = initiation(p, 2);
	pair_receive(p, 1, &d);
	cr_assert_leq(forge_take(p, 1).len, d.len);
	cr_assert_lt((int)WG_COOKIE_REPLY_SIZE, (int)WG_RESPONSE_SIZE);
	cr_assert_lt((int)WG_RESPONSE_SIZE, (int)WG_INITIATION_SIZE);
	pair_destroy(p);
}

/* Time before each step, in 20ths of a second. */
static const struct {
	unsigned before;
	bool allowed;
} limits[] = {{0, true}, {0, true},  {0, true}, {0, true}, {0, true}, {0, false},
	      {1, true}, {0, false}, {2, true}, {0, true}, {0, false}};

/* Post a message, from one source after the other, until no more of its kind may wait. */
static void crowd(struct pair *p, const struct pair_datagram *d)
{
	struct udp_endpoint from = p->ends[0].at;
	unsigned n = 0, refused = 0;

	while (refused < 1000) {
		from.addr[3]++;
		from.addr[2] += from.addr[3] == 0;
		if (wg_device_post(p->ends[1].device, d->data, d->len, &from))
			n++;
		else
			refused++;
	}
	cr_assert_geq(n, WG_UNDER_LOAD);
}

Test(wireguard_cookie, one_source_leaves_room_for_others)
{
	struct pair *p = pair_create();
	struct pair_datagram d = initiation(p, 0);
	struct udp_endpoint other = p->ends[0].at;
	unsigned n = 0;

	while (wg_device_post(p->ends[1].device, d.data, d.len, &p->ends[0].at))
		n++;
	cr_assert_eq(n, WG_POST_MAX / 2);
	other.addr[0]++;
	while (n < WG_POST_MAX && wg_device_post(p->ends[1].device, d.data, d.len, &other))
		n++;
	cr_assert_gt(n, WG_POST_MAX / 2, "or both hash to one: 1 in 256");
	wg_device_serve(p->ends[1].device, p->now_ns);
	cr_assert(wg_device_post(p->ends[1].device, d.data, d.len, &p->ends[0].at));
	pair_destroy(p);
}

Test(wireguard_cookie, who_has_one_is_heard_in_a_crowd)
{
	struct pair *p = pair_create();
	struct pair_datagram d = ask(p), other;

	pair_receive(p, 0, &d);
	other = initiation(p, 0);
	crowd(p, &other);
	d = initiation(p, 1);
	forge_macs(p, 1, &d, cookie_of(p, 0));
	cr_assert(wg_device_post(p->ends[1].device, d.data, d.len, &p->ends[0].at), "no place");
	wg_device_serve(p->ends[1].device, p->now_ns);
	cr_assert_eq(p->ends[1].sent_by_type[WG_RESPONSE], 1, "not at once");
	pair_destroy(p);
}

Test(wireguard_cookie, liars_keep_nobody_from_being_heard)
{
	struct pair *p = pair_create();
	struct pair_datagram plain = initiation(p, 0), liar = initiation(p, 1);

	memset(liar.data + liar.len - WG_COOKIE, 0x77, WG_COOKIE);
	plain.data[0] = WG_RESPONSE; /* of the wrong length: told apart by the counters */
	crowd(p, &liar);
	for (unsigned i = 0; i < 8; i++)
		cr_assert(wg_device_post(p->ends[1].device, plain.data, plain.len, &p->ends[0].at));
	wg_device_serve(p->ends[1].device, p->now_ns);
	cr_assert_eq(forge_counters(p, 1).malformed, 8);
	cr_assert_eq(p->ends[1].sent_by_type[WG_COOKIE_REPLY], SERVE_MAX - 8);
	pair_destroy(p);
}

Test(wireguard_cookie, limiter_of_a_source)
{
	struct wg_limiter *l = wg_limiter_create(1);
	struct udp_endpoint six = {.addr = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 1}, .version = 6};
	uint64_t now_ns = 5 * WG_NS;

	cr_assert(l);
	for (unsigned i = 0; i < COUNT(limits); i++) {
		struct udp_endpoint four = pair_endpoint4(1, (uint16_t)i);

		now_ns += limits[i].before * WG_NS / 20;
		cr_assert_eq(wg_limiter_allow(l, &four, now_ns), limits[i].allowed, "step %u", i);
		four = pair_endpoint4(10 + i, 1);
		cr_assert(wg_limiter_allow(l, &four, now_ns), "another source, step %u", i);
		six.addr[15] = (uint8_t)i; /* the same /64 */
		six.addr[7] = 1;
		cr_assert_eq(wg_limiter_allow(l, &six, now_ns), limits[i].allowed, "step %u", i);
		six.addr[7] = (uint8_t)(10 + i);
		cr_assert(wg_limiter_allow(l, &six, now_ns), "another /64, step %u", i);
	}
	wg_limiter_destroy(l);
}

Test(wireguard_cookie, limiter_is_bounded_and_then_closed)
{
	struct wg_limiter *l = wg_limiter_create(1);
	uint64_t now_ns = 5 * WG_NS;

	cr_assert(l);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i <= WG_LIMIT_MAX; i++) {
			struct udp_endpoint from = pair_endpoint4(0, 1);

			wg_put32(from.addr, i);
			cr_assert_eq(wg_limiter_allow(l, &from, now_ns), i < WG_LIMIT_MAX,
				     "round %u, source %u", round, i);
		}
		now_ns += WG_NS; /* by then all are forgotten */
	}
	wg_limiter_destroy(l);
}
