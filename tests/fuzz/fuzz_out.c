/* Any offload words and bytes from inside: see tests/model/worker_props.h for what must hold. */
#include <stdlib.h>

#include "tests/model/worker_props.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf buf;

	if (!worker_props_input(data, size, &buf))
		return 0;
	worker_props_begin(false);
	worker_props_hold(&buf, WORKER_PROPS_INSIDE);
	free(buf.data);
	return 0;
}
