/* Reads lists. This is a trust edge: the text may hold anything. */
#include "lpm/list.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lpm/addr6.h"
#include "lpm/list_sort.h"
#include "lpm/range.h"

enum {
	WORDS_MAX = 3,      /* one more than any item has */
	QUOTE_MAX = 64,     /* a quoted word with its terminator */
	FIRST_ENTRIES = 64, /* room made for the first entry of a family */
};

struct word {
	const char *text;
	size_t size;
};

struct parser {
	struct list *list;
	struct list_error *error;
	size_t room4; /* entries that fit */
	size_t room6;
	size_t max_bytes; /* of both */
	uint32_t line;
	const char *line_start;
	bool skip_bad;
};

/* Make a word printable and short. */
static const char *quote(const char *text, size_t size, char out[QUOTE_MAX])
{
	const size_t tail = sizeof("...");
	size_t at = 0;

	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];
		bool plain = c >= 0x20 && c < 0x7f;

		if (at + (plain ? 1 : 4) + tail > QUOTE_MAX) {
			memcpy(out + at, "...", tail);
			return out;
		}
		if (plain)
			out[at++] = (char)c;
		else
			at += (size_t)snprintf(out + at, QUOTE_MAX - at, "\\x%02x", c);
	}
	out[at] = '\0';
	return out;
}

/* Returns -EINVAL with the error filled in, unless nobody would read it. */
__attribute__((format(printf, 3, 4))) static int refuse(struct parser *parser, struct word word,
							const char *format, ...)
{
	struct list_error *error = parser->error;
	va_list args;

	if (parser->skip_bad)
		return -EINVAL;
	error->line = parser->line;
	error->column = (size_t)(word.text - parser->line_start) + 1;
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return -EINVAL;
}

static int refuse_word(struct parser *parser, struct word word, const char *what)
{
	char quoted[QUOTE_MAX];

	return refuse(parser, word, "%s: '%s'", what, quote(word.text, word.size, quoted));
}

/* Whether so many more bytes are allowed. */
static bool within(struct parser *parser, size_t bytes)
{
	size_t held = parser->room4 * sizeof(struct list4_entry) +
		      parser->room6 * sizeof(struct list6_entry);

	if (held <= parser->max_bytes && bytes <= parser->max_bytes - held)
		return true;
	parser->error->line = parser->line;
	parser->error->column = 1;
	return false;
}

/* Returns the entries with more room, or NULL; what there was is then untouched. */
static void *grow(struct parser *parser, void *entries, size_t *room, size_t entry_size)
{
	size_t more = *room == 0 ? FIRST_ENTRIES : *room * 2;
	void *moved;

	/* While they are moved they are there twice, and so while they are sorted. */
	if (more > SIZE_MAX / 2 / entry_size || !within(parser, 2 * more * entry_size))
		return NULL;
	moved = realloc(entries, more * entry_size);
	if (moved != NULL)
		*room = more;
	return moved;
}

static int add4(struct parser *parser, uint32_t addr, uint8_t len)
{
	struct list *list = parser->list;

	if (list->count4 == parser->room4) {
		void *grown = grow(parser, list->v4, &parser->room4, sizeof(*list->v4));

		if (grown == NULL)
			return -ENOMEM;
		list->v4 = grown;
	}
	list->v4[list->count4++] = (struct list4_entry){addr, parser->line, len};
	return 0;
}

static int add6(struct parser *parser, struct addr6 addr, uint8_t len)
{
	struct list *list = parser->list;

	if (list->count6 == parser->room6) {
		void *grown = grow(parser, list->v6, &parser->room6, sizeof(*list->v6));

		if (grown == NULL)
			return -ENOMEM;
		list->v6 = grown;
	}
	list->v6[list->count6++] = (struct list6_entry){addr, parser->line, len};
	return 0;
}

static int add_prefix(struct parser *parser, const struct prefix *prefix, bool masked)
{
	parser->list->counts.items++;
	parser->list->counts.masked += masked;
	if (prefix->addr.version == 4)
		return add4(parser, prefix->addr.v4, prefix->len);
	return add6(parser, prefix->addr.v6, prefix->len);
}

