/* The nft table of a capture: its text, and the nft program that applies it. */
#include "ctl/capture_nft.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/capture_plan.h"

char *nft_table_name(const char *ifname, char out[NFT_TABLE_NAME_MAX])
{
	size_t n = (size_t)snprintf(out, NFT_TABLE_NAME_MAX, NFT_TABLE_PREFIX "%s", ifname);
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.-";

	for (size_t i = 0; i < n && i < NFT_TABLE_NAME_MAX - 1; i++)
		if (!strchr(allowed, out[i]))
			out[i] = '_';
	return out;
}

/* Within quotes nft takes all but the quote, and "*" and "\" mean something. */
static bool name_is_writable(const char *name)
{
	for (const char *at = name; *at != '\0'; at++)
		if ((unsigned char)*at <= ' ' || (unsigned char)*at >= 0x7f || strchr("\"*\\", *at))
			return false;
	return name[0] != '\0';
}

bool nft_is_translating(const struct conf_egress *egress)
{
	return egress->type == CONF_EGRESS_INTERFACE && egress->nat;
}

static int check_names(const struct conf *conf, const char *ifname)
{
	if (!name_is_writable(ifname))
		return -EINVAL;
	for (unsigned i = 0; i < conf->egress_count; i++)
		if (conf->egresses[i].type == CONF_EGRESS_INTERFACE &&
		    !name_is_writable(conf->egresses[i].interface))
			return -EINVAL;
	for (unsigned i = 0; i < conf->interface.from_count; i++)
		if (!name_is_writable(conf->interface.from[i]))
			return -EINVAL;
	return 0;
}

/* `{ "lo", "sluice0", "lan0" }`: the interfaces whose connections are not "from outside". */
static void write_inside(FILE *out, const struct conf *conf, const char *ifname)
{
	fprintf(out, "{ \"lo\", \"%s\"", ifname);
	if (conf->interface.capture == CONF_CAPTURE_FORWARD)
		for (unsigned i = 0; i < conf->interface.from_count; i++)
			fprintf(out, ", \"%s\"", conf->interface.from[i]);
	fputs(" }", out);
}

void nft_write_busy(FILE *out, const struct ports *busy)
{
	bool first = true;

	fputs("\tset busy {\n\t\ttype inet_service\n", out);
	for (unsigned port = 0; port < PORTS_COUNT; port++) {
		if (!ports_has(busy, (uint16_t)port))
			continue;
		fprintf(out, first ? "\t\telements = { %u" : ", %u", port);
		first = false;
	}
	fputs(first ? "\t}\n" : " }\n\t}\n", out);
}

/*
 * The TUN's addresses are nobody's business outside: who is next to an interface could else find
 * out which one a tunnel has, and by the answers to forged segments what runs through it
 * (CVE-2019-14899).
 */
static void write_hidden(FILE *out, const struct conf *conf, const char *ifname)
{
	char text[ADDR_TEXT_MAX];

	for (unsigned i = 0; i < conf->interface.address_count; i++) {
		const struct addr *addr = &conf->interface.addresses[i].addr;

		fputs("\t\tiifname != ", out);
		write_inside(out, conf, ifname);
		fprintf(out, " %s daddr %s drop\n", addr->version == 4 ? "ip" : "ip6",
			addr_format(addr, text));
	}
}

/*
 * Silence, in two steps. What the kernel itself translates (a user's own masquerade beside Sluice)
 * shares address and ports with Sluice, and only connection tracking can tell whose an answer is:
 * what reaches the input hook is nobody's but Sluice's. But by then connection tracking has made an
 * entry for each packet. So ports from which the kernel never sent anything are dropped before it.
 * AF_PACKET sockets see the packets in any case, but for those of a bridge, if br_netfilter is
 * loaded (as with containers): that hook is then called before the bridge has received them.
 */
