/* tidy: ctl/x.c: banned-call */
static void check(int x)
{
	static_assert(sizeof(int) == 4, "a static_assert is none");
	assert(x);
}
