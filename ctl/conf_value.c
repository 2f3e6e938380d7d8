#include "ctl/conf_value.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "ctl/nearest.h"

char *conf_span_quote(const struct conf_span *span, char out[CONF_QUOTE_MAX])
{
	static const char more[] = "...";
	size_t room = CONF_QUOTE_MAX - sizeof(more);
	size_t n = span->size > room ? room : span->size;

	for (size_t i = 0; i < n; i++)
		out[i] = isprint((unsigned char)span->text[i]) ? span->text[i] : '?';
	out[n] = '\0';
	if (n < span->size)
		memcpy(out + n, more, sizeof(more));
	return out;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

struct conf_span conf_span_part(const struct conf_span *span, size_t offset, size_t size)
{
	struct conf_span part = {span->text + offset, size, span->line,
				 span->column + (unsigned)offset};

	while (part.size > 0 && is_blank(part.text[0])) {
		part.text++;
		part.size--;
		part.column++;
	}
	while (part.size > 0 && is_blank(part.text[part.size - 1]))
		part.size--;
	return part;
}

bool conf_span_is(const struct conf_span *span, const char *word)
{
	return span->size == strlen(word) && strncasecmp(span->text, word, span->size) == 0;
}

bool conf_span_next(struct conf_span *rest, struct conf_span *item)
{
	const char *comma;

	if (rest->text == NULL)
		return false;
	comma = memchr(rest->text, ',', rest->size);
	if (comma == NULL) {
		*item = conf_span_part(rest, 0, rest->size);
		rest->text = NULL;
		return true;
	}
	size_t n = (size_t)(comma - rest->text);

	*item = conf_span_part(rest, 0, n);
	/* Not trimmed: a comma at the very end leaves an empty item, whose place is after it. */
	rest->text += n + 1;
	rest->size -= n + 1;
	rest->column += (unsigned)n + 1;
	return true;
}

int conf_fail(struct conf_error *err, const struct conf_span *at, const char *format, ...)
{
	va_list args;

	err->line = at->line;
	err->column = at->column;
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	return -EINVAL;
}

int conf_fail_unknown(struct conf_error *err, const struct conf_span *at, const char *what,
		      const char *const *names, size_t count)
{
	struct nearest nearest = {.word = at->text, .size = at->size};
	char word[CONF_QUOTE_MAX];
	char known[sizeof(err->text)] = "";
	size_t used = 0;

	conf_span_quote(at, word);
	for (size_t i = 0; i < count; i++)
		nearest_try(&nearest, names[i]);
	if (nearest.best != NULL)
		return conf_fail(err, at, "unknown %s '%s'; did you mean '%s'?", what, word,
				 nearest.best);
	for (size_t i = 0; i < count && used < sizeof(known); i++) {
		const char *joint = i == 0 ? "" : i + 1 < count ? ", " : " or ";
		int n = snprintf(known + used, sizeof(known) - used, "%s%s", joint, names[i]);

		used += (size_t)(n > 0 ? n : 0);
	}
	if (used == 0 || used > sizeof(known) / 2)
		return conf_fail(err, at, "unknown %s '%s'", what, word);
	return conf_fail(err, at, "unknown %s '%s': expected %s", what, word, known);
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* false if the text is no number at all; one too large for 64 bits is UINT64_MAX. */
static bool read_number(const char *text, size_t size, uint64_t *out)
{
	int base = 10;
	uint64_t value = 0;

	if (size > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		base = 16;
		text += 2;
		size -= 2;
	}
	if (size == 0)
		return false;
	for (size_t i = 0; i < size; i++) {
		int digit = digit_value(text[i]);

		if (digit < 0 || digit >= base)
			return false;
		if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
		    __builtin_add_overflow(value, (uint64_t)digit, &value))
			value = UINT64_MAX / 2; /* stays beyond every limit */
	}
	*out = value;
	return true;
}

int conf_value_number(const struct conf_span *value, const char *what, uint64_t min, uint64_t max,
		      uint64_t *out, struct conf_error *err)
{
	char word[CONF_QUOTE_MAX];
	uint64_t number;

	if (!read_number(value->text, value->size, &number))
		return conf_fail(err, value, "%s is not a number: '%s'", what,
				 conf_span_quote(value, word));
	if (number < min || number > max)
		return conf_fail(err, value, "%s out of range: '%s', expected %llu to %llu", what,
				 conf_span_quote(value, word), (unsigned long long)min,
				 (unsigned long long)max);
	*out = number;
	return 0;
}

int conf_value_word(const struct conf_span *value, const char *what, const char *const *words,
		    size_t count, unsigned *out, struct conf_error *err)
{
	for (size_t i = 0; i < count; i++) {
		if (conf_span_is(value, words[i])) {
			*out = (unsigned)i;
			return 0;
		}
	}
	return conf_fail_unknown(err, value, what, words, count);
}

int conf_value_bool(const struct conf_span *value, bool *out, struct conf_error *err)
{
	char word[CONF_QUOTE_MAX];

	if (!conf_span_is(value, "yes") && !conf_span_is(value, "no"))
		return conf_fail(err, value, "expected yes or no, not '%s'",
				 conf_span_quote(value, word));
	*out = conf_span_is(value, "yes");
	return 0;
}

int conf_value_name(const struct conf_span *value, char out[CONF_NAME_MAX], struct conf_error *err)
{
	char word[CONF_QUOTE_MAX];

	conf_span_quote(value, word);
	if (value->size >= CONF_NAME_MAX)
		return conf_fail(err, value, "name longer than %d bytes: '%s'", CONF_NAME_MAX - 1,
				 word);
	for (size_t i = 0; i < value->size; i++) {
		char c = value->text[i];

		if (!isalnum((unsigned char)c) && c != '_' && c != '.' && (c != '-' || i == 0))
			return conf_fail(err, value,
					 "bad name '%s': letters, digits, '_', '.' and '-' only",
					 word);
	}
	memcpy(out, value->text, value->size);
	out[value->size] = '\0';
	return 0;
}

int conf_value_ifname(const struct conf_span *value, char out[CONF_IFNAME_MAX],
		      struct conf_error *err)
{
	char word[CONF_QUOTE_MAX];

	conf_span_quote(value, word);
	if (value->size == 0)
		return conf_fail(err, value, "empty interface name");
	if (value->size >= CONF_IFNAME_MAX)
		return conf_fail(err, value, "interface name longer than %d bytes: '%s'",
				 CONF_IFNAME_MAX - 1, word);
	for (size_t i = 0; i < value->size; i++) {
		char c = value->text[i];

		/* '%' would make the kernel count devices up; a comment's sign may not come first.
		 */
		if (!isgraph((unsigned char)c) || strchr("/:%,", c) != NULL ||
		    (i == 0 && strchr("-#;", c) != NULL))
			return conf_fail(err, value, "not an interface name: '%s'", word);
	}
	if (strcmp(word, ".") == 0 || strcmp(word, "..") == 0)
		return conf_fail(err, value, "not an interface name: '%s'", word);
	memcpy(out, value->text, value->size);
	out[value->size] = '\0';
	return 0;
}

static bool is_unicast(const struct addr *addr)
{
	if (addr->version == 4)
		return addr->v4 != 0 && addr->v4 < 0xe0000000;
	return (addr->v6.hi | addr->v6.lo) != 0 && addr->v6.hi >> 56 != 0xff;
}

int conf_value_host(const struct conf_span *value, struct addr *out, struct conf_error *err)
{
	char word[CONF_QUOTE_MAX];
	struct addr addr;

	if (addr_parse(value->text, value->size, &addr) != 0)
		return conf_fail(err, value, "not an address: '%s'", conf_span_quote(value, word));
	if (!is_unicast(&addr))
		return conf_fail(err, value, "not a unicast address: '%s'",
				 conf_span_quote(value, word));
	*out = addr;
	return 0;
}

int conf_value_address(const struct conf_span *value, struct conf_address *out,
		       struct conf_error *err)
{
	const char *slash = memchr(value->text, '/', value->size);
	size_t n = slash != NULL ? (size_t)(slash - value->text) : value->size;
	struct conf_span host = {value->text, n, value->line, value->column};
	struct addr addr = {0};
	uint64_t len;
	int rc = conf_value_host(&host, &addr, err);

	if (rc != 0)
		return rc;
	len = addr.version == 4 ? 32 : 128;
	if (slash != NULL) {
		struct conf_span text = {slash + 1, value->size - n - 1, value->line,
					 value->column + (unsigned)n + 1};

		rc = conf_value_number(&text, "prefix length", 0, len, &len, err);
		if (rc != 0)
			return rc;
	}
	out->addr = addr;
	out->len = (uint8_t)len;
	return 0;
}

int conf_value_ports(const struct conf_span *value, uint16_t *first, uint16_t *last,
		     struct conf_error *err)
{
	const char *dash = memchr(value->text, '-', value->size);
	char word[CONF_QUOTE_MAX];
	uint64_t low = 0, high = 0;
	int rc;

	if (dash == NULL)
		return conf_fail(err, value, "not a range of ports: '%s', expected FIRST-LAST",
				 conf_span_quote(value, word));
	size_t n = (size_t)(dash - value->text);
	struct conf_span left = conf_span_part(value, 0, n);
	struct conf_span right = conf_span_part(value, n + 1, value->size - n - 1);

	rc = conf_value_number(&left, "port", CONF_PORT_MIN, UINT16_MAX, &low, err);
	if (rc != 0)
		return rc;
	rc = conf_value_number(&right, "port", CONF_PORT_MIN, UINT16_MAX, &high, err);
	if (rc != 0)
		return rc;
	if (high < low || high - low + 1 < CONF_PORTS_MIN)
		return conf_fail(err, value, "range of ports too small: '%s', expected %d at least",
				 conf_span_quote(value, word), CONF_PORTS_MIN);
	*first = (uint16_t)low;
	*last = (uint16_t)high;
	return 0;
}
