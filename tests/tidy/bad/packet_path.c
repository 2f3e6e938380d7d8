/* tidy: dataplane/worker.c: packet-path */
static void *worker_create(void)
{
	return malloc(64);
}

static void *buffer(void)
{
	return malloc(64);
}
