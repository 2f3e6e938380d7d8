/* What the device itself sends: handshake messages, cookies, keepalives. See state.h. */
#include "dataplane/wireguard/state.h"

#define STAMP_EPOCH UINT64_C(0x400000000000000a) /* 1970 in TAI64, leap seconds of then */

static void send_to(struct wg_device *device, struct wg_member *member,
		    const struct udp_endpoint *to, const void *data, size_t len, uint8_t tos)
{
	const struct wg_device_options *o = &device->options;

	if (o->send && !o->send(o->context, to, data, len, tos) && member)
		wg_peer_forget_source(&member->peer, to->source);
}

/* Rounded down, so that it says little of the clock, and never lower than what was sent before. */
static uint64_t next_stamp(struct wg_device *device, struct wg_member *member)
{
	uint64_t wall_ns = wg_wall_ns(device);
	uint64_t least_ns = member->stamped_ns + STAMP_STEP;

	if (wall_ns < least_ns) {
		device->counters.clock_behind += least_ns - wall_ns > WG_REKEY_TIMEOUT;
		wall_ns = least_ns;
	}
	wall_ns -= wall_ns % WG_NS % STAMP_STEP;
	member->stamped_ns = wall_ns;
	if (wall_ns > device->wall_floor_ns)
		__atomic_store_n(&device->wall_floor_ns, wall_ns, __ATOMIC_RELAXED);
	return wall_ns;
}

/* TAI64N: seconds and nanoseconds, big endian. */
static void put_stamp(uint64_t wall_ns, uint8_t out[WG_STAMP])
{
	uint64_t seconds = STAMP_EPOCH + wall_ns / WG_NS;
	uint32_t rest = (uint32_t)(wall_ns % WG_NS);

	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)(seconds >> (56 - 8 * i));
	for (int i = 0; i < 4; i++)
		out[8 + i] = (uint8_t)(rest >> (24 - 8 * i));
}

static void make_ephemeral(struct wg_device *device, uint8_t out[WG_KEY])
{
	wg_random_bytes(device, out, WG_KEY);
	wg_crypto_clamp(out);
}

static void note_greeting(struct wg_member *member, uint64_t now_ns, uint64_t bytes)
{
	member->greeted = true;
	member->greeted_ns = now_ns;
	wg_peer_mark_sent(&member->peer, now_ns, bytes);
}

/* Whether it is too early, and then when it will not be. */
static bool is_early(struct wg_member *member, uint64_t now_ns)
{
	uint64_t earliest_ns = member->greeted_ns + WG_REKEY_TIMEOUT;

	if (!member->greeted || now_ns >= earliest_ns)
		return false;
	if (member->retransmit_ns == NEVER)
		member->initiate_ns = earliest_ns;
	return true;
}

void wg_send_initiation(struct wg_device *device, struct wg_member *member, uint64_t now_ns,
			bool retry)
{
	uint8_t ephemeral[WG_KEY];
	uint8_t stamp[WG_STAMP];
	struct wg_initiation message;
	struct udp_endpoint to;
	uint32_t index;

	if (!retry)
		member->attempts = 0;
	if (is_early(member, now_ns) || !device->identity.present || !member->remote.usable ||
	    !wg_peer_endpoint(&member->peer, &to))
		return;
	wg_handshake_drop(device, member);
	put_stamp(next_stamp(device, member), stamp);
	make_ephemeral(device, ephemeral);
	index = wg_index_take(device, member);
	if (wg_noise_create_initiation(device->crypto, &device->identity, &member->remote,
				       ephemeral, stamp, index, &member->handshake, &message)) {
		member->handshake_indexed = true;
		member->initiate_ns = NEVER;
		member->retransmit_ns = now_ns + WG_REKEY_TIMEOUT + wg_jitter(device);
		wg_cookie_add_macs(device->crypto, &member->jar, (uint8_t *)&message,
				   sizeof(message), now_ns);
		note_greeting(member, now_ns, sizeof(message));
		device->counters.initiations_sent++;
		member->unanswered++;
		send_to(device, member, &to, &message, sizeof(message), WG_TOS_HANDSHAKE);
	} else {
		wg_index_release(device, index);
	}
	wg_crypto_wipe(ephemeral, sizeof(ephemeral));
}

void wg_send_response(struct wg_device *device, struct wg_member *member, uint64_t now_ns)
{
	uint8_t ephemeral[WG_KEY];
	struct wg_response message;
	struct udp_endpoint to;
	uint32_t index = wg_index_take(device, member);

	make_ephemeral(device, ephemeral);
	if (wg_peer_endpoint(&member->peer, &to) &&
	    wg_noise_create_response(device->crypto, &member->remote, ephemeral, index,
				     &member->handshake, &message)) {
		wg_cookie_add_macs(device->crypto, &member->jar, (uint8_t *)&message,
				   sizeof(message), now_ns);
		member->handshake_indexed = true;
		if (wg_session_begin(device, member, now_ns)) {
			note_greeting(member, now_ns, sizeof(message));
			device->counters.responses_sent++;
			send_to(device, member, &to, &message, sizeof(message), WG_TOS_HANDSHAKE);
		}
	} else {
		wg_index_release(device, index);
		wg_handshake_drop(device, member);
	}
	wg_crypto_wipe(ephemeral, sizeof(ephemeral));
}

static void random_for_cookie(void *device, uint8_t *out, size_t size)
{
	wg_random_bytes(device, out, size);
}

void wg_send_cookie(struct wg_device *device, const uint8_t *message, size_t size,
		    const struct udp_endpoint *to, uint64_t now_ns)
{
	struct wg_cookie_reply reply;

	wg_cookie_reply(device->crypto, &device->checker, message, size, to, now_ns,
			random_for_cookie, device, &reply);
	device->counters.cookies_sent++;
	send_to(device, NULL, to, &reply, sizeof(reply), WG_TOS_HANDSHAKE);
}

void wg_send_keepalive(struct wg_device *device, struct wg_member *member, uint64_t now_ns)
{
	struct wg_keypair *keypair = wg_peer_sending(&member->peer, now_ns);
	uint8_t message[WG_DATA_OVERHEAD];
	struct udp_endpoint to;
	uint64_t counter;

	if (!keypair || wg_keypair_take(keypair, 1, &counter) == 0) {
		wg_send_initiation(device, member, now_ns, false);
		return;
	}
	if (!wg_peer_endpoint(&member->peer, &to))
		return;
	wg_data_header(message, keypair->remote_index, counter);
	wg_aead_seal(device->aead, keypair->send_key, counter, message, 0,
		     message + WG_DATA_HEADER);
	wg_peer_note_sent(&member->peer, keypair, now_ns, sizeof(message), false);
	device->counters.keepalives_sent++;
	send_to(device, member, &to, message, sizeof(message), 0);
}
