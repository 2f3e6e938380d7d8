/* tidy: tests/dataplane/test_bad.c: requirement */
/*
 * rfc1_excepted  has a test nonetheless
 */
Test(suite, rfc1_excepted)
{
}
