/* The commands that need no daemon, and how commands are found: what they print and return. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/commands.h"
#include "ctl/usage.h"

enum {
	WORDS_MAX = 10,
	OUTPUT_MAX = 4096,
};

/* The files that every case finds in its folder. */
static const struct {
	const char *name;
	const char *text;
} files[] = {
	{"mx.txt", "10.0.0.0/8\n192.0.2.0/24\n2001:db8::/32\n"},
	{"de.txt", "# two\n10.1.0.0/16\n192.0.2.0/24\n"},
	{"bad.txt", "10.0.0.0/8\n  foo\n"},
	{"in", "10.1.2.3 rest of the line\r\n\n# comment\n\t9.9.9.9\nnonsense\n2001:db8::1"},
	{"mx2.txt", "10.0.0.0/9\n192.0.2.0/24\n198.51.100.7\n2001:db8::/33\n"},
	{"mx3.txt", "2001:db8::/32\n192.0.2.0/24\n10.0.0.0/8\n"},
	{"halves.txt", "10.0.0.0/9\n10.128.0.0/9\n192.0.2.0/24\n2001:db8::/32\n"},
	{"good.conf", "[Interface]\n"
		      "[Egress a]\nType = drop\n"
		      "[Egress b]\nType = reject\n"
		      "[List mx]\nFile = mx.txt\n"
		      "[List de]\nFile = de.txt\n"
		      "[Rule]\nList = de\nEgress = b\n"
		      "[Rule]\nList = mx\nEgress = a\n"
		      "[Default]\nEgress = a\n"},
	{"bad.conf", "[Interface]\nAdress = 10.0.0.1\n"},
	{"badlist.conf", "[Interface]\n[Egress a]\nType = drop\n[List x]\nFile = bad.txt\n"
			 "[Default]\nEgress = a\n"},
};

enum {
	FILE_COUNT = sizeof(files) / sizeof(files[0]),
};

struct offline_case {
	int (*run)(const struct options *options, int argc, char **argv);
	const char *words[WORDS_MAX];
	struct options options;
	int status;
	const char *output;    /* whole, or what it has in it if it starts with '~' */
	const char *complaint; /* what standard error has in it; NULL: nothing at all */
};

