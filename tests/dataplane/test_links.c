/* dataplane/links.h: next hops of an interface. */
#include "dataplane/links.h"

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

TestSuite(dataplane_links);

static struct addr addr(const char *text)
{
	struct addr out = {0};

	if (text)
		cr_assert(addr_parse(text, strlen(text), &out) == 0, "%s", text);
	return out;
}

static struct prefix prefix(const char *text)
{
	struct prefix out;

	cr_assert(prefix_parse(text, strlen(text), &out, NULL) == 0, "%s", text);
	return out;
}

static const char *const neighbours[] = {
	"192.0.2.9",   "fe80::1",     "192.0.2.1", "2001:db8::5", "192.0.2.200",
	"2001:db8::4", "203.0.113.1", "192.0.2.8", "fe80::2",
};

#define NEIGHBOURS (sizeof(neighbours) / sizeof(neighbours[0]))

/* A snapshot of one link whose neighbours have MAC 02:00:00:00:00:(place in the list). */
static struct links *setup(void)
{
	struct links *links = links_create(2);
	struct link *link = &links->link[1];

	link->ifindex = 3;
	link->up = true;
	link->ethernet = true;
	link->gateway4 = addr("192.0.2.1");
	link->gateway6 = addr("fe80::1");
	link->subnets[link->subnet_count++] = prefix("192.0.2.0/24");
	link->subnets[link->subnet_count++] = prefix("203.0.113.0/31");
	link->subnets[link->subnet_count++] = prefix("2001:db8::/64");
	link->neighbours = calloc(NEIGHBOURS, sizeof(link->neighbours[0]));
	link->neighbour_count = NEIGHBOURS;
	for (unsigned i = 0; i < NEIGHBOURS; i++) {
		link->neighbours[i].addr = addr(neighbours[i]);
		link->neighbours[i].mac[0] = 2;
		link->neighbours[i].mac[5] = (uint8_t)i;
	}
	link_sort_neighbours(link);
	return links;
}

struct hop_case {
	const char *name;
	const char *dst;
	void (*change)(struct link *link);
	enum link_hop want;
	const char *via; /* NULL: untouched */
	int neighbour;   /* -1: the MAC is untouched */
};

static void absent(struct link *link)
{
	link->ifindex = 0;
}

static void down(struct link *link)
{
	link->up = false;
}

static void gateway4_by_ipv6(struct link *link)
{
	link->gateway4 = addr("fe80::2");
}

static void no_gateways(struct link *link)
{
	link->gateway4.version = 0;
	link->gateway6.version = 0;
}

static void no_neighbours(struct link *link)
{
	link->neighbour_count = 0;
}

static void no_ethernet(struct link *link)
{
	link->ethernet = false;
}

static void bare(struct link *link)
{
	no_ethernet(link);
	no_gateways(link);
	link->subnet_count = 0;
}

static const struct hop_case hops[] = {
	{"on-link", "192.0.2.9", NULL, LINK_HOP_OK, "192.0.2.9", 0},
	{"on-link, last neighbour", "192.0.2.200", NULL, LINK_HOP_OK, "192.0.2.200", 4},
	{"on-link, /31", "203.0.113.1", NULL, LINK_HOP_OK, "203.0.113.1", 6},
	{"past the /31", "203.0.113.2", NULL, LINK_HOP_OK, "192.0.2.1", 2},
	{"on-link, unknown", "192.0.2.77", NULL, LINK_HOP_UNRESOLVED, "192.0.2.77", -1},
	{"by gateway", "8.8.8.8", NULL, LINK_HOP_OK, "192.0.2.1", 2},
	{"on-link v6", "2001:db8::4", NULL, LINK_HOP_OK, "2001:db8::4", 5},
	{"on-link v6, unknown", "2001:db8::6", NULL, LINK_HOP_UNRESOLVED, "2001:db8::6", -1},
	{"by gateway v6", "2600::1", NULL, LINK_HOP_OK, "fe80::1", 1},
	{"no neighbours", "8.8.8.8", no_neighbours, LINK_HOP_UNRESOLVED, "192.0.2.1", -1},
	{"by an IPv6 gateway", "8.8.8.8", gateway4_by_ipv6, LINK_HOP_OK, "fe80::2", 8},
	{"no gateway", "8.8.8.8", no_gateways, LINK_HOP_NONE, NULL, -1},
	{"no gateway v6", "2600::1", no_gateways, LINK_HOP_NONE, NULL, -1},
	{"no gateway, on-link", "192.0.2.8", no_gateways, LINK_HOP_OK, "192.0.2.8", 7},
	{"absent", "192.0.2.9", absent, LINK_HOP_NONE, NULL, -1},
	{"down", "192.0.2.9", down, LINK_HOP_NONE, NULL, -1},
	{"no Ethernet, by gateway", "8.8.8.8", no_ethernet, LINK_HOP_OK, "192.0.2.1", -1},
	{"no Ethernet, on-link", "192.0.2.77", no_ethernet, LINK_HOP_OK, "192.0.2.77", -1},
	{"no Ethernet, nothing known", "2600::1", bare, LINK_HOP_OK, "2600::1", -1},
};

