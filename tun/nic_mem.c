/* An interface in memory: two bounded queues a nic queue, one each way. */
#include "tun/nic_mem.h"

#include "tun/pipe_mem.h"
#include "tun/tun.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct nic_queue {
	struct pipe_mem *in;  /* to the worker */
	struct pipe_mem *out; /* from the worker */
};

struct nic {
	struct nic *next; /* the one opened before */
	char name[TUN_NAME_MAX];
	unsigned queue_count;
	struct nic_queue queues[]; /* queue_count of them */
};

/* Guards the list of all that is open, newest first. Nothing else is taken inside. */
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct nic *registry;

static void enter(struct nic *nic)
{
	pthread_mutex_lock(&registry_lock);
	nic->next = registry;
	registry = nic;
	pthread_mutex_unlock(&registry_lock);
}

static void leave(const struct nic *nic)
{
	pthread_mutex_lock(&registry_lock);
	for (struct nic **p = &registry; *p; p = &(*p)->next) {
		if (*p == nic) {
			*p = nic->next;
			break;
		}
	}
	pthread_mutex_unlock(&registry_lock);
}

struct nic *nic_mem_find(const char *name)
{
	struct nic *nic;

	pthread_mutex_lock(&registry_lock);
	for (nic = registry; nic; nic = nic->next) {
		if (strcmp(nic->name, name) == 0)
			break;
	}
	pthread_mutex_unlock(&registry_lock);
	return nic;
}

static int open_queue(struct nic_queue *queue)
{
	int rc = pipe_mem_create(NIC_MEM_DEPTH, &queue->in);

	if (rc == 0)
		rc = pipe_mem_create(NIC_MEM_DEPTH, &queue->out);
	if (rc == 0)
		rc = pipe_mem_watch(queue->in);
	return rc == -ENOTSUP ? 0 : rc;
}

int nic_open(const struct nic_options *options, struct nic **out)
{
	struct nic *nic;
	int rc = 0;

	if (options->queues < 1 || options->queues > TUN_QUEUES_MAX)
		return -EINVAL;
	if (options->port_first + options->queues * options->slice > 65536)
		return -EINVAL;
	if (strlen(options->name) >= TUN_NAME_MAX)
		return -ENODEV;
	nic = calloc(1, sizeof(*nic) + options->queues * sizeof(nic->queues[0]));
	if (!nic)
		return -ENOMEM;
	memcpy(nic->name, options->name, strlen(options->name));
	nic->queue_count = options->queues;
	for (unsigned i = 0; i < options->queues && rc == 0; i++)
		rc = open_queue(&nic->queues[i]);
	if (rc < 0) {
		nic_close(nic);
		return rc;
	}
	enter(nic);
	*out = nic;
	return 0;
}

void nic_close(struct nic *nic)
{
	if (!nic)
		return;
	leave(nic);
	for (unsigned i = 0; i < nic->queue_count; i++) {
		pipe_mem_destroy(nic->queues[i].in);
		pipe_mem_destroy(nic->queues[i].out);
	}
	free(nic);
}

struct nic_queue *nic_queue_at(struct nic *nic, unsigned index)
{
	return &nic->queues[index];
}

int nic_queue_fd(const struct nic_queue *queue)
{
	return pipe_mem_fd(queue->in);
}

bool nic_is_ethernet(const struct nic *nic)
{
	return strncmp(nic->name, "tun", 3) != 0;
}

unsigned nic_recv_burst(struct nic_queue *queue, struct buf *bufs, unsigned n, size_t bytes_max,
			int *error_out)
{
	(void)error_out;
	return pipe_mem_take_burst(queue->in, bufs, n, bytes_max);
}

unsigned nic_send_burst(struct nic_queue *queue, struct buf *const *bufs, unsigned n)
{
	unsigned taken = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct buf *b = bufs[i];

		if (b->len > 0)
			taken += pipe_mem_put(queue->out, b->data, b->len, &b->offload,
					      b->next_hop) == 0;
	}
	return taken;
}

uint64_t nic_queue_lost(struct nic_queue *queue)
{
	return pipe_mem_lost(queue->in);
}

int nic_mem_inject(struct nic *nic, unsigned index, const void *packet, size_t len,
		   const struct offload *offload)
{
	if (len == 0)
		return -EINVAL;
	return pipe_mem_put(nic->queues[index].in, packet, len, offload, NULL);
}

size_t nic_mem_take(struct nic *nic, unsigned index, void *out, size_t capacity,
		    struct offload *offload, uint8_t next_hop[6])
{
	return pipe_mem_take(nic->queues[index].out, out, capacity, offload, next_hop);
}
