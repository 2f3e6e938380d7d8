/* The protocol of the control socket: lines in, replies out. */
#include "ctl/rpc.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/model/rpc_props.h"

struct line_case {
	const char *line;
	const char *reply; /* NULL: none; an error is only its code and reason */
	size_t size;       /* 0: up to the terminator */
	bool may_write;
	unsigned sets; /* how often "set" is called */
};

#define ERROR(id, code, reason) "{\"id\":" id ",\"code\":" code ",\"reason\":\"" reason "\"}"

#define CASE(line_, reply_, ...)                                                                   \
	{                                                                                          \
		.line = line_, .reply = reply_, __VA_ARGS__                                        \
	}

static const struct line_case line_cases[] = {
	/* What is right. */
	CASE("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":[1,\"a\"]}",
	     "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[1,\"a\"]}"),
	CASE("{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"echo\",\"params\":{\"k\":2.5}}\r",
	     "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":{\"k\":2.5}}"),
	CASE("{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"echo\"}",
	     "{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":null}"),
	CASE("{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"set\"}",
	     "{\"jsonrpc\":\"2.0\",\"id\":1.5,\"result\":1}", .may_write = true, .sets = 1),
	/* Notifications have no answer, but an effect. */
	CASE("{\"jsonrpc\":\"2.0\",\"method\":\"set\"}", NULL, .may_write = true, .sets = 1),
	CASE("{\"jsonrpc\":\"2.0\",\"method\":\"set\"}", NULL),
	CASE("{\"jsonrpc\":\"2.0\",\"method\":\"fail\"}", NULL),
	CASE("{\"jsonrpc\":\"2.0\",\"method\":\"nothing\"}", NULL),
	CASE("", NULL),
	CASE(" \t\r", NULL),
	/* Who may not write. */
	CASE("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"set\"}",
	     ERROR("1", "-32000", "permission")),
	/* What methods refuse. */
	CASE("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"fail\"}",
	     ERROR("1", "-32000", "list_syntax")),
	CASE("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"odd\"}", ERROR("1", "-32000", "EBUSY")),
	CASE("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"big\"}", ERROR("1", "-32602", "params")),
	CASE("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"big\",\"params\":[4000000]}",
	     ERROR("1", "-32000", "too_large")),
	/* No request. */
	CASE("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"nothing\"}",
	     ERROR("1", "-32601", "method")),
	CASE("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}", ERROR("1", "-32600", "request")),
	CASE("{\"jsonrpc\":\"2.0\",\"id\":1}", ERROR("1", "-32600", "request")),
	CASE("{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"set\"}", ERROR("1", "-32600", "request"),
	     .may_write = true),
	CASE("{\"jsonrpc\":2.0,\"id\":1,\"method\":\"set\"}", ERROR("1", "-32600", "request"),
	     .may_write = true),
	CASE("{\"id\":1,\"method\":\"set\"}", ERROR("1", "-32600", "request"), .may_write = true),
	CASE("{\"jsonrpc\":\"2.0\",\"id\":[1],\"method\":\"set\"}",
	     ERROR("null", "-32600", "request"), .may_write = true),
	CASE("{\"jsonrpc\":\"2.0\",\"id\":true,\"method\":\"set\"}",
	     ERROR("null", "-32600", "request"), .may_write = true),
	CASE("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"set\",\"params\":7}",
	     ERROR("1", "-32600", "request"), .may_write = true),
	CASE("1", ERROR("null", "-32600", "request")),
	CASE("\"text\"", ERROR("null", "-32600", "request")),
	CASE("null", ERROR("null", "-32600", "request")),
	CASE("{}", ERROR("null", "-32600", "request")),
	/* No JSON. Nothing of it may have an effect. */
	CASE("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"set\"",
	     ERROR("null", "-32700", "json_syntax"), .may_write = true),
	CASE("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"set\"}}",
	     ERROR("null", "-32700", "json_syntax"), .may_write = true),
	CASE("{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"set\"}",
	     ERROR("null", "-32700", "json_syntax"), .may_write = true),
	CASE("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"set\"}\0",
	     ERROR("null", "-32700", "json_syntax"), .size = 41, .may_write = true),
	CASE("\0", ERROR("null", "-32700", "json_syntax"), .size = 1),
	CASE("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"s\\u0000et\"}",
	     ERROR("null", "-32700", "json_syntax"), .may_write = true),
	CASE("{\"jsonrpc\":\"2.0\",\"id\":\"\xff\",\"method\":\"set\"}",
	     ERROR("null", "-32700", "json_syntax"), .may_write = true),
	CASE("{\"jsonrpc\":\"2.0\",\"id\":\"\xc0\x80\",\"method\":\"set\"}",
	     ERROR("null", "-32700", "json_syntax"), .may_write = true),
	CASE("{\"jsonrpc\":\"2.0\",\"id\":\"\xed\xa0\x80\",\"method\":\"set\"}",
	     ERROR("null", "-32700", "json_syntax"), .may_write = true),
	CASE("{\"jsonrpc\":\"2.0\",\"id\":1e400,\"method\":\"set\"}",
	     ERROR("null", "-32700", "json_syntax"), .may_write = true),
	CASE("\"", ERROR("null", "-32700", "json_syntax")),
	CASE("\\", ERROR("null", "-32700", "json_syntax")),
	/* Batches. */
	CASE("[]", ERROR("null", "-32600", "request")),
	CASE("[1]", "[" ERROR("null", "-32600", "request") "]"),
	CASE("[{\"jsonrpc\":\"2.0\",\"method\":\"set\"},{\"jsonrpc\":\"2.0\",\"method\":\"set\"}]",
	     NULL, .may_write = true, .sets = 2),
	CASE("[{\"jsonrpc\":\"2.0\",\"method\":\"set\"},"
	     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"set\"},"
	     "{\"jsonrpc\":\"2.0\",\"method\":\"nothing\"},"
	     "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"fail\"},"
	     "{\"jsonrpc\":\"2.0\",\"method\":\"set\"}]",
	     "[{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":2}," ERROR("2", "-32000",
								   "list_syntax") "]",
	     .may_write = true, .sets = 3),
};

