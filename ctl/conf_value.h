/* The values of the configuration file: pieces of its text, each with its place, and what they
 * mean. */
#ifndef SLUICE_CTL_CONF_VALUE_H
#define SLUICE_CTL_CONF_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/conf.h"

/* A piece of one line of the text, not terminated. */
struct conf_span {
	const char *text;
	size_t size;
	unsigned line;
	unsigned column; /* of its first byte */
};

enum {
	CONF_QUOTE_MAX = 44,
};

/* Copy what a message can show of the piece, with its terminator; returns out. */
char *conf_span_quote(const struct conf_span *span, char out[CONF_QUOTE_MAX]);

/* size bytes of the piece, from offset on, without the blanks round them. */
struct conf_span conf_span_part(const struct conf_span *span, size_t offset, size_t size);

/* Whether the piece is this word, whatever the case of its letters. */
bool conf_span_is(const struct conf_span *span, const char *word);

/*
 * Take the first item of a list with commas; false if there is none left. An item may be empty.
 *
 * rest: made shorter by the item; text is NULL after the last
 */
bool conf_span_next(struct conf_span *rest, struct conf_span *item);

/* Fill *err with the place of the piece and the text; returns -EINVAL. */
int conf_fail(struct conf_error *err, const struct conf_span *at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * The same for a word that is none of the known ones: "unknown WHAT 'word'" with the nearest of
 * the names, or, if none is near, with all of them.
 */
int conf_fail_unknown(struct conf_error *err, const struct conf_span *at, const char *what,
		      const char *const *names, size_t count);

/*
 * Each of these reads one value.
 *
 * Errors: -EINVAL with *err filled; *out is then untouched
 */

/* A decimal number, or hexadecimal after 0x, from min to max. what: the noun for messages. */
int conf_value_number(const struct conf_span *value, const char *what, uint64_t min, uint64_t max,
		      uint64_t *out, struct conf_error *err);

/* One of count words, whatever the case: *out is its index. */
int conf_value_word(const struct conf_span *value, const char *what, const char *const *words,
		    size_t count, unsigned *out, struct conf_error *err);

/* "yes" or "no". */
int conf_value_bool(const struct conf_span *value, bool *out, struct conf_error *err);

/* A name of a list or of an egress: [A-Za-z0-9_.-]+, not starting with a dash. */
int conf_value_name(const struct conf_span *value, char out[CONF_NAME_MAX], struct conf_error *err);

/* A name that the kernel allows for an interface, and that can be a file's name. */
int conf_value_ifname(const struct conf_span *value, char out[CONF_IFNAME_MAX],
		      struct conf_error *err);

/* A unicast address with its length; without one it is a host's. */
int conf_value_address(const struct conf_span *value, struct conf_address *out,
		       struct conf_error *err);

/* A unicast address without length. */
int conf_value_host(const struct conf_span *value, struct addr *out, struct conf_error *err);

/* "first-last": unprivileged ports, CONF_PORTS_MIN of them at least. */
int conf_value_ports(const struct conf_span *value, uint16_t *first, uint16_t *last,
		     struct conf_error *err);

#endif
