/* Any offload words and bytes as a packet: see tests/model/packet_props.h for what must hold. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/model/packet_props.h"
#include "tests/model/packets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf buf = {0};
	const char *wrong;

	if (size < sizeof(buf.offload) || size - sizeof(buf.offload) > BUF_SIZE)
		return 0;
	memcpy(&buf.offload, data, sizeof(buf.offload));
	size -= sizeof(buf.offload);
	/* Just as large as the packet, so that AddressSanitizer sees a read past it. */
	buf.data = malloc(size > 0 ? size : 1);
	if (!buf.data)
		return 0;
	memcpy(buf.data, data + sizeof(buf.offload), size);
	buf.len = (uint32_t)size;
	/* Most changes would end at a wrong checksum: this flag, which has no other meaning, helps.
	 */
	if (buf.offload.flags & 0x80)
		packets_fix_ip(&buf);
	wrong = packet_props_check(&buf);
	if (wrong) {
		fprintf(stderr, "%s\n", wrong);
		abort();
	}
	free(buf.data);
	return 0;
}
