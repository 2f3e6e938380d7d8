/* tidy: dataplane/x.c: static */
int (*lookup)(int address, int length) = NULL;