/* Errors as short as they stand in the cases: id, code and reason. */
static json_t *shorten(json_t *object)
{
	json_t *error = json_object_get(object, "error");
	json_t *short_form;

	if (error == NULL)
		return json_incref(object);
	short_form = json_pack("{s:O, s:O, s:O}", "id", json_object_get(object, "id"), "code",
			       json_object_get(error, "code"), "reason",
			       json_object_get(json_object_get(error, "data"), "reason"));
	return short_form;
}

static bool same_reply(const char *actual, const char *expected)
{
	json_t *root, *want;
	size_t index;
	json_t *entry;
	bool same;

	if (actual == NULL || expected == NULL)
		return actual == expected;
	root = json_loads(actual, 0, NULL);
	want = json_loads(expected, 0, NULL);
	cr_assert_not_null(want, "case is no JSON: %s", expected);
	json_array_foreach(root, index, entry) json_array_set_new(root, index, shorten(entry));
	if (json_is_object(root)) {
		entry = shorten(root);
		json_decref(root);
		root = entry;
	}
	same = json_equal(root, want) == 1;
	json_decref(root);
	json_decref(want);
	return same;
}

/* rpc_handle on a buffer that ends where the line does, and what must hold of every reply. */
static char *handle(struct rpc_play *play, const char *line, size_t size, bool may_write)
{
	char *copy = malloc(size > 0 ? size : 1);
	char *reply = NULL;
	const char *wrong;

	cr_assert_not_null(copy);
	memcpy(copy, line, size);
	cr_assert_eq(rpc_handle(&play->table, copy, size, may_write, &reply), 0);
	wrong = rpc_props_reply(reply);
	cr_assert_null(wrong, "%.200s -> %.200s: %s", line, reply != NULL ? reply : "", wrong);
	free(copy);
	return reply;
}

