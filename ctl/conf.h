/*
 * The configuration file: wg-quick style INI, strict.
 *
 * [Interface] once, [Egress NAME] and [List NAME] any number, [Rule] any number in order, [Default]
 * once. Section and key names are case-insensitive; names of lists, egresses and interfaces are
 * not.
 * "#" and ";" start a comment at the start of a line and after a blank.
 * An unknown section, key or value is an error with its place and the nearest known name.
 */
#ifndef SLUICE_CTL_CONF_H
#define SLUICE_CTL_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lpm/prefix.h"

enum {
	CONF_NAME_MAX = 32, /* names of lists and egresses, with terminator: [A-Za-z0-9_.-]+ */
	CONF_IFNAME_MAX = 16,
	CONF_ADDRESSES_MAX = 8,
	CONF_FROM_MAX = 16,
	CONF_CACHE_MAX = 256, /* a folder, with terminator */
	CONF_CONFIG_MAX = 256,
	CONF_EGRESSES_MAX = 32,
	CONF_QUEUES_MAX = 64,
	CONF_SOURCE_MAX = 1 << 24, /* flows or ports */
	CONF_MTU_MIN = 576,
	CONF_MTU6_MIN = 1280,
	CONF_PORT_MIN = 1024, /* of PortRange, and how many it holds at least */
	CONF_PORTS_MIN = 64,
};

enum conf_capture { CONF_CAPTURE_NONE, CONF_CAPTURE_HOST, CONF_CAPTURE_FORWARD };
enum conf_egress_type {
	CONF_EGRESS_INTERFACE,
	CONF_EGRESS_DROP,
	CONF_EGRESS_REJECT,
	CONF_EGRESS_WIREGUARD,
};
enum conf_on_change { CONF_ON_CHANGE_RESET, CONF_ON_CHANGE_KEEP };

/* What becomes of packets while the interface of an egress is down. */
enum {
	CONF_ON_DOWN_DROP,
	CONF_ON_DOWN_REJECT,
	CONF_ON_DOWN_EGRESS, /* plus the index of the egress that takes them */
};

enum {
	CONF_CAPTURE_COUNT = CONF_CAPTURE_FORWARD + 1,
	CONF_EGRESS_TYPE_COUNT = CONF_EGRESS_WIREGUARD + 1,
	CONF_ON_CHANGE_COUNT = CONF_ON_CHANGE_KEEP + 1,
};

/* How the file writes them, by value. */
extern const char *const conf_capture_names[CONF_CAPTURE_COUNT];
extern const char *const conf_egress_type_names[CONF_EGRESS_TYPE_COUNT];
extern const char *const conf_on_change_names[CONF_ON_CHANGE_COUNT];

/* An address and its length, host bits kept: 10.66.0.2/24. */
struct conf_address {
	struct addr addr;
	uint8_t len;
};

struct conf_interface {
	char name[CONF_IFNAME_MAX]; /* default "sluice0" */
	struct conf_address addresses[CONF_ADDRESSES_MAX];
	unsigned address_count;
	unsigned mtu;                              /* 0: the smallest of the egresses' */
	unsigned queues;                           /* 0: auto, one a core up to 4 */
	enum conf_capture capture;                 /* default none */
	char from[CONF_FROM_MAX][CONF_IFNAME_MAX]; /* Capture = forward */
	unsigned from_count;
	uint32_t mark;  /* default 0x51ce0000; the low 16 bits must be zero */
	uint32_t table; /* capture table; default 5260 */
	enum conf_on_change on_change;
	char cache[CONF_CACHE_MAX]; /* of parsed lists: a folder; "": none */
	unsigned source_flows;      /* of one inner address; 0: half of all */
	unsigned source_ports;
};

struct wg_quick;

struct conf_egress {
	char name[CONF_NAME_MAX];
	enum conf_egress_type type;
	char interface[CONF_IFNAME_MAX];
	struct addr gateway4; /* version 0: auto */
	struct addr gateway6;
	unsigned mtu;        /* of the way behind it; 0: the interface's */
	bool nat;            /* default true */
	uint16_t port_first; /* default 40000 */
	uint16_t port_last;  /* default 59999, inclusive */
	unsigned on_down;    /* CONF_ON_DOWN_*; default drop */

	/* Of CONF_EGRESS_WIREGUARD. */
	char config[CONF_CONFIG_MAX]; /* a file of wg-quick's; relative to this one's folder */
	bool hooks;                   /* run the commands that it names; default no */
	bool split;                   /* what its peers send takes verdicts, too; default no */
	struct wg_quick *quick;       /* what config holds; NULL before load_conf */
	unsigned line;
};

struct conf_list {
	char name[CONF_NAME_MAX];
	char *file;  /* as written; relative to the configuration file's folder */
	bool strict; /* default true */
	unsigned line;
};

struct conf_rule {
	unsigned list;   /* index */
	unsigned egress; /* index */
	unsigned line;
};

struct conf {
	char *path; /* of the file, or NULL when made from the command line */
	struct conf_interface interface;
	struct conf_egress egresses[CONF_EGRESSES_MAX];
	unsigned egress_count;
	struct conf_list *lists;
	unsigned list_count;
	struct conf_rule *rules;
	unsigned rule_count;
	unsigned default_egress; /* index */
};

struct conf_error {
	unsigned line; /* from 1; 0: the file as a whole */
	unsigned column;
	char text[200];
};

/*
 * Parse a whole text.
 *
 * path:   where it came from, copied; NULL allowed
 * text:   not terminated; may hold anything
 * out:    filled on success, freed by conf_free
 * Errors: -EINVAL, -ENOMEM, with *err filled
 */
int conf_parse(const char *path, const char *text, size_t size, struct conf *out,
	       struct conf_error *err);
void conf_free(struct conf *conf);

/* What a section holds before its keys are read: all defaults. */
void conf_interface_init(struct conf_interface *interface);
void conf_egress_init(struct conf_egress *egress);

/* Write the configuration in its canonical form: conf_parse(print(x)) gives x again. */
void conf_print(const struct conf *conf, FILE *out);

/*
 * A configuration without a file: `run --list FILE --direct IF --tunnel IF|WG_FILE
 * [--exclude|--include]`.
 *
 * Egresses "direct" and "tunnel". exclude (the default): the listed prefixes leave by direct, all
 * others by tunnel; include: the other way round. What the host sends is captured. A list is named
 * as conf_list_name has it. A tunnel with a "/" in its name, or ".conf" at its end, is a file of
 * wg-quick's, for load_tunnels.
 * Errors: -EINVAL, -ENOMEM, with *err filled
 */
int conf_from_options(const char *const *list_files, unsigned list_count, const char *direct,
		      const char *tunnel, bool include, struct conf *out, struct conf_error *err);

/*
 * The name of a list that is given by its file alone: without folders and ".gz" and one more
 * extension, with '_' for what a name cannot hold. Errors: -EINVAL (nothing left, or too long)
 */
int conf_list_name(const char *file, char out[CONF_NAME_MAX]);

/*
 * A file that the configuration names, as the process can open it: relative to its folder. NULL if
 * there is no memory; the caller frees.
 */
char *conf_file_path(const struct conf *conf, const char *file);

#endif
