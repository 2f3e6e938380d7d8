/* Messages of handshakes, in the order of the checks that they pass. See state.h. */
#include "dataplane/wireguard/state.h"

/* What its MACs say of a message. */
enum mac_state { MAC_BAD, MAC_GOOD, MAC_NEEDS_COOKIE };

static enum mac_state check_macs(struct wg_device *device, const uint8_t *data, size_t len,
				 const struct udp_endpoint *from, bool under_load, uint64_t now_ns)
{
	if (!wg_cookie_check_mac1(device->crypto, &device->checker, data, len)) {
		device->counters.bad_mac++;
		return MAC_BAD;
	}
	if (!under_load)
		return MAC_GOOD;
	if (!wg_cookie_check_mac2(device->crypto, &device->checker, data, len, from, now_ns))
		return MAC_NEEDS_COOKIE;
	if (!wg_limiter_allow(device->limiter, from, now_ns)) {
		device->counters.limited++;
		return MAC_BAD;
	}
	return MAC_GOOD;
}

/* Whether an initiation is newer than all that were heard of the peer, and not too soon. */
static bool is_fresh(struct wg_device *device, const struct wg_member *member,
		     const uint8_t stamp[WG_STAMP], uint64_t now_ns)
{
	if (!member->heard)
		return true;
	if (memcmp(stamp, member->heard_stamp, WG_STAMP) <= 0) {
		device->counters.replayed++;
		return false;
	}
	if (now_ns - member->heard_ns < INITIATION_GAP_MIN) {
		device->counters.flooded++;
		return false;
	}
	return true;
}

static void receive_initiation(struct wg_device *device, const uint8_t *data, size_t len,
			       const struct udp_endpoint *from, uint64_t now_ns)
{
	struct wg_initiation message;
	struct wg_greeting greeting;
	struct wg_member *member;

	memcpy(&message, data, sizeof(message));
	if (!wg_noise_read_initiation(device->crypto, &device->identity, &message, &greeting)) {
		device->counters.bad_handshake++;
		return;
	}
	member = wg_roster_find(device, device->roster, greeting.remote_static);
	if (!member ||
	    !wg_noise_accept_initiation(device->crypto, &member->remote, &message, &greeting)) {
		device->counters.bad_handshake++;
		goto wipe;
	}
	if (!is_fresh(device, member, greeting.stamp, now_ns))
		goto wipe;
	member->heard = true;
	member->heard_ns = now_ns;
	memcpy(member->heard_stamp, greeting.stamp, WG_STAMP);
	wg_handshake_drop(device, member);
	member->handshake = greeting.handshake;
	wg_peer_set_endpoint(&member->peer, from);
	wg_peer_mark_received(&member->peer, now_ns, len);
	wg_send_response(device, member, now_ns);
	wg_member_attend(device, member, now_ns);
wipe:
	wg_crypto_wipe(&greeting, sizeof(greeting));
}

static void receive_response(struct wg_device *device, const uint8_t *data, size_t len,
			     const struct udp_endpoint *from, uint64_t now_ns)
{
	struct wg_response message;
	struct wg_member *member;

	memcpy(&message, data, sizeof(message));
	member = wg_index_owner(device, wg_get32(message.receiver));
	if (!member || !member->handshake_indexed ||
	    member->handshake.local_index != wg_get32(message.receiver) ||
	    !wg_noise_accept_response(device->crypto, &device->identity, &member->remote, &message,
				      &member->handshake)) {
		device->counters.bad_handshake++;
		return;
	}
	wg_peer_set_endpoint(&member->peer, from);
	wg_peer_mark_received(&member->peer, now_ns, len);
	/* The other side may send when it has heard of us: at once, whatever waits here. */
	if (wg_session_begin(device, member, now_ns))
		wg_send_keepalive(device, member, now_ns);
	wg_member_attend(device, member, now_ns);
}

/* Kept for the next message: it is not sent again at once. */
static void receive_cookie(struct wg_device *device, const uint8_t *data, uint64_t now_ns)
{
	struct wg_cookie_reply reply;
	struct wg_member *member;

	memcpy(&reply, data, sizeof(reply));
	member = wg_index_owner(device, wg_get32(reply.receiver));
	if (!member || !wg_cookie_take(device->crypto, &member->jar, &reply, now_ns))
		device->counters.bad_handshake++;
}

/* The length of each type; 0: no such message, or data. */
static size_t size_of(uint32_t type)
{
	switch (type) {
	case WG_INITIATION:
		return WG_INITIATION_SIZE;
	case WG_RESPONSE:
		return WG_RESPONSE_SIZE;
	case WG_COOKIE_REPLY:
		return WG_COOKIE_REPLY_SIZE;
	default:
		return 0;
	}
}

void wg_receive(struct wg_device *device, const uint8_t *data, size_t len,
		const struct udp_endpoint *from, bool under_load, uint64_t now_ns)
{
	uint32_t type = len >= 4 ? wg_get32(data) : 0;

	if (len == 0 || len != size_of(type) || !device->identity.present) {
		device->counters.malformed++;
		return;
	}
	if (type == WG_COOKIE_REPLY) {
		receive_cookie(device, data, now_ns);
		return;
	}
	switch (check_macs(device, data, len, from, under_load, now_ns)) {
	case MAC_BAD:
		return;
	case MAC_NEEDS_COOKIE:
		wg_send_cookie(device, data, len, from, now_ns);
		return;
	case MAC_GOOD:
		break;
	}
	if (type == WG_INITIATION)
		receive_initiation(device, data, len, from, now_ns);
	else
		receive_response(device, data, len, from, now_ns);
}