static const struct offline_case cases[] = {
	{cmd_lookup,
	 {"lookup", "--list", "mx.txt", "-l", "two=de.txt", "10.1.2.3", "10.2.0.1", "192.0.2.1",
	  "2001:db8::1", "9.9.9.9"},
	 {0},
	 STATUS_OK,
	 "10.1.2.3 10.1.0.0/16 two\n"
	 "10.2.0.1 10.0.0.0/8 mx\n"
	 "192.0.2.1 192.0.2.0/24 mx\n"
	 "2001:db8::1 2001:db8::/32 mx\n"
	 "9.9.9.9 - -\n",
	 NULL},
	{cmd_lookup,
	 {"lookup", "--list=mx.txt", "-"},
	 {0},
	 STATUS_USAGE,
	 "10.1.2.3 10.0.0.0/8 mx\n"
	 "9.9.9.9 - -\n"
	 "2001:db8::1 2001:db8::/32 mx\n",
	 "stdin:5: not an address: 'nonsense'\n"},
	{cmd_lookup,
	 {"lookup", "--list=x=mx.txt", "10.1.2.3", "9.9.9.9"},
	 {.json = true},
	 STATUS_OK,
	 "{\"address\":\"10.1.2.3\",\"prefix\":\"10.0.0.0/8\",\"list\":\"x\",\"file\":\"mx.txt\","
	 "\"line\":1}\n"
	 "{\"address\":\"9.9.9.9\",\"prefix\":null,\"list\":null,\"file\":null,\"line\":null}\n",
	 NULL},
	{cmd_lookup,
	 {"lookup", "--list", "mx.txt", "10.1.2", "9.9.9.9"},
	 {0},
	 STATUS_USAGE,
	 "9.9.9.9 - -\n",
	 "not an address: '10.1.2'"},
	{cmd_lookup,
	 {"lookup", "--list", "bad.txt", "10.1.2.3"},
	 {0},
	 STATUS_USAGE,
	 "",
	 "bad.txt:2:3: "},
	{cmd_lookup,
	 {"lookup", "--lax", "--list", "bad.txt", "10.1.2.3"},
	 {0},
	 STATUS_OK,
	 "10.1.2.3 10.0.0.0/8 bad\n",
	 NULL},
	{cmd_lookup, {"lookup", "10.1.2.3"}, {0}, STATUS_USAGE, "", "a --list is needed"},
	{cmd_lookup, {"lookup", "-l", "mx.txt"}, {0}, STATUS_USAGE, "", "an ADDRESS is needed"},
	{cmd_lookup, {"lookup", "-l", "=mx.txt", "::"}, {0}, STATUS_USAGE, "", "a name has 1 to"},
	{cmd_lookup, {"lookup", "--lists"}, {0}, STATUS_USAGE, "", "did you mean '--list'?"},
	{cmd_lookup, {"lookup", "-l"}, {0}, STATUS_USAGE, "", "option '-l' needs an argument"},
	{cmd_check,
	 {"check", "-c", "good.conf"},
	 {0},
	 STATUS_OK,
	 "~\n1 prefixes in lists of different egresses:\n"
	 "de.txt:3: 192.0.2.0/24 leaves by b; mx.txt:2 says a, in a later rule\n",
	 NULL},
	{cmd_check,
	 {"check", "--config=good.conf"},
	 {0},
	 STATUS_OK,
	 "~LIST  EGRESS  IPV4  IPV6  RANGES  MASKED  DUPLICATE  COVERED  SKIPPED  AGGREGATED  "
	 "FILE\n"
	 "mx    a          2     1       0       0          0        0        0           3  "
	 "mx.txt\n"
	 "de    b          2     0       0       0          0        0        0           2  "
	 "de.txt\n",
	 NULL},
	{cmd_check,
	 {"check", "-c", "good.conf"},
	 {.json = true},
	 STATUS_OK,
	 "~\"clash_count\":1,\"clashes\":[{\"prefix\":\"192.0.2.0/24\",\"winner\":{\"list\":\"de\","
	 "\"file\":\"de.txt\",\"line\":3,\"egress\":\"b\"},\"loser\":{\"list\":\"mx\","
	 "\"file\":\"mx.txt\",\"line\":2,\"egress\":\"a\"}}]",
	 NULL},
	{cmd_check, {"check", "-pc", "good.conf"}, {0}, STATUS_OK, "~[Interface]\nName = sl", NULL},
	{cmd_check,
	 {"check", "-c", "bad.conf"},
	 {0},
	 STATUS_USAGE,
	 "",
	 "bad.conf:2:1: unknown key 'Adress'; did you mean 'Address'?\n"},
	{cmd_check, {"check", "-c", "badlist.conf"}, {0}, STATUS_USAGE, "", "bad.txt:2:3: "},
	{cmd_check, {"check", "-c", "none.conf"}, {0}, STATUS_USAGE, "", "none.conf: No such file"},
	{cmd_check, {"check", "good.conf"}, {0}, STATUS_USAGE, "", "unexpected 'good.conf'"},
	{cmd_diff,
	 {"diff", "mx.txt", "mx2.txt"},
	 {0},
	 STATUS_OK,
	 "~IPv4: 2 prefixes added, 1 removed, 1 kept; addresses: 1 enter, 8388608 leave\n"
	 "IPv6: 1 prefixes added, 1 removed, 0 kept; addresses: 0 enter, "
	 "39614081257132168796771975168 (32768 /48) leave\n"
	 "parsed in ",
	 NULL},
	{cmd_diff,
	 {"diff", "mx.txt", "mx2.txt"},
	 {.stats = true},
	 STATUS_OK,
	 "~- 10.0.0.0/8  mx.txt:1\n"
	 "+ 10.0.0.0/9  mx2.txt:1\n"
	 "+ 198.51.100.7/32  mx2.txt:3\n"
	 "- 2001:db8::/32  mx.txt:3\n"
	 "+ 2001:db8::/33  mx2.txt:4\n"
	 "IPv4: ",
	 NULL},
	{cmd_diff,
	 {"diff", "mx.txt", "mx2.txt", "-a"},
	 {.family = 6},
	 STATUS_OK,
	 "~- 2001:db8::/32  mx.txt:3\n"
	 "+ 2001:db8::/33  mx2.txt:4\n"
	 "IPv6: ",
	 NULL},
	{cmd_diff,
	 {"diff", "mx.txt", "mx2.txt"},
	 {.json = true},
	 STATUS_OK,
	 "~{\"differ\":true,\"before\":\"mx.txt\",\"after\":\"mx2.txt\",\"v4\":{\"added\":2,"
	 "\"removed\":1,\"kept\":1,\"addresses_in\":1,\"addresses_out\":8388608},\"v6\":{"
	 "\"added\":1,\"removed\":1,\"kept\":0,\"addresses_in\":\"0\",\"addresses_out\":"
	 "\"39614081257132168796771975168\"},\"parse_us\":",
	 NULL},
	{cmd_diff,
	 {"diff", "--all", "mx.txt", "mx2.txt"},
	 {.json = true, .family = 6},
	 STATUS_OK,
	 "~{\"changes\":[{\"change\":\"removed\",\"prefix\":\"2001:db8::/32\",\"file\":"
	 "\"mx.txt\",\"line\":3},{\"change\":\"added\",\"prefix\":\"2001:db8::/33\",\"file\":"
	 "\"mx2.txt\",\"line\":4}],\"differ\":true,",
	 NULL},
	/* The order of lines is no difference; other prefixes for the same addresses are one. */
	{cmd_diff,
	 {"diff", "-e", "mx.txt", "mx3.txt"},
	 {0},
	 STATUS_OK,
	 "~no difference: 2 IPv4 + 1 IPv6 prefixes\n",
	 NULL},
	{cmd_diff,
	 {"diff", "-e", "mx.txt", "halves.txt"},
	 {0},
	 STATUS_DIFFERENT,
	 "~IPv4: 2 prefixes added, 1 removed, 1 kept; addresses: 0 enter, 0 leave\n",
	 NULL},
	{cmd_diff, {"diff", "-q", "mx.txt", "mx2.txt"}, {0}, STATUS_DIFFERENT, "", NULL},
	{cmd_diff, {"diff", "--quiet", "mx.txt", "mx3.txt"}, {.json = true}, STATUS_OK, "", NULL},
	{cmd_diff, {"diff", "-q", "mx.txt", "mx2.txt", "-a"}, {0}, STATUS_DIFFERENT, "", NULL},
	{cmd_diff, {"diff", "-q", "mx.txt", "halves.txt"}, {.family = 6}, STATUS_OK, "", NULL},
	{cmd_diff, {"diff", "mx.txt", "bad.txt"}, {0}, STATUS_USAGE, "", "bad.txt:2:3: "},
	{cmd_diff, {"diff", "-q", "bad.txt", "mx.txt"}, {0}, STATUS_USAGE, "", "bad.txt:2:3: "},
	{cmd_diff, {"diff", "none.txt", "mx.txt"}, {0}, STATUS_USAGE, "", "none.txt: No such file"},
	{cmd_diff,
	 {"diff", "--lax", "bad.txt", "mx.txt"},
	 {0},
	 STATUS_OK,
	 "~IPv4: 1 prefixes added, 0 removed, 1 kept; addresses: 256 enter, 0 leave\n",
	 NULL},
	{cmd_diff, {"diff", "-", "-"}, {0}, STATUS_USAGE, "", "one file, not two"},
	{cmd_diff,
	 {"diff", "--lax", "in", "-"},
	 {0},
	 STATUS_OK,
	 "~no difference: 1 IPv4 + 1 IPv6 prefixes\n",
	 NULL},
	{cmd_diff, {"diff", "--lax", "mx.txt"}, {0}, STATUS_USAGE, "", "--lax is for two lists"},
	{cmd_diff, {"diff", "mx=a", "b"}, {0}, STATUS_USAGE, "", "what is 'b'?"},
	{cmd_diff, {"diff", "a", "b", "c"}, {0}, STATUS_USAGE, "", "what is 'a'?"},
	{cmd_diff, {"diff", "=a"}, {0}, STATUS_USAGE, "", "a list's name has 1 to"},
	{cmd_diff, {"diff", "--quite", "a", "b"}, {0}, STATUS_USAGE, "", "did you mean '--quiet'?"},
	{cmd_diff,
	 {"diff"},
	 {.socket = "none.sock"},
	 STATUS_NO_DAEMON,
	 "",
	 "cannot reach the daemon at none.sock"},
};

