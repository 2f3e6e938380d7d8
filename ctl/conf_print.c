/* Configurations that are written, made from options, or done with. */
#include "ctl/conf.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/conf_value.h"
#include "ctl/wireguard/quick.h"
#include "lpm/table.h"

const char *const conf_capture_names[CONF_CAPTURE_COUNT] = {
	[CONF_CAPTURE_NONE] = "none",
	[CONF_CAPTURE_HOST] = "host",
	[CONF_CAPTURE_FORWARD] = "forward",
};
const char *const conf_egress_type_names[CONF_EGRESS_TYPE_COUNT] = {
	[CONF_EGRESS_INTERFACE] = "interface",
	[CONF_EGRESS_DROP] = "drop",
	[CONF_EGRESS_REJECT] = "reject",
	[CONF_EGRESS_WIREGUARD] = "wireguard",
};
const char *const conf_on_change_names[CONF_ON_CHANGE_COUNT] = {
	[CONF_ON_CHANGE_RESET] = "reset",
	[CONF_ON_CHANGE_KEEP] = "keep",
};

void conf_interface_init(struct conf_interface *interface)
{
	*interface = (struct conf_interface){
		.name = "sluice0",
		.capture = CONF_CAPTURE_NONE,
		.mark = 0x51ce0000,
		.table = 5260,
		.on_change = CONF_ON_CHANGE_RESET,
		.cache = "/var/cache/sluice",
	};
}

void conf_egress_init(struct conf_egress *egress)
{
	*egress = (struct conf_egress){
		.type = CONF_EGRESS_INTERFACE,
		.nat = true,
		.port_first = 40000,
		.port_last = 59999,
	};
}

void conf_free(struct conf *conf)
{
	for (unsigned i = 0; i < conf->list_count; i++)
		free(conf->lists[i].file);
	for (unsigned i = 0; i < conf->egress_count; i++) {
		if (conf->egresses[i].quick != NULL)
			wg_quick_free(conf->egresses[i].quick);
		free(conf->egresses[i].quick);
	}
	free(conf->lists);
	free(conf->rules);
	free(conf->path);
	*conf = (struct conf){0};
}

static void print_number(FILE *out, const char *key, unsigned value)
{
	if (value == 0)
		fprintf(out, "%s = auto\n", key);
	else
		fprintf(out, "%s = %u\n", key, value);
}

static void print_interface(const struct conf_interface *interface, FILE *out)
{
	char text[ADDR_TEXT_MAX];

	fprintf(out, "[Interface]\nName = %s\n", interface->name);
	for (unsigned i = 0; i < interface->address_count; i++)
		fprintf(out, "%s%s/%u", i == 0 ? "Address = " : ", ",
			addr_format(&interface->addresses[i].addr, text),
			interface->addresses[i].len);
	if (interface->address_count > 0)
		fputc('\n', out);
	print_number(out, "MTU", interface->mtu);
	print_number(out, "Queues", interface->queues);
	fprintf(out, "Capture = %s\n", conf_capture_names[interface->capture]);
	for (unsigned i = 0; i < interface->from_count; i++)
		fprintf(out, "%s%s", i == 0 ? "From = " : ", ", interface->from[i]);
	if (interface->from_count > 0)
		fputc('\n', out);
	fprintf(out, "Mark = 0x%x\nTable = %u\nOnChange = %s\n", interface->mark, interface->table,
		conf_on_change_names[interface->on_change]);
	fprintf(out, "Cache = %s\n", interface->cache[0] != '\0' ? interface->cache : "no");
	print_number(out, "SourceFlows", interface->source_flows);
	print_number(out, "SourcePorts", interface->source_ports);
}

static const char *on_down_name(const struct conf *conf, unsigned on_down)
{
	if (on_down >= CONF_ON_DOWN_EGRESS)
		return conf->egresses[on_down - CONF_ON_DOWN_EGRESS].name;
	return on_down == CONF_ON_DOWN_REJECT ? "reject" : "drop";
}

