/* The configuration file's grammar: lines, sections, and what must hold between them. */
#include "ctl/conf.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/conf_parser.h"
#include "ctl/conf_value.h"
#include "lpm/table.h"

static const struct {
	const char *name;
	bool named;
} sections[CONF_SECTION_COUNT] = {
	[CONF_SECTION_NONE] = {"", false},        [CONF_SECTION_INTERFACE] = {"Interface", false},
	[CONF_SECTION_EGRESS] = {"Egress", true}, [CONF_SECTION_LIST] = {"List", true},
	[CONF_SECTION_RULE] = {"Rule", false},    [CONF_SECTION_DEFAULT] = {"Default", false},
};

static int require(struct conf_parser *p, const char *name)
{
	if (conf_key_seen(p, name) != NULL)
		return 0;
	return conf_fail(p->err, &p->header, "[%s] without %s", sections[p->section].name, name);
}

/* Sections. */

static int finish_interface(struct conf_parser *p)
{
	const struct conf_interface *interface = &p->conf.interface;
	const struct conf_span *mtu = conf_key_seen(p, "MTU");
	const struct conf_span *from = conf_key_seen(p, "From");
	const struct conf_span *capture = conf_key_seen(p, "Capture");

	for (unsigned i = 0; i < interface->address_count; i++) {
		if (interface->addresses[i].addr.version == 6 && interface->mtu != 0 &&
		    interface->mtu < CONF_MTU6_MIN)
			return conf_fail(p->err, mtu, "MTU %u is less than IPv6 needs, %d",
					 interface->mtu, CONF_MTU6_MIN);
	}
	if (interface->capture == CONF_CAPTURE_FORWARD && from == NULL)
		return conf_fail(p->err, capture, "Capture = forward without From");
	if (interface->capture != CONF_CAPTURE_FORWARD && from != NULL)
		return conf_fail(p->err, from, "From without Capture = forward");
	for (unsigned i = 0; i < interface->from_count; i++) {
		if (strcmp(interface->from[i], interface->name) == 0)
			return conf_fail(p->err, from,
					 "From names the tunnel interface '%s' itself",
					 interface->name);
	}
	return 0;
}

static int finish_egress(struct conf_parser *p)
{
	static const struct {
		const char *name;
		enum conf_egress_type type;
	} only[] = {
		{"Interface", CONF_EGRESS_INTERFACE}, {"Gateway", CONF_EGRESS_INTERFACE},
		{"MTU", CONF_EGRESS_INTERFACE},       {"Nat", CONF_EGRESS_INTERFACE},
		{"PortRange", CONF_EGRESS_INTERFACE}, {"OnDown", CONF_EGRESS_INTERFACE},
		{"Config", CONF_EGRESS_WIREGUARD},    {"Hooks", CONF_EGRESS_WIREGUARD},
		{"Split", CONF_EGRESS_WIREGUARD},
	};
	const struct conf_egress *egress = &p->conf.egresses[p->conf.egress_count - 1];
	int rc = require(p, "Type");

	if (rc != 0)
		return rc;
	for (size_t i = 0; i < sizeof(only) / sizeof(only[0]); i++) {
		const struct conf_span *value = conf_key_seen(p, only[i].name);

		if (value != NULL && only[i].type != egress->type)
			return conf_fail(p->err, value, "%s is for Type = %s only", only[i].name,
					 conf_egress_type_names[only[i].type]);
	}
	if (egress->type == CONF_EGRESS_INTERFACE)
		return require(p, "Interface");
	return egress->type == CONF_EGRESS_WIREGUARD ? require(p, "Config") : 0;
}

/* What must hold within a section, once it has been read. */
static int finish_section(struct conf_parser *p)
{
	int rc = 0;

	switch (p->section) {
	case CONF_SECTION_NONE:
		break;
	case CONF_SECTION_INTERFACE:
		return finish_interface(p);
	case CONF_SECTION_EGRESS:
		return finish_egress(p);
	case CONF_SECTION_LIST:
		return require(p, "File");
	case CONF_SECTION_RULE:
		rc = require(p, "List");
		return rc != 0 ? rc : require(p, "Egress");
	case CONF_SECTION_DEFAULT:
		return require(p, "Egress");
	}
	return rc;
}

/*
 * The array with room for one more item than its count, or NULL. It doubles: count is a power of
 * two, or 0, whenever it is full.
 */