static void write_silence(FILE *out, const struct conf *conf, const char *ifname)
{
	static const char match[] = "meta l4proto { tcp, udp } th";

	fputs("\tset kernel {\n\t\ttype inet_proto . inet_service\n\t\tflags dynamic,timeout\n"
	      "\t\ttimeout 5d\n\t\tsize 131072\n\t}\n",
	      out);
	fputs("\tchain early {\n\t\ttype filter hook prerouting priority raw; policy accept;\n",
	      out);
	write_hidden(out, conf, ifname);
	for (unsigned i = 0; i < conf->egress_count; i++) {
		const struct conf_egress *egress = &conf->egresses[i];

		if (nft_is_translating(egress))
			fprintf(out,
				"\t\tiifname \"%s\" meta iifkind != \"bridge\" %s dport %u-%u "
				"fib daddr . iif type local th dport != @busy meta l4proto . th "
				"dport != @kernel drop\n",
				egress->interface, match, egress->port_first, egress->port_last);
	}
	fputs("\t}\n\tchain silence {\n\t\ttype filter hook input priority filter - 10; "
	      "policy accept;\n",
	      out);
	for (unsigned i = 0; i < conf->egress_count; i++) {
		const struct conf_egress *egress = &conf->egresses[i];

		if (nft_is_translating(egress))
			fprintf(out, "\t\tiifname \"%s\" %s dport %u-%u th dport != @busy drop\n",
				egress->interface, match, egress->port_first, egress->port_last);
	}
	fputs("\t}\n\tchain sent {\n\t\ttype filter hook postrouting priority srcnat + 1; "
	      "policy accept;\n",
	      out);
	for (unsigned i = 0; i < conf->egress_count; i++) {
		const struct conf_egress *egress = &conf->egresses[i];

		if (nft_is_translating(egress))
			fprintf(out,
				"\t\toifname \"%s\" %s sport %u-%u "
				"update @kernel { meta l4proto . th sport }\n",
				egress->interface, match, egress->port_first, egress->port_last);
	}
	fputs("\t}\n", out);
}

static void write_before_set(FILE *out, const struct connections *before, uint8_t version)
{
	bool first = true;

	fprintf(out,
		"\tset before%u {\n\t\ttype ipv%u_addr . inet_service . ipv%u_addr . "
		"inet_service\n",
		version, version, version);
	for (size_t i = 0; i < before->count; i++) {
		const struct connection *at = &before->items[i];
		char local[ADDR_TEXT_MAX], remote[ADDR_TEXT_MAX];

		if (at->local.version != version)
			continue;
		fprintf(out, "%s%s . %u . %s . %u", first ? "\t\telements = { " : ",\n\t\t\t",
			addr_format(&at->local, local), at->local_port,
			addr_format(&at->remote, remote), at->remote_port);
		first = false;
	}
	fputs(first ? "\t}\n" : " }\n\t}\n", out);
}

/* `{ "sluice0", "eth0" }`: the TUN and the egresses. */
static void write_outward(FILE *out, const struct nft_input *input)
{
	fprintf(out, "{ \"%s\"", input->ifname);
	for (unsigned i = 0; i < input->conf->egress_count; i++)
		if (plan_has_replies(input->conf, i))
			fprintf(out, ", \"%s\"", input->conf->egresses[i].interface);
	fputs(" }", out);
}

/*
 * Connections from outside to hosts behind this one (a container's published port) take the main
 * table, unless that leads outward again: then this host is a gateway for its own side, and what it
 * forwards is captured like all else.
 */
static void write_inbound(FILE *out, const struct nft_input *input)
{
	const struct conf *conf = input->conf;
	uint32_t mark = conf->interface.mark;

	for (unsigned i = 0; i < conf->egress_count; i++)
		if (plan_has_replies(conf, i))
			fprintf(out,
				"\t\tiifname \"%s\" ct direction original meta mark 0 "
				"ct mark and 0xffff0000 == 0x%08" PRIx32
				" meta mark set 0x%08" PRIx32 "\n",
				conf->egresses[i].interface, mark, mark | NFT_MARK_OTHER);
	fprintf(out,
		"\t\tmeta mark 0x%08" PRIx32 " ct direction original fib daddr . mark oifname ",
		mark | NFT_MARK_OTHER);
	write_outward(out, input);
	fputs(" meta mark set 0\n", out);
}

