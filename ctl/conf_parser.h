/*
 * What conf.c, which reads lines and sections and checks what must hold between them, shares with
 * conf_key.c, which knows the keys. For these two only.
 */
#ifndef SLUICE_CTL_CONF_PARSER_H
#define SLUICE_CTL_CONF_PARSER_H

#include "ctl/conf.h"
#include "ctl/conf_value.h"

enum conf_section {
	CONF_SECTION_NONE, /* before the first header */
	CONF_SECTION_INTERFACE,
	CONF_SECTION_EGRESS,
	CONF_SECTION_LIST,
	CONF_SECTION_RULE,
	CONF_SECTION_DEFAULT,
};

enum {
	CONF_SECTION_COUNT = CONF_SECTION_DEFAULT + 1,
	CONF_KEYS_MAX = 64,
};

/* Names are resolved when all is read, since a section may name one that comes later. */
struct conf_rule_spans {
	struct conf_span list;
	struct conf_span egress;
};

struct conf_parser {
	struct conf conf;
	struct conf_error *err;
	enum conf_section section;
	struct conf_span header; /* of the section at hand */
	struct conf_span
		seen[CONF_KEYS_MAX];      /* its values, by number of the key; text NULL: none */
	struct conf_span first_interface; /* headers of the sections that come once */
	struct conf_span first_default;
	struct conf_span default_egress;
	struct conf_span egress_interfaces[CONF_EGRESSES_MAX];
	struct conf_span on_down[CONF_EGRESSES_MAX]; /* text NULL: not said */
	struct conf_rule_spans *rules;
};

/*
 * Take one key of the section at hand, which is the last of its kind in p->conf.
 *
 * Errors: -EINVAL, -ENOMEM, with *p->err filled
 */
int conf_key_parse(struct conf_parser *p, const struct conf_span *key,
		   const struct conf_span *value);

/* The value that the section at hand gave to a key, or NULL. */
const struct conf_span *conf_key_seen(const struct conf_parser *p, const char *name);

#endif