static void *grow(struct conf_parser *p, void *array, unsigned count, size_t item_size)
{
	void *bigger;

	if ((count & (count - 1)) != 0)
		return array;
	bigger = reallocarray(array, count == 0 ? 1 : 2 * (size_t)count, item_size);
	if (bigger == NULL)
		conf_fail(p->err, &p->header, "out of memory");
	return bigger;
}

static int begin_once(struct conf_parser *p, struct conf_span *first)
{
	if (first->text != NULL)
		return conf_fail(p->err, &p->header,
				 "duplicate section [%s]: line %u has it already",
				 sections[p->section].name, first->line);
	*first = p->header;
	return 0;
}

static int begin_egress(struct conf_parser *p, const struct conf_span *name)
{
	struct conf *conf = &p->conf;
	struct conf_egress *egress = &conf->egresses[conf->egress_count];
	int rc;

	if (conf->egress_count == CONF_EGRESSES_MAX)
		return conf_fail(p->err, &p->header, "more than %d egresses", CONF_EGRESSES_MAX);
	conf_egress_init(egress);
	egress->line = p->header.line;
	rc = conf_value_name(name, egress->name, p->err);
	if (rc != 0)
		return rc;
	for (unsigned i = 0; i < conf->egress_count; i++) {
		if (strcmp(conf->egresses[i].name, egress->name) == 0)
			return conf_fail(p->err, name,
					 "duplicate egress '%s': line %u has it already",
					 egress->name, conf->egresses[i].line);
	}
	conf->egress_count++;
	return 0;
}

static int begin_list(struct conf_parser *p, const struct conf_span *name)
{
	struct conf *conf = &p->conf;
	struct conf_list list = {.strict = true, .line = p->header.line};
	struct conf_list *lists;
	int rc;

	if (conf->list_count == TABLE_RULES_MAX)
		return conf_fail(p->err, &p->header, "more than %d lists", TABLE_RULES_MAX);
	rc = conf_value_name(name, list.name, p->err);
	if (rc != 0)
		return rc;
	for (unsigned i = 0; i < conf->list_count; i++) {
		if (strcmp(conf->lists[i].name, list.name) == 0)
			return conf_fail(p->err, name,
					 "duplicate list '%s': line %u has it already", list.name,
					 conf->lists[i].line);
	}
	lists = grow(p, conf->lists, conf->list_count, sizeof(list));
	if (lists == NULL)
		return -ENOMEM;
	conf->lists = lists;
	lists[conf->list_count++] = list;
	return 0;
}

static int begin_rule(struct conf_parser *p)
{
	unsigned n = p->conf.rule_count;
	struct conf_rule *rules;
	struct conf_rule_spans *spans;

	if (n == TABLE_RULES_MAX)
		return conf_fail(p->err, &p->header, "more than %d rules", TABLE_RULES_MAX);
	rules = grow(p, p->conf.rules, n, sizeof(*rules));
	if (rules == NULL)
		return -ENOMEM;
	p->conf.rules = rules;
	spans = grow(p, p->rules, n, sizeof(*spans));
	if (spans == NULL)
		return -ENOMEM;
	p->rules = spans;
	rules[n] = (struct conf_rule){.line = p->header.line};
	spans[n] = (struct conf_rule_spans){0};
	p->conf.rule_count++;
	return 0;
}

static int begin_section(struct conf_parser *p, const struct conf_span *name)
{
	if (sections[p->section].named && name->size == 0)
		return conf_fail(p->err, &p->header, "[%s] needs a name: [%s NAME]",
				 sections[p->section].name, sections[p->section].name);
	if (!sections[p->section].named && name->size != 0)
		return conf_fail(p->err, name, "[%s] takes no name", sections[p->section].name);

	switch (p->section) {
	case CONF_SECTION_NONE:
		break;
	case CONF_SECTION_INTERFACE:
		return begin_once(p, &p->first_interface);
	case CONF_SECTION_EGRESS:
		return begin_egress(p, name);
	case CONF_SECTION_LIST:
		return begin_list(p, name);
	case CONF_SECTION_RULE:
		return begin_rule(p);
	case CONF_SECTION_DEFAULT:
		return begin_once(p, &p->first_default);
	}
	return 0;
}

