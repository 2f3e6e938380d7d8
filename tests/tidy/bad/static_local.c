/* tidy: tun/x.c: static */
static int next(void)
{
	static const int step = 2;
	static int last = 1;

	last += step;
	return last;
}
