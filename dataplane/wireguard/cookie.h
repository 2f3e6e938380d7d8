/*
 * The MACs of handshake messages and the cookies that a device under load asks for; and the limiter
 * that holds back those who have one.
 */
#ifndef SLUICE_DATAPLANE_WIREGUARD_COOKIE_H
#define SLUICE_DATAPLANE_WIREGUARD_COOKIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/wireguard/crypto.h"
#include "dataplane/wireguard/message.h"
#include "tun/udp.h"

#define WG_COOKIE_SECRET_LIFE (120 * WG_NS)
#define WG_COOKIE_LATENCY (5 * WG_NS) /* a cookie is not used for the last of its life */

/* What public key K makes: the keys of MACs in messages to who has it. */
struct wg_mac_keys {
	uint8_t mac1[WG_KEY];
	uint8_t cookie[WG_KEY];
};

/* Of a device: checks what comes in. */
struct wg_cookie_checker {
	struct wg_mac_keys keys;
	uint8_t secret[WG_KEY];
	uint64_t secret_ns; /* made when; valid if has_secret */
	bool has_secret;
};

/* Of a peer: what we send to it. */
struct wg_cookie_jar {
	struct wg_mac_keys keys;
	uint8_t cookie[WG_COOKIE];
	uint64_t cookie_ns;
	bool has_cookie;
	uint8_t mac1[WG_COOKIE]; /* the last that was sent */
	bool sent_mac1;          /* and no reply to it has been taken */
};

typedef void wg_random(void *context, uint8_t *out, size_t size);

void wg_mac_keys_set(struct wg_crypto *crypto, const uint8_t public_key[WG_KEY],
		     struct wg_mac_keys *out);

/* Whether the first MAC is right. message: size bytes with its macs at the end */
bool wg_cookie_check_mac1(struct wg_crypto *crypto, const struct wg_cookie_checker *checker,
			  const uint8_t *message, size_t size);

/* Whether the second MAC was made with a cookie that from has of us. */
bool wg_cookie_check_mac2(struct wg_crypto *crypto, const struct wg_cookie_checker *checker,
			  const uint8_t *message, size_t size, const struct udp_endpoint *from,
			  uint64_t now_ns);

/* Write a reply with a cookie. message: initiation or response, whose first MAC is right */
void wg_cookie_reply(struct wg_crypto *crypto, struct wg_cookie_checker *checker,
		     const uint8_t *message, size_t size, const struct udp_endpoint *from,
		     uint64_t now_ns, wg_random *random, void *context,
		     struct wg_cookie_reply *out);

/* Fill in both MACs of a message to a peer. */
void wg_cookie_add_macs(struct wg_crypto *crypto, struct wg_cookie_jar *jar, uint8_t *message,
			size_t size, uint64_t now_ns);

/* Keep the cookie of a reply. Returns: whether it is authentic and was asked for */
bool wg_cookie_take(struct wg_crypto *crypto, struct wg_cookie_jar *jar,
		    const struct wg_cookie_reply *reply, uint64_t now_ns);

enum {
	WG_LIMIT_RATE = 20,   /* handshakes a second of one source */
	WG_LIMIT_BURST = 5,   /* at once */
	WG_LIMIT_MAX = 16384, /* sources: more are refused */
};

struct wg_limiter;

/* NULL when memory is short. seed: nobody outside may guess it */
struct wg_limiter *wg_limiter_create(uint64_t seed);
void wg_limiter_destroy(struct wg_limiter *limiter); /* NULL does nothing */

/* Of a source: an IPv4 address, or the /64 of an IPv6 one. */
uint64_t wg_source_hash(const struct udp_endpoint *from, uint64_t seed);

/* Whether a source may have one handshake more. */
bool wg_limiter_allow(struct wg_limiter *limiter, const struct udp_endpoint *from, uint64_t now_ns);

#endif
