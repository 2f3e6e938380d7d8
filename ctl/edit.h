/* The methods that change a list while the daemon runs: list.add and list.del. */
#ifndef SLUICE_CTL_EDIT_H
#define SLUICE_CTL_EDIT_H

#include "ctl/load.h"
#include "ctl/rpc.h"

enum {
	EDIT_PREFIXES_MAX = 16000, /* of a request; more travel by path */
};

/* As rpc_method.call; context is the daemon. */
int edit_method_add(void *context, const json_t *params, json_t **result, struct rpc_error *err);
int edit_method_del(void *context, const json_t *params, json_t **result, struct rpc_error *err);

/* What was wrong with a file, for the client, with the place as members of its own. */
void edit_set_error(struct rpc_error *err, const struct load_error *wrong);

#endif