static void print_egress(const struct conf *conf, const struct conf_egress *egress, FILE *out)
{
	const struct addr *gateways[] = {&egress->gateway4, &egress->gateway6};
	char text[ADDR_TEXT_MAX];
	const char *joint = "Gateway = ";

	fprintf(out, "\n[Egress %s]\nType = %s\n", egress->name,
		conf_egress_type_names[egress->type]);
	if (egress->type == CONF_EGRESS_WIREGUARD)
		fprintf(out, "Config = %s\nHooks = %s\nSplit = %s\n", egress->config,
			egress->hooks ? "yes" : "no", egress->split ? "yes" : "no");
	if (egress->type != CONF_EGRESS_INTERFACE)
		return;
	fprintf(out, "Interface = %s\n", egress->interface);
	for (size_t i = 0; i < 2; i++) {
		if (gateways[i]->version == 0)
			continue;
		fprintf(out, "%s%s", joint, addr_format(gateways[i], text));
		joint = ", ";
	}
	if (egress->gateway4.version == 0 && egress->gateway6.version == 0)
		fputs("Gateway = auto", out);
	fputc('\n', out);
	print_number(out, "MTU", egress->mtu);
	fprintf(out, "Nat = %s\nPortRange = %u-%u\nOnDown = %s\n", egress->nat ? "yes" : "no",
		egress->port_first, egress->port_last, on_down_name(conf, egress->on_down));
}

void conf_print(const struct conf *conf, FILE *out)
{
	print_interface(&conf->interface, out);
	for (unsigned i = 0; i < conf->egress_count; i++)
		print_egress(conf, &conf->egresses[i], out);
	for (unsigned i = 0; i < conf->list_count; i++)
		fprintf(out, "\n[List %s]\nFile = %s\nStrict = %s\n", conf->lists[i].name,
			conf->lists[i].file, conf->lists[i].strict ? "yes" : "no");
	for (unsigned i = 0; i < conf->rule_count; i++)
		fprintf(out, "\n[Rule]\nList = %s\nEgress = %s\n",
			conf->lists[conf->rules[i].list].name,
			conf->egresses[conf->rules[i].egress].name);
	fprintf(out, "\n[Default]\nEgress = %s\n", conf->egresses[conf->default_egress].name);
}

int conf_list_name(const char *file, char out[CONF_NAME_MAX])
{
	const char *slash = strrchr(file, '/');
	const char *base = slash != NULL ? slash + 1 : file;
	size_t size = strlen(base);
	const char *dot;

	if (size > 3 && strcmp(base + size - 3, ".gz") == 0)
		size -= 3;
	dot = memrchr(base, '.', size);
	if (dot != NULL && dot != base)
		size = (size_t)(dot - base);
	if (size == 0 || size >= CONF_NAME_MAX)
		return -EINVAL;
	for (size_t i = 0; i < size; i++) {
		char c = base[i];
		bool fits =
			isalnum((unsigned char)c) || c == '_' || c == '.' || (c == '-' && i > 0);

		out[i] = c;
		if (!fits)
			out[i] = '_';
	}
	out[size] = '\0';
	return 0;
}

/* The pieces of a configuration made from options have no place: errors are of the whole. */
static struct conf_span option_span(const char *text)
{
	return (struct conf_span){.text = text, .size = strlen(text)};
}

/* A file, not an interface: its name is none that an interface can have, or that any has. */
static bool is_file(const char *tunnel)
{
	size_t size = strlen(tunnel);

	return strchr(tunnel, '/') != NULL || (size > 5 && strcmp(tunnel + size - 5, ".conf") == 0);
}

static int add_tunnel_file(struct conf *conf, const char *file, struct conf_error *err)
{
	struct conf_egress *egress = &conf->egresses[conf->egress_count];

	conf_egress_init(egress);
	egress->type = CONF_EGRESS_WIREGUARD;
	snprintf(egress->name, sizeof(egress->name), "tunnel");
	if (strlen(file) >= sizeof(egress->config))
		return conf_fail(err, &(struct conf_span){0}, "path longer than %d bytes",
				 CONF_CONFIG_MAX - 1);
	memcpy(egress->config, file, strlen(file));
	conf->egress_count++;
	conf->interface.address_count = 0; /* the file's */
	return 0;
}

static int add_egress(struct conf *conf, const char *name, const char *interface,
		      struct conf_error *err)
{
	struct conf_egress *egress = &conf->egresses[conf->egress_count];
	struct conf_span name_span = option_span(name);
	struct conf_span interface_span = option_span(interface);
	int rc;

