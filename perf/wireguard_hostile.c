/* See wireguard_hostile.h. */
#include "perf/wireguard_hostile.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

enum {
	HEAD = 16, /* of what is made up */
	CHANGES_MAX = 4,

	/* What becomes of a real one. */
	AS_IT_IS = 0,
	CHANGED,
	LONGER,
	SHORTER,
	FATES,
};

static int fill(void *out, size_t size)
{
	uint8_t *at = out;

	while (size) {
		ssize_t n = getrandom(at, size, 0);

		if (n < 0)
			return -EIO;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

int hostile_init(struct hostile *h, struct wgclient *client, struct wg_crypto *crypto,
		 struct wg_aead *aead)
{
	struct wg_cookie_jar jar = {.keys = client->jar.keys};
	int rc = fill(h->pool, sizeof(h->pool));

	h->random = wg_get64(h->pool) | 1;
	h->session = client->remote_index;
	if (rc == 0)
		rc = fill(h->forged, sizeof(h->forged));
	if (rc == 0)
		rc = fill(h->responses, sizeof(h->responses));
	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < HOSTILE_FORGED; i++) {
		wg_put32(h->forged[i], WG_INITIATION);
		wg_cookie_add_macs(crypto, &jar, h->forged[i], WG_INITIATION_SIZE, 0);
		wg_put32(h->responses[i], WG_RESPONSE);
		wg_cookie_add_macs(crypto, &jar, h->responses[i], WG_RESPONSE_SIZE, 0);
	}
	for (unsigned i = 0; i < HOSTILE_REAL_DATA; i++)
		wgclient_seal(client, aead, h->pool + (size_t)i * WG_PADDING, HOSTILE_SIZE_MAX / 2,
			      h->data[i]);
	return 0;
}

/* A tail that brings a datagram to a size. */
static void set_parts(struct hostile *h, uint8_t *head, size_t in_head, size_t size,
		      struct iovec parts[2])
{
	if (in_head > size)
		in_head = size;
	parts[0] = (struct iovec){head, in_head};
	parts[1] = (struct iovec){h->pool + hostile_random(h) % (HOSTILE_POOL - HOSTILE_SIZE_MAX),
				  size - in_head};
}

/* Made of a real one. */
static void spoil(struct hostile *h, const uint8_t *real, size_t size, uint8_t *head,
		  struct iovec parts[2])
{
	uint64_t r = hostile_random(h);
	size_t wanted = size;

	memcpy(head, real, size);
	switch (r % FATES) {
	case CHANGED:
		for (unsigned n = 1 + (r >> 8) % CHANGES_MAX; n; n--)
			head[hostile_random(h) % size] ^= (uint8_t)(1 + hostile_random(h) % 255);
		break;
	case LONGER:
		wanted += 1 + (r >> 8) % (HOSTILE_SIZE_MAX - size);
		break;
	case SHORTER:
		wanted = (r >> 8) % size;
		break;
	default:
		break;
	}
	set_parts(h, head, size, wanted, parts);
}

static size_t right_size(struct hostile *h, uint32_t type)
{
	switch (type) {
	case WG_INITIATION:
		return WG_INITIATION_SIZE;
	case WG_RESPONSE:
		return WG_RESPONSE_SIZE;
	case WG_COOKIE_REPLY:
		return WG_COOKIE_REPLY_SIZE;
	default:
		return WG_DATA_OVERHEAD + hostile_random(h) % 100 * WG_PADDING;
	}
}

void hostile_next(struct hostile *h, uint8_t *head, struct iovec parts[2])
{
	uint64_t r = hostile_random(h);
	size_t size = (r >> 16) % (HOSTILE_SIZE_MAX + 1);
	uint32_t type = 1 + (r >> 32) % WG_DATA;

	memcpy(head, h->pool + (r >> 40) % (HOSTILE_POOL - HEAD), HEAD);
	switch (r % 9) {
	case 0: /* of any type, any length */
		set_parts(h, head, HEAD, size, parts);
		return;
	case 1: /* of a type that exists, of any length */
		wg_put32(head, type);
		set_parts(h, head, HEAD, size, parts);
		return;
	case 2: /* ... of a length that exists */
		wg_put32(head, type);
		set_parts(h, head, HEAD, right_size(h, type), parts);
		return;
	case 3: /* data of a session that exists */
		wg_data_header(head, h->session, (r >> 8) & 0x8000 ? r >> 32 : r);
		set_parts(h, head, HEAD, size, parts);
		return;
	case 4:
		spoil(h, h->data[(r >> 8) % HOSTILE_REAL_DATA], sizeof(h->data[0]), head, parts);
		return;
	case 5:
		spoil(h, h->initiation, sizeof(h->initiation), head, parts);
		return;
	case 6:
		spoil(h, h->forged[(r >> 8) % HOSTILE_FORGED], WG_INITIATION_SIZE, head, parts);
		return;
	case 7:
		spoil(h, h->responses[(r >> 8) % HOSTILE_FORGED], WG_RESPONSE_SIZE, head, parts);
		return;
	default: /* a cookie that nobody asked for */
		wg_put32(head, WG_COOKIE_REPLY);
		wg_put32(head + 4, h->session);
		set_parts(h, head, HEAD, WG_COOKIE_REPLY_SIZE, parts);
		return;
	}
}
