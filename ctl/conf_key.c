/* The keys of the configuration file: which section has which, and where their values go. */
#include "ctl/conf_parser.h"

#include <errno.h>
#include <string.h>

static struct conf_egress *this_egress(struct conf_parser *p)
{
	return &p->conf.egresses[p->conf.egress_count - 1];
}

static struct conf_list *this_list(struct conf_parser *p)
{
	return &p->conf.lists[p->conf.list_count - 1];
}

static int set_name(struct conf_parser *p, struct conf_span value)
{
	return conf_value_ifname(&value, p->conf.interface.name, p->err);
}

static bool same_addr(const struct addr *a, const struct addr *b)
{
	if (a->version != b->version)
		return false;
	if (a->version == 4)
		return a->v4 == b->v4;
	return a->v6.hi == b->v6.hi && a->v6.lo == b->v6.lo;
}

static int set_address(struct conf_parser *p, struct conf_span value)
{
	struct conf_interface *interface = &p->conf.interface;
	struct conf_span item;

	while (conf_span_next(&value, &item)) {
		struct conf_address *out = &interface->addresses[interface->address_count];
		int rc;

		if (interface->address_count == CONF_ADDRESSES_MAX)
			return conf_fail(p->err, &item, "more than %d addresses",
					 CONF_ADDRESSES_MAX);
		rc = conf_value_address(&item, out, p->err);
		if (rc != 0)
			return rc;
		for (unsigned i = 0; i < interface->address_count; i++) {
			if (same_addr(&interface->addresses[i].addr, &out->addr))
				return conf_fail(p->err, &item, "duplicate address");
		}
		interface->address_count++;
	}
	return 0;
}

static int set_number(struct conf_parser *p, const struct conf_span *value, const char *what,
		      uint64_t min, uint64_t max, uint32_t *out)
{
	uint64_t number;
	int rc = conf_value_number(value, what, min, max, &number, p->err);

	if (rc == 0)
		*out = (uint32_t)number;
	return rc;
}

static int set_mtu_of(struct conf_parser *p, struct conf_span value, unsigned *out)
{
	if (conf_span_is(&value, "auto")) {
		*out = 0;
		return 0;
	}
	return set_number(p, &value, "MTU", CONF_MTU_MIN, UINT16_MAX, out);
}

static int set_mtu(struct conf_parser *p, struct conf_span value)
{
	return set_mtu_of(p, value, &p->conf.interface.mtu);
}

static int set_queues(struct conf_parser *p, struct conf_span value)
{
	if (conf_span_is(&value, "auto")) {
		p->conf.interface.queues = 0;
		return 0;
	}
	return set_number(p, &value, "Queues", 1, CONF_QUEUES_MAX, &p->conf.interface.queues);
}

static int set_capture(struct conf_parser *p, struct conf_span value)
{
	unsigned word;
	int rc = conf_value_word(&value, "capture", conf_capture_names, CONF_CAPTURE_COUNT, &word,
				 p->err);

	if (rc == 0)
		p->conf.interface.capture = (enum conf_capture)word;
	return rc;
}

static int set_from(struct conf_parser *p, struct conf_span value)
{
	struct conf_interface *interface = &p->conf.interface;
	struct conf_span item;

	while (conf_span_next(&value, &item)) {
		char *out = interface->from[interface->from_count];
		int rc;

		if (interface->from_count == CONF_FROM_MAX)
			return conf_fail(p->err, &item, "more than %d interfaces", CONF_FROM_MAX);
		rc = conf_value_ifname(&item, out, p->err);
		if (rc != 0)
			return rc;
		for (unsigned i = 0; i < interface->from_count; i++) {
			if (strcmp(interface->from[i], out) == 0)
				return conf_fail(p->err, &item, "duplicate interface '%s'", out);
		}
		interface->from_count++;
	}
	return 0;
}

static int set_mark(struct conf_parser *p, struct conf_span value)
{
	char word[CONF_QUOTE_MAX];
	uint32_t mark;
	int rc = set_number(p, &value, "Mark", 1, UINT32_MAX, &mark);

	if (rc != 0)
		return rc;
	if ((mark & 0xffff) != 0)
		return conf_fail(p->err, &value, "the low 16 bits of Mark must be zero: '%s'",
				 conf_span_quote(&value, word));
	p->conf.interface.mark = mark;
	return 0;
}

static int set_table(struct conf_parser *p, struct conf_span value)
{
	uint32_t table;
	int rc = set_number(p, &value, "Table", 1, UINT32_MAX, &table);

	if (rc != 0)
		return rc;
	if (table >= 253 && table <= 255)
		return conf_fail(p->err, &value, "table %u is the system's own", table);
	p->conf.interface.table = table;
	return 0;
}

