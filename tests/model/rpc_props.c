#include "tests/model/rpc_props.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int call_echo(void *context, const json_t *params, json_t **result, struct rpc_error *err)
{
	(void)context;
	(void)err;
	*result = params != NULL ? json_deep_copy(params) : NULL;
	return 0;
}

static int call_fail(void *context, const json_t *params, json_t **result, struct rpc_error *err)
{
	(void)context;
	(void)params;
	(void)result;
	rpc_error_set(err, 0, "list_syntax", "list\xff.txt:3:7: not a prefix");
	err->data = json_pack("{s:s, s:i}", "file", "list.txt", "line", 3);
	return -EINVAL;
}

/* Fails without a word, with a result and with data that is no object. */
static int call_odd(void *context, const json_t *params, json_t **result, struct rpc_error *err)
{
	(void)context;
	(void)params;
	*result = json_integer(1);
	err->data = json_integer(2);
	return -EBUSY;
}

static int call_big(void *context, const json_t *params, json_t **result, struct rpc_error *err)
{
	json_int_t size = json_integer_value(json_array_get(params, 0));
	char *text;

	(void)context;
	if (size < 1 || size > 8 << 20)
		return rpc_error_set(err, RPC_PARAMS, "params", "1 to 8388608 bytes");
	text = malloc((size_t)size);
	if (text == NULL)
		return -ENOMEM;
	memset(text, 'x', (size_t)size);
	*result = json_stringn(text, (size_t)size);
	free(text);
	return 0;
}

static int call_set(void *context, const json_t *params, json_t **result, struct rpc_error *err)
{
	struct rpc_play *play = context;

	(void)params;
	(void)err;
	play->sets++;
	*result = json_integer(play->sets);
	return 0;
}

void rpc_play_init(struct rpc_play *play)
{
	*play = (struct rpc_play){
		.methods = {{"echo", false, call_echo, "gives its parameters back"},
			    {"fail", false, call_fail, "fails"},
			    {"odd", false, call_odd, NULL},
			    {"big", false, call_big, "gives many bytes"},
			    {"set", true, call_set, "counts how often it was called"}},
	};
	play->table = (struct rpc_table){.methods = play->methods, .count = 5, .context = play};
}

static const char *check_error(const json_t *error)
{
	const json_t *data = json_object_get(error, "data");

	if (!json_is_integer(json_object_get(error, "code")))
		return "an error without code";
	if (!json_is_string(json_object_get(error, "message")))
		return "an error without message";
	if (!json_is_string(json_object_get(data, "reason")))
		return "an error without reason";
	return NULL;
}

static const char *check_object(const json_t *object)
{
	const char *version = json_string_value(json_object_get(object, "jsonrpc"));
	const json_t *id = json_object_get(object, "id");
	const json_t *error = json_object_get(object, "error");
	const json_t *result = json_object_get(object, "result");

	if (version == NULL || strcmp(version, "2.0") != 0)
		return "no \"jsonrpc\": \"2.0\"";
	if (!json_is_string(id) && !json_is_number(id) && !json_is_null(id))
		return "no fit id";
	if (json_object_size(object) != 3 || (error == NULL) == (result == NULL))
		return "not one of result and error";
	return error != NULL ? check_error(error) : NULL;
}

const char *rpc_props_reply(const char *reply)
{
	const char *wrong = NULL;
	json_t *root;

	if (reply == NULL)
		return NULL;
	if (strlen(reply) > RPC_REPLY_MAX)
		return "too long";
	if (strchr(reply, '\n') != NULL)
		return "more than a line";
	root = json_loads(reply, JSON_REJECT_DUPLICATES, NULL);
	if (root == NULL)
		return "no JSON";
	if (json_is_object(root))
		wrong = check_object(root);
	else if (json_array_size(root) == 0)
		wrong = "an empty batch";
	for (size_t i = 0; i < json_array_size(root) && wrong == NULL; i++)
		wrong = check_object(json_array_get(root, i));
	json_decref(root);
	return wrong;
}