/*
 * What comes from outside for a host behind this one and claims to be an answer: to a connection
 * that is captured, whose answers come to our own address, or to none at all. That host would tell
 * by a RST, or by an acknowledgement, what is open (CVE-2019-14899 for whoever is behind us).
 */
static void write_forged(FILE *out, const struct nft_input *input)
{
	const struct conf *conf = input->conf;
	const uint32_t mark = conf->interface.mark;
	char claims[3][80] = {"ct state invalid"};

	snprintf(claims[1], sizeof claims[1],
		 "ct direction reply ct mark and 0xffff0000 != 0x%08" PRIx32, mark);
	snprintf(claims[2], sizeof claims[2], "ct direction reply ct mark 0x%08" PRIx32,
		 mark | NFT_MARK_OTHER);
	for (unsigned i = 0; i < conf->egress_count; i++) {
		if (!nft_is_translating(&conf->egresses[i]))
			continue;
		for (unsigned k = 0; k < 3; k++) {
			fprintf(out,
				"\t\tiifname \"%s\" %s fib daddr type != local fib daddr oifname ",
				conf->egresses[i].interface, claims[k]);
			write_inside(out, conf, input->ifname);
			fputs(" drop\n", out);
		}
	}
}

/*
 * Reply symmetry. New connections from outside are marked with the egress they came in by; their
 * answers get the mark: those of this host on output, those of hosts behind it on the way in.
 * Answers that arrive by the TUN are Sluice's own and keep to the main table.
 */
static void write_arrive(FILE *out, const struct nft_input *input)
{
	const struct conf *conf = input->conf;
	uint32_t mark = conf->interface.mark;

	fputs("\tchain arrive {\n\t\ttype filter hook prerouting priority mangle; policy accept;\n",
	      out);
	write_forged(out, input);
	for (unsigned i = 0; i < conf->egress_count; i++)
		if (plan_has_replies(conf, i))
			fprintf(out,
				"\t\tiifname \"%s\" ct direction original ct mark 0 "
				"ct mark set 0x%08" PRIx32 "\n",
				conf->egresses[i].interface, mark | (i + 1));
	fputs("\t\tiifname != ", out);
	write_inside(out, conf, input->ifname);
	fprintf(out, " ct direction original ct mark 0 ct mark set 0x%08" PRIx32 "\n",
		mark | NFT_MARK_OTHER);
	fprintf(out,
		"\t\tiifname != { \"lo\", \"%s\" } ct direction reply "
		"ct mark and 0xffff0000 == 0x%08" PRIx32 " meta mark set ct mark\n",
		input->ifname, mark);
	if (conf->interface.capture == CONF_CAPTURE_HOST)
		write_inbound(out, input);
	fputs("\t}\n", out);
}

static void write_answer(FILE *out, const struct nft_input *input)
{
	const struct conf *conf = input->conf;
	uint32_t mark = conf->interface.mark;

	fprintf(out,
		"\tchain answer {\n\t\ttype route hook output priority mangle; policy accept;\n"
		"\t\tct direction reply ct mark and 0xffff0000 == 0x%08" PRIx32
		" meta mark set ct mark\n",
		mark);
	if (conf->interface.capture == CONF_CAPTURE_HOST)
		/*
		 * Connection tracking that begins now cannot know which side began a connection:
		 * the session that this is typed in must go on when the server speaks first. The
		 * last two are DHCP clients that use plain sockets.
		 */
		fprintf(out,
			"\t\tip saddr . tcp sport . ip daddr . tcp dport @before4 "
			"meta mark set 0x%08" PRIx32 "\n"
			"\t\tip6 saddr . tcp sport . ip6 daddr . tcp dport @before6 "
			"meta mark set 0x%08" PRIx32 "\n"
			"\t\tudp sport 68 udp dport 67 meta mark set 0x%08" PRIx32 "\n"
			"\t\tudp sport 546 udp dport 547 meta mark set 0x%08" PRIx32 "\n",
			mark | NFT_MARK_OTHER, mark | NFT_MARK_OTHER, mark, mark);
	fputs("\t}\n", out);
}