static int set_source_limit(struct conf_parser *p, const struct conf_span *value, const char *what,
			    unsigned *out)
{
	if (conf_span_is(value, "auto")) {
		*out = 0;
		return 0;
	}
	return set_number(p, value, what, 1, CONF_SOURCE_MAX, out);
}

static int set_source_flows(struct conf_parser *p, struct conf_span value)
{
	return set_source_limit(p, &value, "SourceFlows", &p->conf.interface.source_flows);
}

static int set_source_ports(struct conf_parser *p, struct conf_span value)
{
	return set_source_limit(p, &value, "SourcePorts", &p->conf.interface.source_ports);
}

static int set_on_change(struct conf_parser *p, struct conf_span value)
{
	unsigned word;
	int rc = conf_value_word(&value, "reaction", conf_on_change_names, CONF_ON_CHANGE_COUNT,
				 &word, p->err);

	if (rc == 0)
		p->conf.interface.on_change = (enum conf_on_change)word;
	return rc;
}

static int set_cache(struct conf_parser *p, struct conf_span value)
{
	char *out = p->conf.interface.cache;
	char word[CONF_QUOTE_MAX];

	if (conf_span_is(&value, "no")) {
		out[0] = '\0';
		return 0;
	}
	if (value.text[0] != '/')
		return conf_fail(p->err, &value, "expected no or an absolute path, not '%s'",
				 conf_span_quote(&value, word));
	if (value.size >= CONF_CACHE_MAX)
		return conf_fail(p->err, &value, "path longer than %d bytes: '%s'",
				 CONF_CACHE_MAX - 1, conf_span_quote(&value, word));
	memcpy(out, value.text, value.size);
	out[value.size] = '\0';
	return 0;
}

static int set_type(struct conf_parser *p, struct conf_span value)
{
	unsigned word;
	int rc = conf_value_word(&value, "type of egress", conf_egress_type_names,
				 CONF_EGRESS_TYPE_COUNT, &word, p->err);
	if (rc == 0)
		this_egress(p)->type = (enum conf_egress_type)word;
	return rc;
}

static int set_interface(struct conf_parser *p, struct conf_span value)
{
	p->egress_interfaces[p->conf.egress_count - 1] = value;
	return conf_value_ifname(&value, this_egress(p)->interface, p->err);
}

static int set_gateway(struct conf_parser *p, struct conf_span value)
{
	struct conf_egress *egress = this_egress(p);
	struct conf_span item;

	if (conf_span_is(&value, "auto"))
		return 0;
	while (conf_span_next(&value, &item)) {
		struct addr addr;
		struct addr *out;
		int rc = conf_value_host(&item, &addr, p->err);

		if (rc != 0)
			return rc;
		out = addr.version == 4 ? &egress->gateway4 : &egress->gateway6;
		if (out->version != 0)
			return conf_fail(p->err, &item, "second IPv%u gateway", addr.version);
		*out = addr;
	}
	return 0;
}

static int set_egress_mtu(struct conf_parser *p, struct conf_span value)
{
	return set_mtu_of(p, value, &this_egress(p)->mtu);
}

static int set_nat(struct conf_parser *p, struct conf_span value)
{
	return conf_value_bool(&value, &this_egress(p)->nat, p->err);
}

static int set_port_range(struct conf_parser *p, struct conf_span value)
{
	struct conf_egress *egress = this_egress(p);

	return conf_value_ports(&value, &egress->port_first, &egress->port_last, p->err);
}

static int set_on_down(struct conf_parser *p, struct conf_span value)
{
	p->on_down[p->conf.egress_count - 1] = value;
	return 0;
}

static int set_config(struct conf_parser *p, struct conf_span value)
{
	char word[CONF_QUOTE_MAX];

	if (value.size >= CONF_CONFIG_MAX)
		return conf_fail(p->err, &value, "path longer than %d bytes: '%s'",
				 CONF_CONFIG_MAX - 1, conf_span_quote(&value, word));
	memcpy(this_egress(p)->config, value.text, value.size);
	return 0;
}

static int set_hooks(struct conf_parser *p, struct conf_span value)
{
	return conf_value_bool(&value, &this_egress(p)->hooks, p->err);
}

static int set_split(struct conf_parser *p, struct conf_span value)
{
	return conf_value_bool(&value, &this_egress(p)->split, p->err);
}

static int set_file(struct conf_parser *p, struct conf_span value)
{
	struct conf_list *list = this_list(p);

	list->file = strndup(value.text, value.size);
	if (list->file == NULL) {
		conf_fail(p->err, &value, "out of memory");
		return -ENOMEM;
	}
	return 0;
}

static int set_strict(struct conf_parser *p, struct conf_span value)
{
	return conf_value_bool(&value, &this_list(p)->strict, p->err);
}

