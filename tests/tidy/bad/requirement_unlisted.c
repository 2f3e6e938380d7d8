/* tidy: tests/dataplane/test_bad.c: requirement */
Test(suite, rfc1_unlisted)
{
}
