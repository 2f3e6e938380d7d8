/* libsluice: the public face of lists, tables and their publishing. */
#include "dataplane/sluice.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/check.h"
#include "dataplane/route.h"

struct sluice {
	struct routes *routes;
	uint32_t generation;
};

struct sluice *sluice_create(void)
{
	struct sluice *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->routes = routes_create();
	if (s->routes)
		return s;
	free(s);
	return NULL;
}

void sluice_destroy(struct sluice *s)
{
	if (!s)
		return;
	routes_destroy(s->routes);
	free(s);
}

int sluice_load(struct sluice *s, const struct sluice_list *lists, unsigned count,
		uint16_t default_egress, struct sluice_error *err)
{
	struct table_rule *rules = calloc((size_t)count + 1, sizeof(*rules));
	struct list_error wrong = {.text = "out of memory"};
	struct table *table;
	unsigned parsed = 0;
	int rc = rules ? 0 : -ENOMEM;

	for (; rc == 0 && parsed < count; parsed++) {
		const struct sluice_list *l = &lists[parsed];

		rules[parsed].egress = l->egress;
		rc = list_parse(l->name, l->name, l->text, l->size, 0, &rules[parsed].list, &wrong);
		if (rc < 0)
			break;
	}
	*err = (struct sluice_error){.list = parsed < count ? lists[parsed].name : NULL,
				     .line = wrong.line,
				     .column = wrong.column};
	memcpy(err->text, wrong.text, sizeof(err->text));
	if (rc == 0)
		rc = table_rebuild(rules, count, default_egress, s->generation + 1,
				   route_take_spare(s->routes), &table);
	if (rc == 0) {
		route_publish_table(s->routes, table);
		s->generation++;
		*err = (struct sluice_error){0};
	}
	for (unsigned i = 0; i < parsed; i++)
		list_unref(rules[i].list);
	free(rules);
	return rc;
}

_Static_assert(sizeof(((struct sluice_error *)0)->text) == sizeof(((struct list_error *)0)->text),
	       "an error's text is copied whole");

uint32_t sluice_generation(const struct sluice *s)
{
	return s->generation;
}

void sluice_decide(const struct sluice *s, const uint8_t *const *packets, const size_t *sizes,
		   uint16_t *egress, unsigned n)
{
	const struct table *table = route_table(s->routes);
	uint16_t at4[SLUICE_BURST_MAX], at6[SLUICE_BURST_MAX], verdict[SLUICE_BURST_MAX];
	struct addr6 v6[SLUICE_BURST_MAX];
	uint32_t v4[SLUICE_BURST_MAX];
	unsigned n4 = 0, n6 = 0;

	CHECK(n <= SLUICE_BURST_MAX);
	for (unsigned i = 0; i < n; i++) {
		uint8_t version = sizes[i] ? packets[i][0] >> 4 : 0;

		egress[i] = SLUICE_UNDECIDED;
		if (version == 4 && sizes[i] >= 20) {
			v4[n4] = addr_from_bytes(4, packets[i] + 16).v4;
			at4[n4++] = (uint16_t)i;
		} else if (version == 6 && sizes[i] >= 40) {
			v6[n6] = addr_from_bytes(6, packets[i] + 24).v6;
			at6[n6++] = (uint16_t)i;
		}
	}
	if (!table)
		return;
	if (n4)
		lpm4_lookup_burst(table->v4, v4, verdict, n4);
	for (unsigned i = 0; i < n4; i++)
		egress[at4[i]] = table->verdicts[verdict[i]].egress;
	if (n6)
		lpm6_lookup_burst(table->v6, v6, verdict, n6);
	for (unsigned i = 0; i < n6; i++)
		egress[at6[i]] = table->verdicts[verdict[i]].egress;
}

void sluice_enter(void)
{
	route_enter();
}

void sluice_exit(void)
{
	route_exit();
}

void sluice_quiescent(void)
{
	route_quiescent();
}

void sluice_offline(void)
{
	route_offline();
}

void sluice_online(void)
{
	route_online();
}