int nft_write(FILE *out, const struct nft_input *input)
{
	char table[NFT_TABLE_NAME_MAX];
	int rc = check_names(input->conf, input->ifname);

	if (rc != 0)
		return rc;
	nft_table_name(input->ifname, table);
	/* Made before it is deleted, so that deleting works whether it was there or not. */
	fprintf(out, "table inet %s {}\ndelete table inet %s\ntable inet %s {\n", table, table,
		table);
	if (input->comment[0] != '\0')
		fprintf(out, "\tcomment \"%s\"\n", input->comment);
	nft_write_busy(out, input->busy);
	write_silence(out, input->conf, input->ifname);
	if (input->conf->interface.capture == CONF_CAPTURE_HOST) {
		write_before_set(out, input->before, 4);
		write_before_set(out, input->before, 6);
	}
	if (input->conf->interface.capture != CONF_CAPTURE_NONE) {
		write_arrive(out, input);
		write_answer(out, input);
	}
	fputs("}\n", out);
	return 0;
}

/* A file in memory as a process's input or output: no pipe that could fill up while nobody reads.
 */
static int open_memory(const char *name, const char *text, size_t size)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	while (size > 0) {
		ssize_t n = write(fd, text, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int rc = n < 0 ? -errno : -EIO;

			close(fd);
			return rc;
		}
		text += n;
		size -= (size_t)n;
	}
	lseek(fd, 0, SEEK_SET);
	return fd;
}

/* Service managers may leave sbin out of PATH. */
static int spawn_nft(pid_t *pid, const posix_spawn_file_actions_t *actions,
		     const posix_spawnattr_t *attributes)
{
	static const char *const paths[] = {"nft", "/usr/sbin/nft", "/sbin/nft"};
	char *const argv[] = {(char[]){"nft"}, (char[]){"-f"}, (char[]){"-"}, NULL};
	int rc = ENOENT;

	for (size_t i = 0; i < sizeof paths / sizeof *paths && (rc == ENOENT || rc == EACCES); i++)
		rc = posix_spawnp(pid, paths[i], actions, attributes, argv, environ);
	return -rc;
}

/* The first line that the program said; it names the place in the text that it did not like. */
static void read_complaint(int fd, char error[NFT_ERROR_MAX])
{
	char text[NFT_ERROR_MAX - 8];
	ssize_t n = pread(fd, text, sizeof text - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	snprintf(error, NFT_ERROR_MAX, "nft: %s", n > 0 ? text : "failed without a word");
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EINVAL;
}

static int run(int in, int out, char error[NFT_ERROR_MAX])
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	pid_t pid;
	int rc;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
	posix_spawnattr_init(&attributes);
	sigemptyset(&none); /* the daemon blocks signals, and masks are inherited */
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	rc = spawn_nft(&pid, &actions, &attributes);
	if (rc == -ENOENT)
		snprintf(error, NFT_ERROR_MAX,
			 "the program nft is needed and not there: apt-get install nftables");
	else if (rc != 0)
		snprintf(error, NFT_ERROR_MAX, "nft: %s", strerror(-rc));
	if (rc == 0) {
		rc = wait_for(pid);
		if (rc != 0)
			read_complaint(out, error);
	}
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}

int nft_apply(const char *text, size_t size, char error[NFT_ERROR_MAX])
{
	int in, out, rc;

	in = open_memory("nft-input", text, size);
	if (in < 0) {
		snprintf(error, NFT_ERROR_MAX, "nft: %s", strerror(-in));
		return in;
	}
	out = open_memory("nft-output", "", 0);
	if (out < 0) {
		rc = out;
		snprintf(error, NFT_ERROR_MAX, "nft: %s", strerror(-rc));
		goto close_in;
	}
	rc = run(in, out, error);
	close(out);
close_in:
	close(in);
	return rc;
}
