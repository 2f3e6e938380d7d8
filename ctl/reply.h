/* Reading the daemon's answers, and showing them as lines and columns. */
#ifndef SLUICE_CTL_REPLY_H
#define SLUICE_CTL_REPLY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
	REPLY_CELL_MAX = 256,
	REPLY_COLUMNS_MAX = 32,
};

/* Members of an object. One that is missing, null or of another type is "-", 0 or false. */
const char *reply_text(const json_t *object, const char *key);
json_int_t reply_number(const json_t *object, const char *key);
bool reply_bool(const json_t *object, const char *key);
bool reply_has(const json_t *object, const char *key); /* there, and neither null nor "" */

/* How a value is written. */
enum reply_kind {
	REPLY_PLAIN,   /* text, numbers, yes and no; the items of an array with commas */
	REPLY_BYTES,   /* 1.5 MiB */
	REPLY_SECONDS, /* 3d 4h */
	REPLY_TIME,    /* seconds since 1970, in local time; text as it is */
	REPLY_UP,      /* up or down */
	REPLY_POLLING, /* polling or sleeping */
};

/* Write one value, "-" for none, without anything that could upset a terminal; returns out. */
char *reply_format(const json_t *value, enum reply_kind kind, char out[REPLY_CELL_MAX]);

struct reply_column {
	const char *key;
	const char *head;
	enum reply_kind kind;
	bool detail; /* only where details are asked for */
};

/*
 * Print an array of objects, one a line under heads, numbers to the right. A column that no object
 * has a value for is left out.
 *
 * rows:    not an array: nothing is printed
 * columns: count of them, REPLY_COLUMNS_MAX at most
 * details: whether to show those columns too
 */
void reply_print_table(const json_t *rows, const struct reply_column *columns, size_t count,
		       bool details, FILE *out);

/* Print a result as it came, on one line. */
void reply_print_json(const json_t *result, FILE *out);

/* For people: "31 us", "1.2 ms", "2.50 s"; "512 B", "1.5 MiB". Both return out. */
char *reply_format_us(double us, char out[REPLY_CELL_MAX]);
char *reply_format_bytes(json_int_t bytes, char out[REPLY_CELL_MAX]);

#endif