	conf_egress_init(egress);
	rc = conf_value_name(&name_span, egress->name, err);
	if (rc != 0)
		return rc;
	rc = conf_value_ifname(&interface_span, egress->interface, err);
	if (rc != 0)
		return rc;
	if (strcmp(egress->interface, conf->interface.name) == 0)
		return conf_fail(err, &interface_span, "interface '%s' is Sluice's own", interface);
	conf->egress_count++;
	return 0;
}

static int add_list(struct conf *conf, const char *file, unsigned egress, struct conf_error *err)
{
	struct conf_list *list = &conf->lists[conf->list_count];
	struct conf_span span = option_span(file);
	char word[CONF_QUOTE_MAX];

	*list = (struct conf_list){.strict = true};
	if (conf_list_name(file, list->name) != 0)
		return conf_fail(err, &span, "no name for a list in '%s'",
				 conf_span_quote(&span, word));
	for (unsigned i = 0; i < conf->list_count; i++) {
		if (strcmp(conf->lists[i].name, list->name) == 0)
			return conf_fail(err, &span, "two lists would be named '%s'", list->name);
	}
	list->file = strdup(file);
	if (list->file == NULL) {
		conf_fail(err, &span, "out of memory");
		return -ENOMEM;
	}
	conf->rules[conf->rule_count++] = (struct conf_rule){conf->list_count, egress, 0};
	conf->list_count++;
	return 0;
}

/*
 * The tunnel interface needs addresses, or programs that it captures would have none to send from.
 * Host prefixes: they shadow no network of the user's.
 */
static void add_addresses(struct conf_interface *interface)
{
	interface->addresses[0] = (struct conf_address){
		.addr = {.version = 4, .v4 = 0x0a420002}, /* 10.66.0.2 */
		.len = 32,
	};
	interface->addresses[1] = (struct conf_address){
		.addr = {.version = 6, .v6 = {0xfd66000000000000, 2}}, /* fd66::2 */
		.len = 128,
	};
	interface->address_count = 2;
}

int conf_from_options(const char *const *list_files, unsigned list_count, const char *direct,
		      const char *tunnel, bool include, struct conf *out, struct conf_error *err)
{
	struct conf conf = {0};
	int rc = -ENOMEM;

	*err = (struct conf_error){.text = "out of memory"};
	conf_interface_init(&conf.interface);
	conf.interface.capture = CONF_CAPTURE_HOST;
	add_addresses(&conf.interface);
	conf.default_egress = include ? 0 : 1;
	conf.lists = calloc(list_count + 1, sizeof(*conf.lists));
	conf.rules = calloc(list_count + 1, sizeof(*conf.rules));
	if (conf.lists == NULL || conf.rules == NULL)
		goto free_conf;
	rc = add_egress(&conf, "direct", direct, err);
	if (rc != 0)
		goto free_conf;
	rc = is_file(tunnel) ? add_tunnel_file(&conf, tunnel, err)
			     : add_egress(&conf, "tunnel", tunnel, err);
	if (rc != 0)
		goto free_conf;
	if (strcmp(direct, tunnel) == 0) {
		rc = conf_fail(err, &(struct conf_span){0},
			       "'%s' cannot be both the direct interface and the tunnel", direct);
		goto free_conf;
	}
	for (unsigned i = 0; i < list_count; i++) {
		rc = add_list(&conf, list_files[i], include ? 1 : 0, err);
		if (rc != 0)
			goto free_conf;
	}
	*out = conf;
	return 0;

free_conf:
	conf_free(&conf);
	return rc;
}

char *conf_file_path(const struct conf *conf, const char *file)
{
	const char *slash = conf->path != NULL ? strrchr(conf->path, '/') : NULL;
	size_t folder_size = slash != NULL ? (size_t)(slash - conf->path) + 1 : 0;
	size_t file_size = strlen(file) + 1;
	char *path;

	if (file[0] == '/')
		folder_size = 0;
	path = malloc(folder_size + file_size);
	if (path == NULL)
		return NULL;
	if (folder_size > 0)
		memcpy(path, conf->path, folder_size);
	memcpy(path + folder_size, file, file_size);
	return path;
}
