/* Any datagram for a WireGuard device; the first byte says what is made right of it. */
#include "tests/model/wireguard_props.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 0)
		wireguard_props_hold(data[0], data + 1, size - 1);
	return 0;
}
