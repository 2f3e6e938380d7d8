/*
 * Packets from hosts behind us to an egress's own address and translated ports, which another such
 * host has mapped. The first policy rule keeps for the kernel what goes to its addresses, before
 * ours are asked; so an nft table of family netdev forwards them into the TUN as they come in.
 *
 * They come back with that address as their source. From the TUN the kernel takes such packets with
 * accept_local alone, and the table sees to it that it takes no others of its own addresses.
 */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/netfilter.h>

#include "ctl/capture_nft.h"
#include "ctl/capture_state.h"
#include "ctl/sysctl_linux.h"

/* Errors about an echo stay the kernel's: its type and code stand where the others' port does. */
static void write_turn(FILE *out, const struct capture *capture, unsigned egress,
		       const struct addr *addr)
{
	const struct conf_egress *e = &capture->conf.egresses[egress];
	const char *ip = addr->version == 4 ? "ip" : "ip6";
	const char *error = addr->version == 4
				    ? "icmp type { destination-unreachable, time-exceeded, "
				      "parameter-problem } @th,64,8 0x45 @th,224,16"
				    : "icmpv6 type { destination-unreachable, packet-too-big, "
				      "time-exceeded, parameter-problem } @th,384,16";
	char text[ADDR_TEXT_MAX];

	addr_format(addr, text);
	fprintf(out,
		"\tchain turn%u_%u {\n"
		"\t\tmeta l4proto { tcp, udp } th dport %u-%u th dport != @busy "
		"fwd %s to %s device \"%s\"\n"
		"\t\t%s %u-%u fwd %s to %s device \"%s\"\n\t}\n",
		egress, addr->version, e->port_first, e->port_last, ip, text, capture->ifname,
		error, e->port_first, e->port_last, ip, text, capture->ifname);
}

/* All that comes from inside is looked at, so by its destination first. */
static void write_way(FILE *out, const struct capture *capture, unsigned egress,
		      const struct addr *addr)
{
	char text[ADDR_TEXT_MAX];

	(void)capture;
	fprintf(out, "\t\t%s daddr %s jump turn%u_%u\n", addr->version == 4 ? "ip" : "ip6",
		addr_format(addr, text), egress, addr->version);
}

/* For each address of a translating egress. */
static void write_each(FILE *out, const struct capture *capture,
		       void (*write_one)(FILE *, const struct capture *, unsigned,
					 const struct addr *))
{
	for (unsigned i = 0; i < capture->link_count; i++) {
		const struct link *link = &capture->links[i];

		if (!nft_is_translating(&capture->conf.egresses[i]))
			continue;
		if (link->address4.version != 0)
			write_one(out, capture, i, &link->address4);
		if (link->address6.version != 0)
			write_one(out, capture, i, &link->address6);
	}
}

/* What comes to our address by an egress are answers. */
static bool is_egress(const struct conf *conf, const char *ifname)
{
	for (unsigned i = 0; i < conf->egress_count; i++)
		if (conf->egresses[i].type == CONF_EGRESS_INTERFACE &&
		    strcmp(conf->egresses[i].interface, ifname) == 0)
			return true;
	return false;
}

/* Of interfaces that are there; the index shows when one was made anew. */
static void write_inside(FILE *out, const struct capture *capture)
{
	const struct conf *conf = &capture->conf;

	for (unsigned i = 0; i < conf->interface.from_count; i++) {
		unsigned index = if_nametoindex(conf->interface.from[i]);

		if (index == 0 || is_egress(conf, conf->interface.from[i]))
			continue;
		fprintf(out,
			"\tchain inside%u { # %u\n\t\ttype filter hook ingress device \"%s\" "
			"priority 0; policy accept;\n",
			i, index, conf->interface.from[i]);
		write_each(out, capture, write_way);
		fputs("\t}\n", out);
	}
}

static void write_table(FILE *out, const struct capture *capture)
{
	char name[NFT_TABLE_NAME_MAX], text[ADDR_TEXT_MAX];

	nft_table_name(capture->ifname, name);
	fprintf(out, "table netdev %s {}\ndelete table netdev %s\ntable netdev %s {\n", name, name,
		name);
	nft_write_busy(out, &capture->busy_set);
	write_each(out, capture, write_turn);
	write_inside(out, capture);
	fprintf(out,
		"\tchain back {\n\t\ttype filter hook ingress device \"%s\" priority 0; "
		"policy accept;\n",
		capture->ifname);
	for (unsigned i = 0; i < capture->link_count; i++)
		if (nft_is_translating(&capture->conf.egresses[i]) &&
		    capture->links[i].address4.version != 0)
			fprintf(out, "\t\tip saddr %s fib daddr type != local accept\n",
				addr_format(&capture->links[i].address4, text));
	fputs("\t\tmeta protocol ip fib saddr type local drop\n\t}\n}\n", out);
}

/* NULL when memory is short. */
static char *make_text(const struct capture *capture)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	write_table(out, capture);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* A table that could not be made is not missed: it is tried again when another one is wanted. */
static bool is_damaged(const struct capture *capture, const char *name)
{
	struct nft_state now = {0};

	if (capture->hairpin_nft.handle == 0)
		return false;
	return nft_table_look(NFPROTO_NETDEV, name, &now) != 0 ||
	       now.handle != capture->hairpin_nft.handle ||
	       now.flags != capture->hairpin_nft.flags || now.rules < capture->hairpin_nft.rules;
}

int capture_put_hairpins(struct capture *capture, struct capture_tally *put)
{
	char name[NFT_TABLE_NAME_MAX], line[CAPTURE_TEXT_MAX], *text;
	bool same;
	int rc;

	if (capture->conf.interface.capture != CONF_CAPTURE_FORWARD)
		return 0;
	nft_table_name(capture->ifname, name);
	text = make_text(capture);
	if (!text)
		return capture_fail(capture, -ENOMEM, "hairpins");
	same = capture->hairpins && strcmp(text, capture->hairpins) == 0;
	if (same && (!put || !is_damaged(capture, name))) {
		free(text);
		return 0;
	}
	free(capture->hairpins);
	capture->hairpins = text;
	capture->hairpin_nft = (struct nft_state){0};
	rc = nft_apply(text, strlen(text), capture->error);
	if (rc != 0)
		return rc;
	(void)nft_table_look(NFPROTO_NETDEV, name, &capture->hairpin_nft);
	(void)sysctl_conf_set(4, capture->ifname, "accept_local", 1);
	snprintf(line, sizeof line, "nft table netdev %s", name);
	if (same)
		capture_tally_add(put, line);
	return 0;
}

void capture_remove_hairpins(struct capture *capture)
{
	char name[NFT_TABLE_NAME_MAX];

	(void)sysctl_conf_set(4, capture->ifname, "accept_local", 0);
	(void)nft_table_remove(NFPROTO_NETDEV, nft_table_name(capture->ifname, name));
}
