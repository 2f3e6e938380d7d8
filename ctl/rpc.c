#include "ctl/rpc.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a reply may take beside its result and its id: "jsonrpc", and an error without data. */
enum {
	ENVELOPE_MAX = 256,
};

static_assert(RPC_REPLY_MAX >= RPC_RESULTS_MAX + RPC_REQUEST_MAX + RPC_BATCH_MAX * ENVELOPE_MAX,
	      "a batch of which every result was too large must still have its answers");

/* The text of the answers to one line. */
struct reply {
	char *text;
	size_t size;
	size_t capacity;
	size_t limit; /* what the object being written may bring size to */
};

struct call {
	const struct rpc_table *table;
	bool may_write;
	struct reply *reply;
};

int rpc_error_set(struct rpc_error *err, int code, const char *reason, const char *format, ...)
{
	va_list args;

	err->code = code;
	err->reason = reason;
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	return -EINVAL;
}

json_t *rpc_string(const char *text)
{
	json_t *string = json_string(text);
	char *copy;

	if (string != NULL)
		return string;
	copy = strdup(text);
	if (copy == NULL)
		return NULL;
	for (char *c = copy; *c != '\0'; c++) {
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	}
	string = json_string(copy);
	free(copy);
	return string;
}

/* json_dump_callback_t. Refuses what passes the limit, and then json_dump_callback fails. */
static int reply_append(const char *bytes, size_t size, void *context)
{
	struct reply *reply = context;
	size_t capacity = reply->capacity > 0 ? reply->capacity : 256;
	char *text;

	if (size > reply->limit - reply->size)
		return -1;
	while (capacity - reply->size < size + 1)
		capacity *= 2;
	if (capacity > reply->capacity) {
		text = realloc(reply->text, capacity);
		if (text == NULL)
			return -1;
		reply->text = text;
		reply->capacity = capacity;
	}
	memcpy(reply->text + reply->size, bytes, size);
	reply->size += size;
	reply->text[reply->size] = '\0';
	return 0;
}

/* Write an object, all of it or nothing. limit: of the whole text afterwards. */
static int reply_dump(struct reply *reply, const json_t *object, size_t limit)
{
	size_t before = reply->size;

	reply->limit = limit;
	if (limit >= before && json_dump_callback(object, reply_append, reply, JSON_COMPACT) == 0)
		return 0;
	reply->size = before;
	if (reply->text != NULL)
		reply->text[before] = '\0';
	return -EMSGSIZE;
}

/* {"jsonrpc", "id", KEY: value}; takes value over, borrows id (NULL: null). */
static json_t *envelope(json_t *id, const char *key, json_t *value)
{
	return json_pack("{s:s, s:O, s:o}", "jsonrpc", "2.0", "id", id != NULL ? id : json_null(),
			 key, value);
}

/* The error object; takes err->data over. */
static json_t *error_json(const struct rpc_error *err)
{
	json_t *data = json_is_object(err->data) ? err->data : json_object();
	json_t *reason = rpc_string(err->reason != NULL ? err->reason : "internal");
	int code = err->code != 0 ? err->code : RPC_REFUSED;

	if (data != err->data)
		json_decref(err->data);
	if (json_object_set_new(data, "reason", reason) != 0) {
		json_decref(data);
		return NULL;
	}
	return json_pack("{s:i, s:o, s:o}", "code", code, "message", rpc_string(err->text), "data",
			 data);
}

/* A separator before the second and further objects of a batch is the caller's. */
static int answer_error(struct reply *reply, json_t *id, const struct rpc_error *err)
{
	static const char too_large[] = "the answer is too large";
	struct rpc_error plain = {.reason = "too_large"};
	json_t *object = envelope(id, "error", error_json(err));
	int rc = object != NULL ? reply_dump(reply, object, RPC_RESULTS_MAX) : -ENOMEM;

	json_decref(object);
	if (rc == 0)
		return 0;
	memcpy(plain.text, too_large, sizeof(too_large));
	object = envelope(id, "error", error_json(&plain));
	rc = object != NULL ? reply_dump(reply, object, RPC_REPLY_MAX) : -ENOMEM;
	json_decref(object);
	return rc == 0 ? 0 : -ENOMEM;
}

