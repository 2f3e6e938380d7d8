/* tidy: lpm/x.c: static */
static unsigned long calls;
