/* tidy: ctl/x.c: banned-call */
static int number(const char *text)
{
	return atoi(text); /* atoi("1") and the string "atoi(1)" are none */
}
