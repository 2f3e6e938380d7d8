/* A TUN in memory: two bounded queues a TUN queue, one each way. */
#include "tun/tun_mem.h"

#include "tun/pipe_mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct tun_queue {
	struct pipe_mem *in;  /* to the worker */
	struct pipe_mem *out; /* from the worker */
};

struct tun {
	char name[TUN_NAME_MAX];
	bool unsteered;
	unsigned queue_count;
	struct tun_queue queues[]; /* queue_count of them */
};

static int open_queue(struct tun_queue *queue)
{
	int rc = pipe_mem_create(TUN_MEM_DEPTH, &queue->in);

	if (rc == 0)
		rc = pipe_mem_create(TUN_MEM_DEPTH, &queue->out);
	if (rc == 0)
		rc = pipe_mem_watch(queue->in);
	return rc == -ENOTSUP ? 0 : rc;
}

int tun_open(const struct tun_options *options, struct tun **out)
{
	const char *name = options->name && options->name[0] ? options->name : "tun0";
	struct tun *tun;
	int rc = 0;

	if (options->fd >= 0)
		return -ENOTSUP;
	if (options->queues < 1 || options->queues > TUN_QUEUES_MAX || strlen(name) >= TUN_NAME_MAX)
		return -EINVAL;
	tun = calloc(1, sizeof(*tun) + options->queues * sizeof(tun->queues[0]));
	if (!tun)
		return -ENOMEM;
	memcpy(tun->name, name, strlen(name));
	tun->queue_count = options->queues;
	for (unsigned i = 0; i < options->queues && rc == 0; i++)
		rc = open_queue(&tun->queues[i]);
	if (rc < 0) {
		tun_close(tun);
		return rc;
	}
	*out = tun;
	return 0;
}

void tun_close(struct tun *tun)
{
	if (!tun)
		return;
	for (unsigned i = 0; i < tun->queue_count; i++) {
		pipe_mem_destroy(tun->queues[i].in);
		pipe_mem_destroy(tun->queues[i].out);
	}
	free(tun);
}

int tun_unpersist(struct tun *tun)
{
	(void)tun;
	return 0;
}

const char *tun_name(const struct tun *tun)
{
	return tun->name;
}

unsigned tun_queue_count(const struct tun *tun)
{
	return tun->queue_count;
}

struct tun_queue *tun_queue_at(struct tun *tun, unsigned index)
{
	return &tun->queues[index];
}

const char *tun_offloads(const struct tun *tun)
{
	(void)tun;
	return "csum tso4 tso6 uso";
}

unsigned tun_steer(const struct tun *tun, const struct steer_key *key)
{
	return steer_queue(key, 0, tun->queue_count);
}

bool tun_steered(const struct tun *tun)
{
	return !tun->unsteered;
}

void tun_mem_set_unsteered(struct tun *tun)
{
	tun->unsteered = true;
}

int tun_queue_fd(const struct tun_queue *queue)
{
	return pipe_mem_fd(queue->in);
}

unsigned tun_recv_burst(struct tun_queue *queue, struct buf *bufs, unsigned n, size_t bytes_max,
			int *error_out)
{
	(void)error_out;
	return pipe_mem_take_burst(queue->in, bufs, n, bytes_max);
}

unsigned tun_send_burst(struct tun_queue *queue, struct buf *const *bufs, unsigned n)
{
	unsigned taken = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct buf *b = bufs[i];

		if (b->len > 0)
			taken += pipe_mem_put(queue->out, b->data, b->len, &b->offload, NULL) == 0;
	}
	return taken;
}

bool tun_send_pieces(struct tun_queue *queue, const struct offload *offload, struct iovec *pieces,
		     unsigned n)
{
	size_t len = 0, at = 0;
	uint8_t *whole;
	int rc;

	for (unsigned i = 1; i < n; i++)
		len += pieces[i].iov_len;
	whole = malloc(len ? len : 1);
	if (!whole)
		return false;
	for (unsigned i = 1; i < n; i++) {
		memcpy(whole + at, pieces[i].iov_base, pieces[i].iov_len);
		at += pieces[i].iov_len;
	}
	rc = len ? pipe_mem_put(queue->out, whole, len, offload, NULL) : -EINVAL;
	free(whole);
	return rc == 0;
}

int tun_mem_inject(struct tun *tun, unsigned index, const void *packet, size_t len,
		   const struct offload *offload)
{
	if (len == 0)
		return -EINVAL;
	return pipe_mem_put(tun->queues[index].in, packet, len, offload, NULL);
}

size_t tun_mem_take(struct tun *tun, unsigned index, void *out, size_t capacity,
		    struct offload *offload)
{
	return pipe_mem_take(tun->queues[index].out, out, capacity, offload, NULL);
}
