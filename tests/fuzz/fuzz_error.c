/*
 * Any ICMP error, from outside or inside, about packets of the flows: see
 * tests/model/worker_props.h. The input: flags, type, code, 4 bytes of the message, the quote.
 */
#include <string.h>

#include "tests/model/packets.h"
#include "tests/model/worker_props.h"

enum { INSIDE = 1, SIX = 2, AS_IT_IS = 4, HEAD = 7, ERROR_MAX = 1400 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t bytes[ERROR_MAX + 100], quoted[ERROR_MAX];
	struct packets_spec spec = {0};
	struct buf buf = {.data = bytes}, quote = {.data = quoted};
	int from;

	if (size < HEAD || size > ERROR_MAX)
		return 0;
	from = data[0] & INSIDE ? WORKER_PROPS_INSIDE : WORKER_PROPS_DIRECT;
	quote.len = (uint32_t)size - HEAD;
	memcpy(quoted, data + HEAD, quote.len);
	if (!(data[0] & AS_IT_IS))
		packets_fix(&quote);
	spec.version = data[0] & SIX ? 6 : 4;
	spec.proto = spec.version == 4 ? 1 : 58;
	worker_props_ends(spec.version, from, spec.src, spec.dst);
	spec.icmp_type = data[1], spec.icmp_code = data[2];
	spec.src_port = (uint16_t)(data[3] * 256 + data[4]);
	spec.dst_port = (uint16_t)(data[5] * 256 + data[6]);
	spec.payload_bytes = quoted;
	spec.payload = quote.len;
	packets_build(&spec, &buf);
	worker_props_begin(true);
	worker_props_hold(&buf, from);
	return 0;
}
