/* See forge.h. */
#include "tests/wireguard/forge.h"

#include <criterion/criterion.h>
#include <string.h>

void forge_macs(struct pair *p, unsigned to, struct pair_datagram *d, const uint8_t *cookie)
{
	struct wg_cookie_jar jar = {.has_cookie = cookie};
	struct wg_crypto *c;

	cr_assert_eq(wg_crypto_create(&c), 0);
	if (cookie)
		memcpy(jar.cookie, cookie, WG_COOKIE);
	jar.cookie_ns = p->now_ns;
	wg_mac_keys_set(c, p->ends[to].public_key, &jar.keys);
	wg_cookie_add_macs(c, &jar, d->data, d->len, p->now_ns);
	wg_crypto_destroy(c);
}

struct pair_datagram forge_initiation(struct pair *p, unsigned to,
				      const uint8_t private_key[WG_KEY], uint64_t stamp_ns)
{
	struct pair_datagram d = {.to = p->ends[to].at, .len = sizeof(struct wg_initiation)};
	struct wg_identity identity;
	struct wg_remote remote = {0};
	struct wg_handshake handshake;
	struct wg_initiation message;
	uint8_t ephemeral[WG_KEY] = {8, (uint8_t)stamp_ns, [31] = 64};
	uint8_t stamp[WG_STAMP] = {0x40};
	struct wg_crypto *c;

	cr_assert_eq(wg_crypto_create(&c), 0);
	cr_assert_eq(wg_identity_set(&identity, private_key), 0);
	memcpy(remote.public_key, p->ends[to].public_key, WG_KEY);
	wg_remote_set(&remote, &identity);
	for (int i = 0; i < 8; i++)
		stamp[4 + i] = (uint8_t)(stamp_ns >> (56 - 8 * i));
	cr_assert(wg_noise_create_initiation(c, &identity, &remote, ephemeral, stamp, 77,
					     &handshake, &message));
	memcpy(d.data, &message, sizeof(message));
	memcpy(d.to.source, p->ends[1 - to].at.addr, sizeof(d.to.source));
	wg_crypto_destroy(c);
	forge_macs(p, to, &d, NULL);
	return d;
}

struct pair_datagram forge_take(struct pair *p, unsigned end)
{
	struct pair_end *e = &p->ends[end];
	struct pair_datagram d;

	cr_assert_gt(e->wire_count, 0, "end %u has sent nothing", end);
	d = e->wire[0];
	e->wire_count--;
	memmove(&e->wire[0], &e->wire[1], e->wire_count * sizeof(e->wire[0]));
	return d;
}

void forge_load(struct pair *p, unsigned end)
{
	static const uint8_t junk[WG_INITIATION_SIZE] = {WG_INITIATION};
	unsigned sent = forge_sent(p, end);

	for (unsigned i = 0; i < WG_UNDER_LOAD; i++)
		cr_assert(wg_device_post(p->ends[end].device, junk, sizeof(junk), &p->ends[1].at));
	while (wg_device_serve(p->ends[end].device, p->now_ns) == p->now_ns)
		;
	cr_assert_eq(forge_sent(p, end), sent, "junk was answered");
}

struct wg_device_counters forge_counters(struct pair *p, unsigned end)
{
	struct wg_device_counters c;

	wg_device_read_counters(p->ends[end].device, &c);
	return c;
}

unsigned forge_sent(const struct pair *p, unsigned end)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 5; i++)
		n += p->ends[end].sent_by_type[i];
	return n;
}
