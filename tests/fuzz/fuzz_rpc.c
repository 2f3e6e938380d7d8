/* Any line, from someone who may write or may not: a valid answer or none. */
#include <stdint.h>
#include <stdlib.h>

#include "ctl/rpc.h"
#include "tests/model/rpc_props.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rpc_play play;
	bool may_write = size > 0 && data[0] == ' ';
	char *reply = NULL;

	rpc_play_init(&play);
	if (rpc_handle(&play.table, (const char *)data, size, may_write, &reply) < 0)
		__builtin_trap();
	if (rpc_props_reply(reply) != NULL || (!may_write && play.sets > 0))
		__builtin_trap();
	free(reply);
	return 0;
}
