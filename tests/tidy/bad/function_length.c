/* tidy: lpm/x.c: function-length */
static int long_winded(int x)
{
68 lines
	return x;
}