static int set_rule_list(struct conf_parser *p, struct conf_span value)
{
	p->rules[p->conf.rule_count - 1].list = value;
	return 0;
}

static int set_rule_egress(struct conf_parser *p, struct conf_span value)
{
	p->rules[p->conf.rule_count - 1].egress = value;
	return 0;
}

static int set_default_egress(struct conf_parser *p, struct conf_span value)
{
	p->default_egress = value;
	return 0;
}

static const struct key {
	enum conf_section section;
	const char *name;
	int (*set)(struct conf_parser *p, struct conf_span value); /* NULL: of another version */
} keys[] = {
	{CONF_SECTION_INTERFACE, "Name", set_name},
	{CONF_SECTION_INTERFACE, "Address", set_address},
	{CONF_SECTION_INTERFACE, "MTU", set_mtu},
	{CONF_SECTION_INTERFACE, "Queues", set_queues},
	{CONF_SECTION_INTERFACE, "Capture", set_capture},
	{CONF_SECTION_INTERFACE, "From", set_from},
	{CONF_SECTION_INTERFACE, "Mark", set_mark},
	{CONF_SECTION_INTERFACE, "Table", set_table},
	{CONF_SECTION_INTERFACE, "OnChange", set_on_change},
	{CONF_SECTION_INTERFACE, "Cache", set_cache},
	{CONF_SECTION_INTERFACE, "SourceFlows", set_source_flows},
	{CONF_SECTION_INTERFACE, "SourcePorts", set_source_ports},
	{CONF_SECTION_INTERFACE, "KillSwitch", NULL},
	{CONF_SECTION_EGRESS, "Type", set_type},
	{CONF_SECTION_EGRESS, "Interface", set_interface},
	{CONF_SECTION_EGRESS, "Gateway", set_gateway},
	{CONF_SECTION_EGRESS, "MTU", set_egress_mtu},
	{CONF_SECTION_EGRESS, "Nat", set_nat},
	{CONF_SECTION_EGRESS, "PortRange", set_port_range},
	{CONF_SECTION_EGRESS, "OnDown", set_on_down},
	{CONF_SECTION_EGRESS, "Config", set_config},
	{CONF_SECTION_EGRESS, "Hooks", set_hooks},
	{CONF_SECTION_EGRESS, "Split", set_split},
	{CONF_SECTION_LIST, "File", set_file},
	{CONF_SECTION_LIST, "Strict", set_strict},
	{CONF_SECTION_RULE, "List", set_rule_list},
	{CONF_SECTION_RULE, "Egress", set_rule_egress},
	{CONF_SECTION_RULE, "App", NULL},
	{CONF_SECTION_RULE, "User", NULL},
	{CONF_SECTION_RULE, "Source", NULL},
	{CONF_SECTION_RULE, "Port", NULL},
	{CONF_SECTION_RULE, "Protocol", NULL},
	{CONF_SECTION_DEFAULT, "Egress", set_default_egress},
};

enum {
	KEY_COUNT = sizeof(keys) / sizeof(keys[0]),
};

_Static_assert((int)KEY_COUNT <= (int)CONF_KEYS_MAX, "conf_parser.seen has a place for every key");

const struct conf_span *conf_key_seen(const struct conf_parser *p, const char *name)
{
	for (unsigned i = 0; i < KEY_COUNT; i++) {
		if (keys[i].section == p->section && strcmp(keys[i].name, name) == 0)
			return p->seen[i].text != NULL ? &p->seen[i] : NULL;
	}
	return NULL;
}

int conf_key_parse(struct conf_parser *p, const struct conf_span *key,
		   const struct conf_span *value)
{
	const char *names[KEY_COUNT];
	size_t count = 0;

	for (unsigned i = 0; i < KEY_COUNT; i++) {
		if (keys[i].section != p->section)
			continue;
		if (!conf_span_is(key, keys[i].name)) {
			if (keys[i].set != NULL)
				names[count++] = keys[i].name;
			continue;
		}
		if (keys[i].set == NULL)
			return conf_fail(p->err, key, "key '%s' is not supported by this version",
					 keys[i].name);
		if (p->seen[i].text != NULL)
			return conf_fail(p->err, key, "duplicate key '%s': line %u has it already",
					 keys[i].name, p->seen[i].line);
		/* "File =#x": printed with a blank, it would be a comment. */
		if (value->size == 0 || value->text[0] == '#' || value->text[0] == ';')
			return conf_fail(p->err, value, "no value for key '%s'", keys[i].name);
		p->seen[i] = *value;
		return keys[i].set(p, *value);
	}
	return conf_fail_unknown(p->err, key, "key", names, count);
}
