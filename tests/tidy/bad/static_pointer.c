/* tidy: lpm/x.c: static */
static const char *const names[] = { "a pointer that is const", "is none" };
static const char *name = "this pointer is";
