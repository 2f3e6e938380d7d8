#include "ctl/edit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/daemon.h"

void edit_set_error(struct rpc_error *err, const struct load_error *wrong)
{
	char text[LOAD_ERROR_TEXT_MAX];

	rpc_error_set(err, 0, wrong->reason, "%s", load_error_format(wrong, text));
	err->data = json_pack("{s:o, s:I, s:I, s:o}", "file", rpc_string(wrong->file), "line",
			      (json_int_t)wrong->line, "col", (json_int_t)wrong->column, "text",
			      rpc_string(wrong->text));
}

/* The text that the prefixes of a request make, one a line. NULL if there is no memory. */
static char *join(const json_t *prefixes, size_t *size)
{
	size_t room = 1, i;
	const json_t *item;
	char *text, *at;

	json_array_foreach(prefixes, i, item) room += json_string_length(item) + 1;
	text = malloc(room);
	if (!text)
		return NULL;
	at = text;
	json_array_foreach(prefixes, i, item)
	{
		memcpy(at, json_string_value(item), json_string_length(item));
		at += json_string_length(item);
		*at++ = '\n';
	}
	*size = (size_t)(at - text);
	return text;
}

/* An item a string, so that an error can name it and none is passed over. */
static bool is_item(const json_t *item)
{
	const char *text = json_string_value(item);

	return text && text[0] != '\0' && strpbrk(text, "\n#") == NULL;
}

static int parse_prefixes(const json_t *prefixes, struct list **out, struct rpc_error *err)
{
	struct list_error wrong = {0};
	const json_t *item;
	size_t size, i;
	char *text;
	int rc;

	if (!json_is_array(prefixes) || json_array_size(prefixes) == 0)
		return rpc_error_set(err, RPC_PARAMS, "prefixes",
				     "prefixes is no array of prefixes, and there is no path");
	if (json_array_size(prefixes) > EDIT_PREFIXES_MAX)
		return rpc_error_set(err, RPC_PARAMS, "too_large",
				     "more than %d prefixes: they travel by path",
				     EDIT_PREFIXES_MAX);
	json_array_foreach(prefixes, i, item)
	{
		if (!is_item(item))
			return rpc_error_set(err, RPC_PARAMS, "prefixes", "prefix %zu is none",
					     i + 1);
	}
	text = join(prefixes, &size);
	if (!text)
		return -ENOMEM;
	rc = list_parse("request", "request", text, size, 0, out, &wrong);
	free(text);
	if (rc < 0)
		rpc_error_set(err, 0, rc == -ENOMEM ? "memory" : "list_syntax", "prefix %zu: %s",
			      wrong.line, wrong.text);
	else if ((*out)->counts.items != json_array_size(prefixes)) {
		list_unref(*out);
		return rpc_error_set(err, RPC_PARAMS, "prefixes", "a prefix is blank");
	}
	return rc;
}

/* What a request wants to add or to remove. */
static int read_change(const json_t *params, struct list **out, struct rpc_error *err)
{
	const json_t *path = json_object_get(params, "path");
	struct load_error wrong;
	int rc;

	if (!path)
		return parse_prefixes(json_object_get(params, "prefixes"), out, err);
	if (!json_is_string(path) || json_string_value(path)[0] != '/')
		return rpc_error_set(err, RPC_PARAMS, "path", "path is no absolute path");
	rc = load_list(json_string_value(path), "request", true, out, &wrong);
	if (rc < 0)
		edit_set_error(err, &wrong);
	return rc;
}

static int edit(struct daemon *d, enum list_edit kind, const json_t *params, json_t **result,
		struct rpc_error *err)
{
	const char *name = json_string_value(json_object_get(params, "name"));
	struct load_error wrong;
	struct edit_report r;
	struct list *change = NULL;
	int rc;

	if (!name)
		return rpc_error_set(err, RPC_PARAMS, "name", "name is missing: of which list?");
	rc = read_change(params, &change, err);
	if (rc < 0)
		return rc;
	rc = daemon_edit_list(d, name, change, kind, &r, &wrong);
	list_unref(change);
	if (rc < 0) {
		edit_set_error(err, &wrong);
		return rc;
	}
	*result = json_pack("{s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:f}", "list", name, "generation",
			    (int)r.generation, kind == LIST_ADD ? "added" : "removed",
			    (json_int_t)r.changed, "present", (json_int_t)r.present, "v4",
			    (json_int_t)r.count4, "v6", (json_int_t)r.count6, "edit_us",
			    (json_int_t)r.edit_us, "publish_us", (double)r.publish_ns / 1000);
	return 0;
}

int edit_method_add(void *context, const json_t *params, json_t **result, struct rpc_error *err)
{
	return edit(context, LIST_ADD, params, result, err);
}

int edit_method_del(void *context, const json_t *params, json_t **result, struct rpc_error *err)
{
	return edit(context, LIST_REMOVE, params, result, err);
}