static int add_range(struct parser *parser, const struct addr *first, const struct addr *last)
{
	bool is4 = first->version == 4;
	struct range range = {.first = first->v6, .last = last->v6};
	struct addr6 addr;
	uint8_t len;
	bool more;
	int rc;

	if (is4) {
		range.first = addr6_from4(first->v4);
		range.last = addr6_last(addr6_from4(last->v4), 32);
	}
	parser->list->counts.items++;
	parser->list->counts.ranges++;
	do {
		more = range_cut(&range, &addr, &len);
		rc = is4 ? add4(parser, addr6_to4(addr), len) : add6(parser, addr, len);
	} while (rc == 0 && more);
	return rc;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Whether an IPv4 address was probably meant, with a part like 010. */
static bool has_leading_zero(struct word word)
{
	bool found = false;

	for (size_t i = 0; i < word.size && word.text[i] != '/'; i++) {
		bool starts = i == 0 || word.text[i - 1] == '.';

		if (!is_digit(word.text[i]) && word.text[i] != '.')
			return false;
		if (starts && word.text[i] == '0' && i + 1 < word.size &&
		    is_digit(word.text[i + 1]))
			found = true;
	}
	return found;
}

static int refuse_address(struct parser *parser, struct word word, const char *what)
{
	if (has_leading_zero(word))
		return refuse_word(parser, word, "leading zero, which some read as octal");
	return refuse_word(parser, word, what);
}

static int refuse_rest(struct parser *parser, struct word word)
{
	return refuse_word(parser, word, "nothing may follow the item");
}

static int parse_range(struct parser *parser, const struct word *words, unsigned count)
{
	struct word word = words[0];
	const char *dash = memchr(word.text, '-', word.size);
	struct word first_word = {word.text, (size_t)(dash - word.text)};
	struct word last_word = {dash + 1, word.size - first_word.size - 1};
	struct addr first, last;

	if (addr_parse(first_word.text, first_word.size, &first) != 0)
		return refuse_address(parser, first_word, "not an address to start a range");
	if (addr_parse(last_word.text, last_word.size, &last) != 0)
		return refuse_address(parser, last_word, "not an address to end a range");
	if (first.version != last.version)
		return refuse_word(parser, word, "range mixes IPv4 and IPv6");
	if (first.version == 4 ? last.v4 < first.v4 : addr6_less(last.v6, first.v6))
		return refuse_word(parser, word, "range end is below its start");
	if (count > 1)
		return refuse_rest(parser, words[1]);
	return add_range(parser, &first, &last);
}

static int parse_netmask(struct parser *parser, const struct addr *network,
			 const struct word *words, unsigned count)
{
	struct word word = words[1];
	struct prefix prefix = {.addr = *network};
	struct addr mask;
	char quoted[QUOTE_MAX];
	uint32_t host;

	if (addr_parse(word.text, word.size, &mask) != 0 || mask.version != 4)
		return refuse_address(parser, word, "not a netmask");
	host = ~mask.v4;
	if ((host & (host + 1)) != 0)
		return refuse(parser, word, "netmask %s is not contiguous",
			      quote(word.text, word.size, quoted));
	if (count > 2)
		return refuse_rest(parser, words[2]);
	prefix.len = (uint8_t)__builtin_popcount(mask.v4);
	prefix.addr.v4 &= mask.v4;
	parser->list->counts.ranges++;
	return add_prefix(parser, &prefix, prefix.addr.v4 != network->v4);
}

static int refuse_length(struct parser *parser, struct word word)
{
	const char *slash = memchr(word.text, '/', word.size);
	bool is4 = memchr(word.text, ':', word.size) == NULL;
	char quoted[QUOTE_MAX];

	quote(slash + 1, word.size - (size_t)(slash - word.text) - 1, quoted);
	return refuse(parser, word, "length %s is past %d", quoted, is4 ? 32 : 128);
}

static int parse_item(struct parser *parser, const struct word *words, unsigned count)
{
	struct word word = words[0];
	struct prefix prefix;
	struct addr network;
	bool masked;
	int rc;

	if (memchr(word.text, '-', word.size) != NULL)
		return parse_range(parser, words, count);
	if (count > 1 && addr_parse(word.text, word.size, &network) == 0 && network.version == 4)
		return parse_netmask(parser, &network, words, count);
	rc = prefix_parse(word.text, word.size, &prefix, &masked);
	if (rc == -ERANGE)
		return refuse_length(parser, word);
	if (rc != 0)
		return refuse_address(parser, word, "not a prefix");
	if (count > 1)
		return refuse_rest(parser, words[1]);
	return add_prefix(parser, &prefix, masked);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Split a line and take its item, if it has one. */
static int parse_line(struct parser *parser, const char *end)
{
	const char *at = parser->line_start;
	const char *comment;
	struct word words[WORDS_MAX];
	unsigned count = 0;

	if (at < end && end[-1] == '\r')
		end--;
	comment = at < end ? memchr(at, '#', (size_t)(end - at)) : NULL;
	if (comment != NULL)
		end = comment;
	while (at < end && count < WORDS_MAX) {
		const char *start;

		if (is_blank(*at)) {
			at++;
			continue;
		}
		start = at;
		while (at < end && !is_blank(*at))
			at++;
		words[count++] = (struct word){start, (size_t)(at - start)};
	}
	return count > 0 ? parse_item(parser, words, count) : 0;
}

/*
 * What nearly every line is: an IPv4 prefix, its host bits zero, and the end of the line. Anything
 * else, good or bad, is left to parse_line.
 *
 * Returns whether the line was taken; *rc is then its result and *next the next line.
 */
static bool parse_plain_line(struct parser *parser, const char *end, const char **next, int *rc)
{
	const char *at = parser->line_start;
	uint32_t addr;
	unsigned len;

	at += addr4_scan(at, (size_t)(end - at), &addr);
	if (at == parser->line_start || end - at < 3 || at[0] != '/' || !is_digit(at[1]))
		return false;
	len = (unsigned)(at[1] - '0');
	at += 2;
	if (len > 0 && is_digit(*at))
		len = len * 10 + (unsigned)(*at++ - '0');
	if (end - at >= 2 && *at == '\r')
		at++;
	if (at == end || *at != '\n' || len > 32 || (addr & ~mask4(len)) != 0)
		return false;
	parser->list->counts.items++;
	*rc = add4(parser, addr, (uint8_t)len);
	*next = at + 1;
	return true;
}

static int parse_text(struct parser *parser, const char *text, size_t size)
{
	const char *end = text + size;
	const char *next;
	int rc = 0;

	if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		text += 3; /* the byte order mark */
	for (; text < end && rc == 0; text = next) {
		const char *line_end;

		parser->line++;
		parser->line_start = text;
		if (parse_plain_line(parser, end, &next, &rc))
			continue;
		line_end = memchr(text, '\n', (size_t)(end - text));
		next = line_end != NULL ? line_end + 1 : end;
		rc = parse_line(parser, line_end != NULL ? line_end : end);
		if (rc == -EINVAL && parser->skip_bad) {
			parser->list->counts.skipped++;
			rc = 0;
		}
	}
	parser->list->counts.lines = parser->line;
	return rc;
}

static void destroy(struct list *list)
{
	free(list->edits4);
	free(list->edits6);
	if (list->origin != NULL) {
		list_unref(list->origin);
	} else {
		free(list->name);
		free(list->file);
		free(list->v4);
		free(list->v6);
	}
	free(list);
}

struct list *list_create(const char *name, const char *file)
{
	struct list *list = calloc(1, sizeof(*list));

	if (list == NULL)
		return NULL;
	list->refs = 1;
	list->name = strdup(name);
	list->file = strdup(file);
	if (list->name == NULL || list->file == NULL) {
		destroy(list);
		return NULL;
	}
	return list;
}

/* Give back what growing by doubling took too much. */
static void trim(struct list *list)
{
	void *moved;

	moved = list->count4 > 0 ? realloc(list->v4, list->count4 * sizeof(*list->v4)) : NULL;
	if (moved != NULL)
		list->v4 = moved;
	moved = list->count6 > 0 ? realloc(list->v6, list->count6 * sizeof(*list->v6)) : NULL;
	if (moved != NULL)
		list->v6 = moved;
}

int list_parse(const char *name, const char *file, const char *text, size_t size,
	       enum list_flags flags, struct list **out, struct list_error *err)
{
	return list_parse_within(name, file, text, size, flags, SIZE_MAX, out, err);
}

int list_parse_within(const char *name, const char *file, const char *text, size_t size,
		      enum list_flags flags, size_t max_bytes, struct list **out,
		      struct list_error *err)
{
	struct list_error error = {.text = "out of memory"};
	struct parser parser = {
		.error = &error,
		.max_bytes = max_bytes,
		.skip_bad = (flags & LIST_SKIP_BAD) != 0,
	};
	int rc;

	if (size > UINT32_MAX) { /* lines are counted in 32 bits */
		*err = (struct list_error){.text = "the text is past 4 GiB"};
		return -EINVAL;
	}
	parser.list = list_create(name, file);
	if (parser.list == NULL) {
		*err = error;
		return -ENOMEM;
	}
	rc = size > 0 ? parse_text(&parser, text, size) : 0;
	if (rc == 0)
		rc = list_sort(parser.list);
	if (rc != 0) {
		*err = error;
		destroy(parser.list);
		return rc;
	}
	trim(parser.list);
	*out = parser.list;
	return 0;
}

struct list *list_ref(struct list *list)
{
	list->refs++;
	return list;
}

void list_unref(struct list *list)
{
	if (list != NULL && --list->refs == 0)
		destroy(list);
}
