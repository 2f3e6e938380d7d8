/* tidy: dataplane/x.c: static */
struct state {
	int n;
} state;
