#include "ctl/reply.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *reply_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL && text[0] != '\0' ? text : "-";
}

json_int_t reply_number(const json_t *object, const char *key)
{
	return (json_int_t)json_number_value(json_object_get(object, key));
}

bool reply_bool(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

static bool has_value(const json_t *value)
{
	if (json_is_string(value))
		return json_string_length(value) > 0;
	if (json_is_array(value))
		return json_array_size(value) > 0;
	return value != NULL && !json_is_null(value);
}

bool reply_has(const json_t *object, const char *key)
{
	return has_value(json_object_get(object, key));
}

char *reply_format_us(double us, char out[REPLY_CELL_MAX])
{
	if (us < 10)
		snprintf(out, REPLY_CELL_MAX, "%.1f us", us);
	else if (us < 999.5)
		snprintf(out, REPLY_CELL_MAX, "%.0f us", us);
	else if (us < 999950)
		snprintf(out, REPLY_CELL_MAX, "%.1f ms", us / 1e3);
	else
		snprintf(out, REPLY_CELL_MAX, "%.2f s", us / 1e6);
	return out;
}

char *reply_format_bytes(json_int_t bytes, char out[REPLY_CELL_MAX])
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
	double value = (double)bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024) {
		snprintf(out, REPLY_CELL_MAX, "%" PRId64 " B", (int64_t)bytes);
		return out;
	}
	while (value >= 1023.95 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	snprintf(out, REPLY_CELL_MAX, "%.1f %s", value, units[unit]);
	return out;
}

/* The two largest units. */
static void format_seconds(json_int_t seconds, char *out)
{
	int64_t s = seconds;

	if (s < 60)
		snprintf(out, REPLY_CELL_MAX, "%" PRId64 "s", s);
	else if (s < 3600)
		snprintf(out, REPLY_CELL_MAX, "%" PRId64 "m %" PRId64 "s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(out, REPLY_CELL_MAX, "%" PRId64 "h %" PRId64 "m", s / 3600, s / 60 % 60);
	else
		snprintf(out, REPLY_CELL_MAX, "%" PRId64 "d %" PRId64 "h", s / 86400,
			 s / 3600 % 24);
}

static void format_time(json_int_t seconds, char *out)
{
	time_t when = (time_t)seconds;
	struct tm local;

	if (localtime_r(&when, &local) == NULL ||
	    strftime(out, REPLY_CELL_MAX, "%Y-%m-%d %H:%M:%S", &local) == 0)
		snprintf(out, REPLY_CELL_MAX, "%" PRId64, (int64_t)seconds);
}

static void format_number(json_int_t number, enum reply_kind kind, char *out)
{
	switch (kind) {
	case REPLY_BYTES:
		reply_format_bytes(number, out);
		return;
	case REPLY_SECONDS:
		format_seconds(number, out);
		return;
	case REPLY_TIME:
		format_time(number, out);
		return;
	case REPLY_PLAIN:
	case REPLY_UP:
	case REPLY_POLLING:
		snprintf(out, REPLY_CELL_MAX, "%" PRId64, (int64_t)number);
	}
}

static const char *bool_word(bool value, enum reply_kind kind)
{
	if (kind == REPLY_UP)
		return value ? "up" : "down";
	if (kind == REPLY_POLLING)
		return value ? "polling" : "sleeping";
	return value ? "yes" : "no";
}

static void format_items(const json_t *array, char *out)
{
	const json_t *item;
	size_t index;
	size_t used = 0;

	json_array_foreach(array, index, item)
	{
		char cell[REPLY_CELL_MAX];

		if (json_is_array(item) || used >= REPLY_CELL_MAX)
			continue;
		used += (size_t)snprintf(out + used, REPLY_CELL_MAX - used, "%s%s",
					 used > 0 ? "," : "",
					 reply_format(item, REPLY_PLAIN, cell));
	}
}

char *reply_format(const json_t *value, enum reply_kind kind, char out[REPLY_CELL_MAX])
{
	const char *text = "-";

	out[0] = '\0';
	if (json_is_integer(value))
		format_number(json_integer_value(value), kind, out);
	else if (json_is_real(value))
		snprintf(out, REPLY_CELL_MAX, "%.2f", json_real_value(value));
	else if (json_is_array(value))
		format_items(value, out);
	else if (json_is_boolean(value))
		text = bool_word(json_is_true(value), kind);
	else if (has_value(value) && json_is_string(value))
		text = json_string_value(value);
	if (out[0] == '\0')
		snprintf(out, REPLY_CELL_MAX, "%s", text);
	for (char *c = out; *c != '\0'; c++) {
		if (iscntrl((unsigned char)*c))
			*c = '?';
	}
	return out;
}

struct shown {
	const struct reply_column *column;
	size_t width;
	bool right;
};

/* Find which columns have anything to show, and how wide they are. */
static size_t measure(const json_t *rows, const struct reply_column *columns, size_t count,
		      bool details, struct shown shown[REPLY_COLUMNS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < count && n < REPLY_COLUMNS_MAX; i++) {
		struct shown s = {&columns[i], strlen(columns[i].head), false};
		bool any = false;
		const json_t *row;
		size_t index;

		if (columns[i].detail && !details)
			continue;
		json_array_foreach(rows, index, row)
		{
			const json_t *value = json_object_get(row, columns[i].key);
			char cell[REPLY_CELL_MAX];
			size_t width = strlen(reply_format(value, columns[i].kind, cell));

			any |= has_value(value);
			s.right |= json_is_number(value);
			if (width > s.width)
				s.width = width;
		}
		if (any)
			shown[n++] = s;
	}
	return n;
}

static void print_cell(const struct shown *s, const char *cell, bool last, FILE *out)
{
	if (s->right)
		fprintf(out, "%*s", (int)s->width, cell);
	else if (last)
		fputs(cell, out); /* no blanks at the end of a line */
	else
		fprintf(out, "%-*s", (int)s->width, cell);
	fputs(last ? "\n" : "  ", out);
}

void reply_print_table(const json_t *rows, const struct reply_column *columns, size_t count,
		       bool details, FILE *out)
{
	struct shown shown[REPLY_COLUMNS_MAX];
	size_t n = measure(rows, columns, count, details, shown);
	const json_t *row;
	size_t index;

	for (size_t i = 0; i < n; i++)
		print_cell(&shown[i], shown[i].column->head, i + 1 == n, out);
	json_array_foreach(rows, index, row)
	{
		for (size_t i = 0; i < n; i++) {
			const struct reply_column *column = shown[i].column;
			char cell[REPLY_CELL_MAX];

			reply_format(json_object_get(row, column->key), column->kind, cell);
			print_cell(&shown[i], cell, i + 1 == n, out);
		}
	}
}

void reply_print_json(const json_t *result, FILE *out)
{
	json_dumpf(result, out, JSON_COMPACT | JSON_ENCODE_ANY);
	fputc('\n', out);
}