static int parse_header(struct conf_parser *p, const struct conf_span *line)
{
	const char *names[CONF_SECTION_COUNT];
	struct conf_span inside, word;
	size_t n = 0;
	int rc = finish_section(p);

	if (rc != 0)
		return rc;
	if (line->text[line->size - 1] != ']')
		return conf_fail(p->err, line, "section header without ']'");
	inside = conf_span_part(line, 1, line->size - 2);
	while (n < inside.size && !isblank((unsigned char)inside.text[n]))
		n++;
	word = conf_span_part(&inside, 0, n);
	p->header = *line;
	memset(p->seen, 0, sizeof(p->seen));
	for (unsigned i = CONF_SECTION_INTERFACE; i < CONF_SECTION_COUNT; i++) {
		if (conf_span_is(&word, sections[i].name)) {
			struct conf_span name = conf_span_part(&inside, n, inside.size - n);

			p->section = (enum conf_section)i;
			return begin_section(p, &name);
		}
		names[i - CONF_SECTION_INTERFACE] = sections[i].name;
	}
	return conf_fail_unknown(p->err, &word, "section", names,
				 CONF_SECTION_COUNT - CONF_SECTION_INTERFACE);
}

static int parse_line(struct conf_parser *p, const struct conf_span *line)
{
	char word[CONF_QUOTE_MAX];
	const char *equals;
	struct conf_span key, value;

	if (line->size == 0)
		return 0;
	if (memchr(line->text, '\0', line->size) != NULL)
		return conf_fail(p->err, line, "a zero byte: this is no text");
	if (line->text[0] == '[')
		return parse_header(p, line);
	equals = memchr(line->text, '=', line->size);
	if (equals == NULL)
		return conf_fail(p->err, line, "expected KEY = VALUE or [SECTION], not '%s'",
				 conf_span_quote(line, word));
	size_t n = (size_t)(equals - line->text);

	key = conf_span_part(line, 0, n);
	value = conf_span_part(line, n + 1, line->size - n - 1);
	if (p->section == CONF_SECTION_NONE)
		return conf_fail(p->err, &key, "key '%s' before any section",
				 conf_span_quote(&key, word));
	return conf_key_parse(p, &key, &value);
}

/* The length of a line without its comment, which stands at its start or after a blank. */
static size_t without_comment(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if ((text[i] == '#' || text[i] == ';') &&
		    (i == 0 || isblank((unsigned char)text[i - 1])))
			return i;
	}
	return size;
}

static int parse_text(struct conf_parser *p, const char *text, size_t size)
{
	static const char mark[] = "\xef\xbb\xbf"; /* byte order mark */
	size_t pos = size >= 3 && memcmp(text, mark, 3) == 0 ? 3 : 0;
	unsigned number = 1;

	while (pos < size) {
		const char *end = memchr(text + pos, '\n', size - pos);
		size_t n = end != NULL ? (size_t)(end - (text + pos)) : size - pos;
		struct conf_span whole = {text + pos, n, number, 1};
		struct conf_span line = conf_span_part(&whole, 0, without_comment(text + pos, n));
		int rc = parse_line(p, &line);

		if (rc != 0)
			return rc;
		pos += n + 1;
		number++;
	}
	return finish_section(p);
}

/* The file as a whole. */

static int fail_unknown_egress(struct conf_parser *p, const struct conf_span *name)
{
	const char *names[CONF_EGRESSES_MAX];

	for (unsigned i = 0; i < p->conf.egress_count; i++)
		names[i] = p->conf.egresses[i].name;
	return conf_fail_unknown(p->err, name, "egress", names, p->conf.egress_count);
}

/* Names of lists and egresses are values: their case matters. */
static bool names(const struct conf_span *span, const char *name)
{
	return span->size == strlen(name) && memcmp(span->text, name, span->size) == 0;
}

static int resolve_egress(struct conf_parser *p, const struct conf_span *name, unsigned *out)
{
	for (unsigned i = 0; i < p->conf.egress_count; i++) {
		if (names(name, p->conf.egresses[i].name)) {
			*out = i;
			return 0;
		}
	}
	return fail_unknown_egress(p, name);
}