static void redirect_all(void)
{
	cr_redirect_stdout();
	cr_redirect_stderr();
}

/* All that was written to a stream since it was redirected; the stream is then closed. */
static void read_output(FILE *from, FILE *stream, char out[OUTPUT_MAX])
{
	size_t n;

	fclose(stream);
	n = fread(out, 1, OUTPUT_MAX - 1, from);
	out[n] = '\0';
}

static void make_files(char *folder)
{
	cr_assert_not_null(mkdtemp(folder));
	cr_assert_eq(chdir(folder), 0);
	for (size_t i = 0; i < FILE_COUNT; i++) {
		FILE *out = fopen(files[i].name, "w");

		cr_assert_not_null(out);
		fputs(files[i].text, out);
		fclose(out);
	}
	cr_assert_not_null(freopen("in", "r", stdin));
}

static void remove_files(const char *folder)
{
	for (size_t i = 0; i < FILE_COUNT; i++)
		unlink(files[i].name);
	rmdir(folder);
}

/* A process each: standard output can be redirected only once in one. */
ParameterizedTestParameters(ctl_offline, output)
{
	enum { COUNT = sizeof(cases) / sizeof(cases[0]) };
	static int indexes[COUNT];

	for (int i = 0; i < COUNT; i++)
		indexes[i] = i;
	return cr_make_param_array(int, indexes, COUNT);
}