static void check_hop(const struct hop_case *c)
{
	static const uint8_t untouched[6] = {9, 9, 9, 9, 9, 9};
	struct links *links = setup();
	struct addr dst = addr(c->dst);
	struct addr via = {0};
	uint8_t mac[6];
	uint8_t want[6] = {2, 0, 0, 0, 0, (uint8_t)c->neighbour};
	struct addr want_via = addr(c->via);
	enum link_hop got;

	memcpy(mac, untouched, sizeof(mac));
	if (c->change)
		c->change(&links->link[1]);
	got = link_next_hop(&links->link[1], &dst, &via, mac);
	cr_expect(got == c->want, "%s: %s: want %d, got %d", c->name, c->dst, c->want, got);
	cr_expect(link_addr_compare(&via, &want_via) == 0, "%s: via is not %s", c->name,
		  c->via ? c->via : "untouched");
	cr_expect(memcmp(mac, c->neighbour < 0 ? untouched : want, 6) == 0,
		  "%s: MAC ends in %02x, want neighbour %d", c->name, mac[5], c->neighbour);
	links_destroy(links);
}

Test(dataplane_links, next_hop)
{
	for (size_t i = 0; i < sizeof(hops) / sizeof(hops[0]); i++)
		check_hop(&hops[i]);
}

Test(dataplane_links, new_links_are_absent)
{
	struct links *links = links_create(3);
	struct addr dst = addr("192.0.2.9");
	struct addr via;
	uint8_t mac[6];

	cr_assert(links != NULL);
	cr_expect(links->count == 3);
	for (unsigned i = 0; i < links->count; i++)
		cr_expect(link_next_hop(&links->link[i], &dst, &via, mac) == LINK_HOP_NONE);
	links_destroy(links);
	links_destroy(NULL);
}

Test(dataplane_links, order_of_addresses)
{
	static const char *const sorted[] = {
		"0.0.0.0",   "1.2.3.4",         "127.255.255.255",
		"128.0.0.0", "255.255.255.255", "::",
		"::1",       "0:0:0:1::",       "7fff::ffff:ffff:ffff",
		"8000::",    "ffff::",
	};
	size_t n = sizeof(sorted) / sizeof(sorted[0]);

	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < n; j++) {
			struct addr a = addr(sorted[i]);
			struct addr b = addr(sorted[j]);
			int got = link_addr_compare(&a, &b);
			int want = i < j ? -1 : i > j;

			cr_expect((got > 0) - (got < 0) == want, "%s, %s: want %d, got %d",
				  sorted[i], sorted[j], want, got);
		}
	}
}

Test(dataplane_links, every_neighbour_of_many_is_found)
{
	struct links *links = links_create(1);
	struct link *link = &links->link[0];
	struct addr dst = addr("10.0.0.0");
	struct addr via;
	uint8_t mac[6];

	link->ifindex = 1;
	link->up = true;
	link->ethernet = true;
	link->subnets[link->subnet_count++] = prefix("10.0.0.0/8");
	link->neighbours = calloc(1000, sizeof(link->neighbours[0]));
	for (unsigned count = 0; count <= 1000; count += 37) {
		link->neighbour_count = count;
		for (unsigned i = 0; i < count; i++) {
			/* Odd addresses, in no order: 7 has no divisor in common with count * 2. */
			unsigned place = i * 7 % count;

			link->neighbours[i].addr = dst;
			link->neighbours[i].addr.v4 = 0x0a000001 + 2 * place;
			link->neighbours[i].mac[4] = (uint8_t)(place >> 8);
			link->neighbours[i].mac[5] = (uint8_t)place;
		}
		link_sort_neighbours(link);
		for (unsigned i = 0; i <= 2 * count; i++) {
			struct addr one = dst;
			bool known = i % 2 && count % 7;

			one.v4 += i;
			if (count % 7 == 0)
				continue;
			cr_assert(link_next_hop(link, &one, &via, mac) ==
					  (known ? LINK_HOP_OK : LINK_HOP_UNRESOLVED),
				  "%u of %u", i, count);
			cr_assert(!known || mac[4] * 256u + mac[5] == i / 2, "%u of %u", i, count);
		}
	}
	links_destroy(links);
}
