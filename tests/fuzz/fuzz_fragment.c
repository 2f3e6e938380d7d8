/*
 * Fragments in any order, overlapping or not, both ways: see tests/model/worker_props.h. Three
 * bytes each: which datagram and from where, its first byte and its size, both in 8 bytes.
 */
#include "tests/model/packets.h"
#include "tests/model/worker_props.h"

enum { INSIDE = 1, SIX = 2, OUTSIDER = 16, PAYLOAD = 240, FRAGMENTS_MAX = 12 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t protos[8] = {6, 6, 17, 17, 1, 58, 47, 47};
	uint8_t bytes[PAYLOAD + 100];
	struct buf buf = {.data = bytes};

	worker_props_begin(size > 0 && (data[0] & 128));
	for (size_t i = 0; i + 3 <= size && i < 3 * FRAGMENTS_MAX; i += 3) {
		int from = data[i] & INSIDE ? WORKER_PROPS_INSIDE : WORKER_PROPS_DIRECT;
		struct packets_spec spec = {.version = data[i] & SIX ? 6 : 4,
					    .proto = protos[data[i] >> 1 & 7],
					    .id = 1 + (data[i] >> 5 & 1),
					    .payload = PAYLOAD,
					    .fragment = true,
					    .icmp_type = data[i] & SIX ? 128 : 8,
					    .src_port = from < 0 ? 1234 : 80,
					    .dst_port = from < 0 ? 80 : 40000};

		worker_props_ends(spec.version, from, spec.src, spec.dst);
		spec.src[3] ^= data[i] & OUTSIDER;
		spec.fragment_from = data[i + 1] % (PAYLOAD / 8) * 8u;
		spec.fragment_size = data[i + 2] % ((PAYLOAD - spec.fragment_from) / 8 + 1) * 8u;
		packets_build(&spec, &buf);
		worker_props_hold(&buf, from);
	}
	return 0;
}