/* Takes result over. */
static int answer_result(struct reply *reply, json_t *id, json_t *result)
{
	struct rpc_error err = {0};
	json_t *object = envelope(id, "result", result != NULL ? result : json_null());
	int rc = object != NULL ? reply_dump(reply, object, RPC_RESULTS_MAX) : -ENOMEM;

	json_decref(object);
	if (rc == 0)
		return 0;
	rpc_error_set(&err, RPC_REFUSED, "too_large", "the answer is too large");
	return answer_error(reply, id, &err);
}

static json_t *method_list(const struct rpc_table *table)
{
	json_t *list = json_array();

	for (size_t i = 0; i < table->count; i++) {
		const struct rpc_method *m = &table->methods[i];
		json_t *entry = json_pack("{s:s, s:b, s:s}", "name", m->name, "writes", m->writes,
					  "help", m->help != NULL ? m->help : "");

		if (json_array_append_new(list, entry) != 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

/* Find the method and call it. 0 with *result, or -errno with *err filled. */
static int dispatch(const struct call *call, const char *name, const json_t *params,
		    json_t **result, struct rpc_error *err)
{
	const struct rpc_table *table = call->table;
	const struct rpc_method *method = NULL;
	int rc;

	if (strcmp(name, "rpc.methods") == 0) {
		*result = method_list(table);
		return *result != NULL ? 0
				       : rpc_error_set(err, RPC_INTERNAL, "ENOMEM", "no memory");
	}
	for (size_t i = 0; i < table->count && method == NULL; i++) {
		if (strcmp(table->methods[i].name, name) == 0)
			method = &table->methods[i];
	}
	if (method == NULL)
		return rpc_error_set(err, RPC_METHOD, "method", "no method \"%.64s\"", name);
	if (method->writes && !call->may_write)
		return rpc_error_set(err, RPC_REFUSED, "permission",
				     "\"%s\" changes something: only for root and the user of the "
				     "daemon",
				     method->name);
	rc = method->call(call->table->context, params, result, err);
	if (rc < 0 && err->reason == NULL)
		err->reason = strerrorname_np(-rc);
	if (rc < 0 && err->text[0] == '\0')
		snprintf(err->text, sizeof(err->text), "%s: %s", method->name, strerror(-rc));
	return rc;
}

/* The name of the method, or NULL with *err filled. *id is set if it can be had. */
static const char *check_request(const json_t *request, json_t **id, const json_t **params,
				 struct rpc_error *err)
{
	const json_t *version = json_object_get(request, "jsonrpc");
	const char *name = json_string_value(json_object_get(request, "method"));
	json_t *mark = json_object_get(request, "id");
	const char *wrong = NULL;

	*params = json_object_get(request, "params");
	if (!json_is_object(request))
		wrong = "a request is an object";
	else if (mark != NULL && !json_is_string(mark) && !json_is_number(mark) &&
		 !json_is_null(mark))
		wrong = "\"id\" is text or a number";
	else
		*id = mark;
	if (wrong == NULL &&
	    (!json_is_string(version) || strcmp(json_string_value(version), "2.0") != 0))
		wrong = "\"jsonrpc\" must be \"2.0\"";
	if (wrong == NULL && name == NULL)
		wrong = "\"method\" must be text";
	if (wrong == NULL && *params != NULL && !json_is_object(*params) && !json_is_array(*params))
		wrong = "\"params\" is an object or an array";
	if (wrong == NULL)
		return name;
	rpc_error_set(err, RPC_REQUEST, "request", "%s", wrong);
	return NULL;
}

static int handle_request(const struct call *call, const json_t *request)
{
	struct rpc_error err = {0};
	const json_t *params = NULL;
	json_t *id = NULL;
	json_t *result = NULL;
	const char *name = check_request(request, &id, &params, &err);

	if (name == NULL)
		return answer_error(call->reply, id, &err);
	if (dispatch(call, name, params, &result, &err) < 0) {
		json_decref(result); /* not the method's to fill, but then not ours to leak */
		if (id != NULL)
			return answer_error(call->reply, id, &err);
		json_decref(err.data);
		return 0;
	}
	if (id != NULL)
		return answer_result(call->reply, id, result);
	json_decref(result);
	return 0;
}

static int append(struct reply *reply, const char *text)
{
	reply->limit = RPC_REPLY_MAX;
	return reply_append(text, strlen(text), reply) == 0 ? 0 : -ENOMEM;
}

static int handle_batch(const struct call *call, const json_t *batch)
{
	struct reply *reply = call->reply;
	struct rpc_error err = {0};
	size_t index, before;
	const json_t *request;
	int rc;

	if (json_array_size(batch) == 0 || json_array_size(batch) > RPC_BATCH_MAX) {
		rpc_error_set(&err, RPC_REQUEST, "request", "a batch is 1 to %d requests",
			      RPC_BATCH_MAX);
		return answer_error(reply, NULL, &err);
	}
	json_array_foreach(batch, index, request)
	{
		before = reply->size;
		rc = append(reply, before == 0 ? "[" : ",");
		if (rc == 0)
			rc = handle_request(call, request);
		if (rc < 0)
			return rc;
		if (reply->size == before + 1) { /* a notification */
			reply->size = before;
			reply->text[before] = '\0';
		}
	}
	return reply->size > 0 ? append(reply, "]") : 0;
}

/*
 * Whether parsing costs no more than reading: every value but the first has a comma, a colon or a
 * bracket before it, and a megabyte of nothing else would be a hundred in memory.
 */
static bool few_values(const char *line, size_t size)
{
	bool quoted = false;
	size_t count = 0;

	for (size_t i = 0; i < size; i++) {
		switch (line[i]) {
		case '"':
			quoted = !quoted;
			break;
		case '\\':
			i += quoted; /* what follows does not end the string */
			break;
		case ',':
		case ':':
		case '[':
		case '{':
			count += !quoted;
			break;
		default:
			break;
		}
	}
	return count <= RPC_VALUES_MAX;
}

static bool blank(const char *line, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r' && line[i] != '\n')
			return false;
	}
	return true;
}

static int handle_line(const struct call *call, const char *line, size_t size)
{
	struct rpc_error err = {0};
	json_error_t where;
	json_t *root;
	int rc;

	if (size > RPC_REQUEST_MAX) {
		rpc_error_set(&err, RPC_REQUEST, "too_large", "a request is at most %d bytes",
			      RPC_REQUEST_MAX);
		return answer_error(call->reply, NULL, &err);
	}
	if (!few_values(line, size)) {
		rpc_error_set(&err, RPC_REQUEST, "too_large", "a request has at most %d values",
			      RPC_VALUES_MAX);
		return answer_error(call->reply, NULL, &err);
	}
	root = json_loadb(line, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
	if (root == NULL) {
		if (json_error_code(&where) == json_error_out_of_memory)
			return -ENOMEM;
		rpc_error_set(&err, RPC_PARSE, "json_syntax", "no JSON from byte %d on",
			      where.position);
		return answer_error(call->reply, NULL, &err);
	}
	rc = json_is_array(root) ? handle_batch(call, root) : handle_request(call, root);
	json_decref(root);
	return rc;
}

int rpc_handle(const struct rpc_table *table, const char *line, size_t size, bool may_write,
	       char **reply)
{
	struct reply text = {0};
	const struct call call = {.table = table, .may_write = may_write, .reply = &text};
	int rc = blank(line, size) ? 0 : handle_line(&call, line, size);

	if (rc == 0 && text.size > 0) {
		*reply = text.text;
		return 0;
	}
	free(text.text);
	if (rc == 0)
		*reply = NULL;
	return rc;
}
