/* See inner.h. */
#include "dataplane/wireguard/inner.h"

#include <string.h>

#include "dataplane/cksum.h"
#include "dataplane/wire.h"

bool inner_length(const uint8_t *data, uint32_t size, uint32_t *length)
{
	uint32_t len, header;

	if (size < IP4_SIZE)
		return false;
	switch (data[0] >> 4) {
	case 4:
		header = (uint32_t)(data[0] & 0xf) * 4;
		len = wire_get16(data + IP4_TOTAL);
		if (header < IP4_SIZE || len < header)
			return false;
		break;
	case 6:
		if (size < IP6_SIZE)
			return false;
		len = IP6_SIZE + (uint32_t)wire_get16(data + IP6_PAYLOAD);
		break;
	default:
		return false;
	}
	if (len > size)
		return false;
	*length = len;
	return true;
}

static void set_ecn(uint8_t *data, uint8_t ecn)
{
	uint8_t old[2] = {data[0], data[1]};
	uint16_t field;

	if (data[0] >> 4 == 6) {
		data[1] = (uint8_t)((data[1] & 0xcf) | ecn << 4);
		return;
	}
	data[1] = (uint8_t)((data[1] & ~ECN_MASK) | ecn);
	memcpy(&field, data + IP4_CSUM, sizeof(field));
	field = cksum_update(field, cksum_delta(old, data, sizeof(old)));
	memcpy(data + IP4_CSUM, &field, sizeof(field));
}

bool inner_take_ecn(uint8_t *data, uint8_t outer_tos)
{
	uint8_t outer = outer_tos & ECN_MASK;
	uint8_t inner = (data[0] >> 4 == 6 ? data[1] >> 4 : data[1]) & ECN_MASK;

	if (inner == ECN_NONE)
		return outer != ECN_CONGESTED;
	if (outer == ECN_CONGESTED && inner != ECN_CONGESTED)
		set_ecn(data, ECN_CONGESTED);
	else if (outer == ECN_1 && inner == ECN_0)
		set_ecn(data, ECN_1);
	return true;
}