Test(ctl_rpc, lines)
{
	struct rpc_play play;

	for (size_t i = 0; i < sizeof(line_cases) / sizeof(line_cases[0]); i++) {
		const struct line_case *c = &line_cases[i];
		size_t size = c->size > 0 ? c->size : strlen(c->line);
		char *reply;

		rpc_play_init(&play);
		reply = handle(&play, c->line, size, c->may_write);
		cr_expect(same_reply(reply, c->reply), "%s\nexpected %s\nactual   %s", c->line,
			  c->reply != NULL ? c->reply : "none", reply != NULL ? reply : "none");
		cr_expect_eq(play.sets, c->sets, "%s: \"set\" was called %u times, expected %u",
			     c->line, play.sets, c->sets);
		free(reply);
	}
}

Test(ctl_rpc, error_carries_what_the_method_said)
{
	static const char line[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"fail\"}";
	static const char expected[] =
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32000,"
		"\"message\":\"list?.txt:3:7: not a prefix\",\"data\":{\"file\":\"list.txt\","
		"\"line\":3,\"reason\":\"list_syntax\"}}}";
	struct rpc_play play;
	char *reply;

	rpc_play_init(&play);
	reply = handle(&play, line, strlen(line), false);
	cr_expect_str_eq(reply, expected);
	free(reply);
}

Test(ctl_rpc, methods_lists_them)
{
	static const char line[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rpc.methods\"}";
	struct rpc_play play;
	json_t *root, *list;
	char *reply;

	rpc_play_init(&play);
	reply = handle(&play, line, strlen(line), false);
	root = json_loads(reply, 0, NULL);
	list = json_object_get(root, "result");
	cr_assert_eq(json_array_size(list), play.table.count, "%s", reply);
	for (size_t i = 0; i < play.table.count; i++) {
		const json_t *entry = json_array_get(list, i);
		const struct rpc_method *m = &play.methods[i];
		const char *help = json_string_value(json_object_get(entry, "help"));

		cr_expect_str_eq(json_string_value(json_object_get(entry, "name")), m->name);
		cr_expect_str_eq(help, m->help != NULL ? m->help : "");
		cr_expect_eq(json_is_true(json_object_get(entry, "writes")), m->writes);
	}
	json_decref(root);
	free(reply);
}

/* A line of count times unit between head and tail. */
static char *repeat(const char *head, const char *unit, size_t count, const char *tail,
		    size_t *size)
{
	size_t unit_size = strlen(unit);
	size_t at = strlen(head);
	char *line;

	*size = at + unit_size * count + strlen(tail);
	line = malloc(*size + 1);
	cr_assert_not_null(line);
	snprintf(line, *size + 1, "%s", head);
	for (size_t i = 0; i < unit_size * count; i++, at++)
		line[at] = unit[i % unit_size];
	snprintf(line + at, *size + 1 - at, "%s", tail);
	return line;
}

struct bound_case {
	const char *name;
	const char *head, *unit, *tail;
	size_t count;
	const char *reply; /* as in line_case; NULL: any */
	size_t in_batch;   /* replies of a batch; 0: reply is no batch */
};

#define ECHO "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\"}"
#define BIG "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"big\",\"params\":[1000000]}"

static const struct bound_case bound_cases[] = {
	{"longest", ECHO, " ", "", RPC_REQUEST_MAX - sizeof(ECHO) + 1,
	 "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":null}", 0},
	{"too long", ECHO, " ", "", RPC_REQUEST_MAX - sizeof(ECHO) + 2,
	 ERROR("null", "-32600", "too_large"), 0},
	{"deep array", "", "[", "", 3000, ERROR("null", "-32700", "json_syntax"), 0},
	{"deep object", "", "{\"a\":", "", 3000, ERROR("null", "-32700", "json_syntax"), 0},
	{"values", "[", "[],", "1]", RPC_REQUEST_MAX / 4, ERROR("null", "-32600", "too_large"), 0},
	{"objects", "[", "{},", "1]", RPC_REQUEST_MAX / 4, ERROR("null", "-32600", "too_large"), 0},
	{"commas in text", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"x\":\"", "\\\",",
	 "\"}", 100000, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":null}", 0},
	{"batch", "[" ECHO, "," ECHO, "]", RPC_BATCH_MAX - 1, NULL, RPC_BATCH_MAX},
	{"batch too long", "[" ECHO, "," ECHO, "]", RPC_BATCH_MAX,
	 ERROR("null", "-32600", "request"), 0},
	{"batch of large results", "[" BIG, "," BIG, "]", RPC_BATCH_MAX - 1, NULL, RPC_BATCH_MAX},
	{"long id", "{\"jsonrpc\":\"2.0\",\"method\":\"fail\",\"id\":\"", "x", "\"}",
	 RPC_REQUEST_MAX - 100, NULL, 0},
	{"digits", "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":0.", "7", "}",
	 RPC_REQUEST_MAX - 100, NULL, 0},
};

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

Test(ctl_rpc, bounds)
{
	struct rpc_play play;

	rpc_play_init(&play);
	for (size_t i = 0; i < sizeof(bound_cases) / sizeof(bound_cases[0]); i++) {
		const struct bound_case *c = &bound_cases[i];
		size_t size;
		char *line = repeat(c->head, c->unit, c->count, c->tail, &size);
		double start = now_s();
		char *reply = handle(&play, line, size, false);
		double seconds = now_s() - start;
		json_t *root = json_loads(reply, 0, NULL);

		if (c->reply != NULL)
			cr_expect(same_reply(reply, c->reply), "%s: expected %s, actual %.200s",
				  c->name, c->reply, reply);
		cr_expect_eq(json_array_size(root), c->in_batch, "%s: %zu replies", c->name,
			     json_array_size(root));
		cr_expect_lt(seconds, 5.0, "%s: %.3f s", c->name, seconds);
		json_decref(root);
		free(reply);
		free(line);
	}
}

/* Ids as long as a request can hold, and answers that are all too large: still a whole reply. */
Test(ctl_rpc, batch_of_long_ids_and_large_results)
{
	enum { ID_SIZE = RPC_REQUEST_MAX / RPC_BATCH_MAX - 100 };
	struct rpc_play play;
	size_t at = 0, size = RPC_REQUEST_MAX;
	char *line = malloc(size + 1);
	char *reply;
	json_t *root;

	cr_assert_not_null(line);
	rpc_play_init(&play);
	for (int i = 0; i < RPC_BATCH_MAX; i++)
		at += (size_t)snprintf(line + at, size - at,
				       "%s{\"jsonrpc\":\"2.0\",\"method\":\"big\",\"params\":"
				       "[3000000],\"id\":\"%0*d\"}",
				       i == 0 ? "[" : ",", ID_SIZE, i);
	at += (size_t)snprintf(line + at, size - at, "]");
	cr_assert_leq(at, size);
	reply = handle(&play, line, at, false);
	root = json_loads(reply, 0, NULL);
	cr_expect_eq(json_array_size(root), RPC_BATCH_MAX);
	json_decref(root);
	free(reply);
	free(line);
}

/* Any change of a byte or a cut of a good line keeps the property. */
Test(ctl_rpc, damaged_lines)
{
	static const char line[] = "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"set\",\"params\":"
				   "{\"a\":[1,2]}},{\"jsonrpc\":\"2.0\",\"method\":\"odd\"}]";
	char copy[sizeof(line)];
	struct rpc_play play;

	for (size_t at = 0; at < sizeof(line) - 1; at++) {
		rpc_play_init(&play);
		free(handle(&play, line, at, true));
		cr_expect_eq(play.sets, 0, "cut at %zu, but obeyed", at);
		for (int byte = 0; byte < 256; byte++) {
			memcpy(copy, line, sizeof(line));
			copy[at] = (char)byte;
			free(handle(&play, copy, sizeof(line) - 1, false));
			cr_expect_eq(play.sets, 0, "byte %zu as %d", at, byte);
		}
	}
}