/* OnDown = drop, reject or another egress: these words stand for themselves. */
static int resolve_on_down(struct conf_parser *p)
{
	for (unsigned i = 0; i < p->conf.egress_count; i++) {
		struct conf_egress *egress = &p->conf.egresses[i];
		const struct conf_span *value = &p->on_down[i];
		unsigned other = 0;
		int rc;

		if (value->text == NULL || conf_span_is(value, "drop"))
			continue;
		if (conf_span_is(value, "reject")) {
			egress->on_down = CONF_ON_DOWN_REJECT;
			continue;
		}
		rc = resolve_egress(p, value, &other);
		if (rc != 0)
			return rc;
		if (other == i)
			return conf_fail(p->err, value, "egress '%s' cannot stand in for itself",
					 egress->name);
		egress->on_down = CONF_ON_DOWN_EGRESS + other;
	}
	return 0;
}

static int resolve_list(struct conf_parser *p, const struct conf_span *name, unsigned *out)
{
	const struct conf *conf = &p->conf;
	const char **known;
	int rc;

	for (unsigned i = 0; i < conf->list_count; i++) {
		if (names(name, conf->lists[i].name)) {
			*out = i;
			return 0;
		}
	}
	known = calloc(conf->list_count + 1, sizeof(*known));
	if (known == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < conf->list_count; i++)
		known[i] = conf->lists[i].name;
	rc = conf_fail_unknown(p->err, name, "list", known, conf->list_count);
	free(known);
	return rc;
}

static int resolve_rules(struct conf_parser *p)
{
	unsigned *line_of; /* the rule of each list, by its line */
	int rc = 0;

	line_of = calloc(p->conf.list_count + 1, sizeof(*line_of));
	if (line_of == NULL)
		return -ENOMEM;
	for (unsigned i = 0; rc == 0 && i < p->conf.rule_count; i++) {
		struct conf_rule *rule = &p->conf.rules[i];
		const struct conf_span *list = &p->rules[i].list;

		rc = resolve_list(p, list, &rule->list);
		if (rc != 0)
			break;
		if (line_of[rule->list] != 0)
			rc = conf_fail(p->err, list,
				       "list '%s' has a rule already, at line %u: it would win",
				       p->conf.lists[rule->list].name, line_of[rule->list]);
		else
			rc = resolve_egress(p, &p->rules[i].egress, &rule->egress);
		line_of[rule->list] = rule->line;
	}
	free(line_of);
	return rc;
}

static int check_interfaces(struct conf_parser *p)
{
	const struct conf *conf = &p->conf;

	for (unsigned i = 0; i < conf->egress_count; i++) {
		const struct conf_egress *egress = &conf->egresses[i];

		if (egress->type != CONF_EGRESS_INTERFACE)
			continue;
		if (strcmp(egress->interface, conf->interface.name) == 0)
			return conf_fail(p->err, &p->egress_interfaces[i],
					 "interface '%s' is Sluice's own: see Name in [Interface]",
					 egress->interface);
		for (unsigned j = 0; j < i; j++) {
			if (strcmp(conf->egresses[j].interface, egress->interface) == 0)
				return conf_fail(p->err, &p->egress_interfaces[i],
						 "egress '%s' has interface '%s' already",
						 conf->egresses[j].name, egress->interface);
		}
	}
	return 0;
}

static int finish_file(struct conf_parser *p)
{
	static const struct conf_span whole = {0};
	int rc;

	if (p->first_interface.text == NULL)
		return conf_fail(p->err, &whole, "no [Interface] section");
	if (p->first_default.text == NULL)
		return conf_fail(p->err, &whole, "no [Default] section");
	rc = check_interfaces(p);
	if (rc != 0)
		return rc;
	rc = resolve_on_down(p);
	if (rc != 0)
		return rc;
	rc = resolve_rules(p);
	if (rc != 0)
		return rc;
	return resolve_egress(p, &p->default_egress, &p->conf.default_egress);
}

int conf_parse(const char *path, const char *text, size_t size, struct conf *out,
	       struct conf_error *err)
{
	struct conf_parser *p = calloc(1, sizeof(*p));
	int rc = -ENOMEM;

	*err = (struct conf_error){.text = "out of memory"};
	if (p == NULL)
		return rc;
	p->err = err;
	conf_interface_init(&p->conf.interface);
	p->conf.path = path != NULL ? strdup(path) : NULL;
	if (path == NULL || p->conf.path != NULL)
		rc = parse_text(p, text, size);
	if (rc == 0)
		rc = finish_file(p);
	if (rc == 0)
		*out = p->conf;
	else
		conf_free(&p->conf);
	free(p->rules);
	free(p);
	return rc;
}
