/* Any bytes from outside while flows wait for answers: see tests/model/worker_props.h. */
#include <stdlib.h>

#include "tests/model/worker_props.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf buf;

	if (!worker_props_input(data, size, &buf))
		return 0;
	worker_props_begin(true);
	worker_props_hold(&buf, buf.offload.flags & 0x20 ? WORKER_PROPS_VPN : WORKER_PROPS_DIRECT);
	free(buf.data);
	return 0;
}
