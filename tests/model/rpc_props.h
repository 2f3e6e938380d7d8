/* What every answer of the control socket's protocol must be, whatever the line was. */
#ifndef SLUICE_TESTS_MODEL_RPC_PROPS_H
#define SLUICE_TESTS_MODEL_RPC_PROPS_H

#include "ctl/rpc.h"

/* Methods to play with: "echo" (gives params), "fail", "big" ([bytes]), "odd" and "set" (writes).
 */
struct rpc_play {
	struct rpc_method methods[5];
	struct rpc_table table; /* its context is the struct rpc_play itself */
	unsigned sets;          /* how often "set" was called */
};

void rpc_play_init(struct rpc_play *play);

/*
 * NULL if all is well with a reply (NULL: none was given), else what is not.
 *
 * One line of at most RPC_REPLY_MAX bytes; an object with "jsonrpc", "id" and either "result" or
 * an "error" with code, message and reason; or an array of such, not empty.
 */
const char *rpc_props_reply(const char *reply);

#endif
