/* See translate.h. */
#include "tests/model/translate.h"

#include <string.h>

#include "tests/model/packets.h"

enum {
	TCP = 6,
	UDP = 17,
	SYN = 2,
};

static void put_port(uint8_t *at, uint16_t port)
{
	at[0] = (uint8_t)(port >> 8);
	at[1] = (uint8_t)port;
}

/* The first option that asks for a size counts; what stands behind one that is cut is no option. */
static void clamp(uint8_t *tcp, uint16_t max)
{
	unsigned end = (tcp[12] >> 4) * 4u;
	unsigned at = 20;

	while (at < end && tcp[at] == 1)
		at++;
	while (at + 2 <= end && tcp[at] > 1 && tcp[at] != 2 && tcp[at + 1] >= 2) {
		at += tcp[at + 1];
		while (at < end && tcp[at] == 1)
			at++;
	}
	if (at + 4 <= end && tcp[at] == 2 && tcp[at + 1] == 4 &&
	    tcp[at + 2] * 256u + tcp[at + 3] > max)
		put_port(tcp + at + 2, max);
}

void translate_packet(const struct translate *change, struct buf *buf)
{
	bool v4 = buf->data[0] >> 4 == 4;
	unsigned proto;
	uint8_t *l4 = buf->data + packets_transport(buf, &proto, NULL);

	if (v4)
		memcpy(buf->data + (change->source ? 12 : 16), change->addr, 4);
	else
		memcpy(buf->data + (change->source ? 8 : 24), change->addr, 16);
	if (proto == TCP || proto == UDP)
		put_port(l4 + (change->source ? 0 : 2), change->port);
	else
		put_port(l4 + 4, change->port);
	if (change->cut)
		buf->data[6] &= 0xbf;
	if (change->hop)
		buf->data[v4 ? 8 : 7]--;
	if (proto == TCP && (l4[13] & SYN))
		clamp(l4, change->mss);
	packets_fix(buf);
}