ParameterizedTest(const int *index, ctl_offline, output, .init = redirect_all)
{
	const struct offline_case *c = &cases[*index];
	char folder[] = "/tmp/sluice-test.XXXXXX";
	char output[OUTPUT_MAX], complaint[OUTPUT_MAX];
	FILE *out = cr_get_redirected_stdout();
	FILE *err = cr_get_redirected_stderr();
	char *words[WORDS_MAX + 1] = {NULL};
	int count = 0;
	int status;

	for (; count < WORDS_MAX && c->words[count] != NULL; count++)
		words[count] = (char *)c->words[count];
	make_files(folder);
	status = c->run(&c->options, count, words);
	remove_files(folder);
	read_output(out, stdout, output);
	read_output(err, stderr, complaint);
	cr_expect_eq(status, c->status, "case %d: expected %d, actual %d", *index, c->status,
		     status);
	cr_expect(c->output[0] == '~' ? strstr(output, c->output + 1) != NULL
				      : strcmp(output, c->output) == 0,
		  "case %d: expected\n%s\nactual\n%s", *index, c->output, output);
	cr_expect(c->complaint != NULL ? strstr(complaint, c->complaint) != NULL
				       : complaint[0] == '\0',
		  "case %d: expected complaint\n%s\nactual\n%s", *index, c->complaint, complaint);
}

Test(ctl_offline, commands_are_found)
{
	static const struct {
		const char *word;
		const char *command; /* NULL: none */
		const char *complaint;
	} words[] = {
		{"check", "check", ""},
		{"c", "check", ""},
		{"eg", "egress", ""},
		{"statu", "status", ""},
		{"d", "diff", ""},
		{"run", "run", ""},
		{"down", "down", ""},
		/* What takes protection away is not done by half a word. */
		{"dow", NULL, "sluice: unknown command 'dow'; did you mean 'down'?\n"},
		{"s", NULL, "sluice: command 's' may be 'status' or 'stats'\n"},
		{"r", NULL, "sluice: command 'r' may be 'run', 'reload' or 'rule'\n"},
		{"chekc", NULL, "sluice: unknown command 'chekc'; did you mean 'check'?\n"},
		{"frobnicate", NULL, "sluice: unknown command 'frobnicate'; see `sluice help`\n"},
		{"", NULL, "sluice: unknown command ''; see `sluice help`\n"},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		char complaint[200] = "";
		FILE *out = fmemopen(complaint, sizeof(complaint), "w");
		const struct command *command = usage_find_command(words[i].word, out);
		const char *name = command != NULL ? command->name : "none";

		fclose(out);
		cr_expect_str_eq(name, words[i].command != NULL ? words[i].command : "none",
				 "'%s': actual %s", words[i].word, name);
		cr_expect_str_eq(complaint, words[i].complaint, "'%s': expected %s, actual %s",
				 words[i].word, words[i].complaint, complaint);
	}
}
