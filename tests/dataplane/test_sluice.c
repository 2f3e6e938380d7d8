/* The public face: what a program that links libsluice sees. */
#include "dataplane/sluice.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct sluice_list list_of(const char *name, const char *text, uint16_t egress)
{
	return (struct sluice_list){name, text, strlen(text), egress};
}

static uint16_t decide4(const struct sluice *s, uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	uint8_t packet[20] = {0x45, [16] = a, b, c, d};
	const uint8_t *packets[] = {packet};
	size_t sizes[] = {sizeof(packet)};
	uint16_t egress;

	sluice_decide(s, packets, sizes, &egress, 1);
	return egress;
}

Test(sluice, decides_by_destination_and_reloads)
{
	struct sluice_list lists[] = {list_of("a", "10.0.0.0/8\n2001:db8::/32\n", 7),
				      list_of("b", "10.1.0.0/16\n", 8)};
	struct sluice *s = sluice_create();
	struct sluice_error err;

	sluice_enter();
	cr_assert_eq(decide4(s, 10, 0, 0, 1), SLUICE_UNDECIDED, "nothing is loaded yet");
	cr_assert_eq(sluice_load(s, lists, 2, 3, &err), 0, "%s", err.text);
	cr_assert_eq(decide4(s, 10, 0, 0, 1), 7);
	cr_assert_eq(decide4(s, 10, 1, 0, 1), 8, "the longest prefix wins");
	cr_assert_eq(decide4(s, 11, 0, 0, 1), 3, "the default");

	uint8_t six[40] = {0x60, [24] = 0x20, 0x01, 0x0d, 0xb8};
	const uint8_t *packets[] = {six, six, (const uint8_t *)"", six};
	size_t sizes[] = {40, 39, 0, 40};
	uint16_t egress[4];

	sluice_decide(s, packets, sizes, egress, 4);
	cr_assert_eq(egress[0], 7);
	cr_assert_eq(egress[1], SLUICE_UNDECIDED, "cut short");
	cr_assert_eq(egress[2], SLUICE_UNDECIDED, "empty");
	cr_assert_eq(egress[3], 7);

	cr_assert_eq(sluice_load(s, lists + 1, 1, 4, &err), 0, "%s", err.text);
	cr_assert_eq(sluice_generation(s), 2);
	cr_assert_eq(decide4(s, 10, 0, 0, 1), 4);
	sluice_exit();
	sluice_destroy(s);
}

Test(sluice, a_bad_list_changes_nothing)
{
	struct sluice_list good = list_of("good", "10.0.0.0/8\n", 1);
	struct sluice_list bad[] = {list_of("fine", "11.0.0.0/8\n", 1),
				    list_of("bad", "10.0.0.0/8\n 10.0.0.0/33\n", 1)};
	struct sluice *s = sluice_create();
	struct sluice_error err;

	sluice_enter();
	cr_assert_eq(sluice_load(s, &good, 1, 0, &err), 0);
	cr_assert_eq(sluice_load(s, bad, 2, 0, &err), -EINVAL);
	cr_assert_str_eq(err.list, "bad");
	cr_assert_eq(err.line, 2, "line %zu", err.line);
	cr_assert_eq(sluice_generation(s), 1);
	cr_assert_eq(decide4(s, 10, 0, 0, 1), 1);
	cr_assert_eq(decide4(s, 11, 0, 0, 1), 0);
	sluice_exit();
	sluice_destroy(s);
}
