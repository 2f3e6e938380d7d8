/* tidy: tests/dataplane/test_bad.c: requirement */
/*
 * rfc1_tested    has a test
 * rfc1_excepted  has none, and need not
 * rfc1_missing   has none
 */
Test(suite, rfc1_tested_well)
{
}
