/* Sockets in memory: a bounded queue of messages a worker, and one for what is nobody's. */
#include "tun/udp_mem.h"

#include "tun/pipe_mem.h"
#include "tun/tun.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* A message in a pipe: this, then its bytes. */
struct envelope {
	struct udp_endpoint endpoint;
	uint32_t segment;
	uint32_t fragment;
	uint8_t tos;
};

enum {
	DATA_MAX = BUF_SIZE - sizeof(struct envelope),
};

_Static_assert((int)DATA_MAX >= (int)UDP_MESSAGE_MAX, "the longest message fits a packet");

struct udp_queue {
	struct udp *udp;
	struct pipe_mem *in;
	uint8_t *letter;      /* BUF_SIZE bytes */
	pthread_mutex_t lock; /* guards who puts into `in`; nothing else is taken inside */
};

struct udp {
	struct udp *next; /* the one opened before */
	uint16_t port;
	uint8_t address[2][16]; /* of version 4 and 6 */
	unsigned lose;
	unsigned all_to;          /* queue; queue_count: what udp_select says */
	unsigned path;            /* MTU; 0: none */
	struct pipe_mem *out;     /* to nobody's port */
	pthread_mutex_t out_lock; /* guards who puts into `out` */
	unsigned queue_count;
	struct udp_queue queues[]; /* queue_count of them, and the one that only sends */
};

/* Guards the list of all that is open, newest first. Queues' locks are taken inside. */
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct udp *registry;

static struct udp *find(uint16_t port)
{
	struct udp *udp;

	for (udp = registry; udp; udp = udp->next)
		if (udp->port == port)
			break;
	return udp;
}

/* Give the sockets a port. With the lock. */
static int take_port(struct udp *udp, uint16_t port)
{
	if (port == 0)
		for (port = UDP_MEM_PORT; find(port); port++)
			;
	if (find(port))
		return -EADDRINUSE;
	udp->port = port;
	return 0;
}

static int open_queue(struct udp *udp, struct udp_queue *queue)
{
	int rc = pipe_mem_create(UDP_MEM_DEPTH, &queue->in);

	queue->udp = udp;
	pthread_mutex_init(&queue->lock, NULL);
	queue->letter = malloc(BUF_SIZE);
	if (rc == 0 && !queue->letter)
		rc = -ENOMEM;
	if (rc == 0)
		rc = pipe_mem_watch(queue->in);
	return rc == -ENOTSUP ? 0 : rc;
}

static void free_all(struct udp *udp)
{
	for (unsigned i = 0; i < udp->queue_count; i++) {
		pipe_mem_destroy(udp->queues[i].in);
		free(udp->queues[i].letter);
		pthread_mutex_destroy(&udp->queues[i].lock);
	}
	pipe_mem_destroy(udp->out);
	pthread_mutex_destroy(&udp->out_lock);
	free(udp);
}

int udp_open(const struct udp_options *options, struct udp **out)
{
	struct udp *udp;
	int rc;

	if (options->queues < 1 || options->queues > TUN_QUEUES_MAX)
		return -EINVAL;
	udp = calloc(1, sizeof(*udp) + (options->queues + 1) * sizeof(udp->queues[0]));
	if (!udp)
		return -ENOMEM;
	memcpy(udp->address[0], (const uint8_t[4]){127, 0, 0, 1}, 4);
	udp->address[1][15] = 1;
	pthread_mutex_init(&udp->out_lock, NULL);
	rc = pipe_mem_create(UDP_MEM_DEPTH, &udp->out);
	while (rc == 0 && udp->queue_count < options->queues)
		rc = open_queue(udp, &udp->queues[udp->queue_count++]);
	udp->queues[options->queues].udp = udp;
	udp->all_to = udp->queue_count;
	if (rc == 0) {
		pthread_mutex_lock(&registry_lock);
		rc = take_port(udp, options->port);
		if (rc == 0) {
			udp->next = registry;
			registry = udp;
		}
		pthread_mutex_unlock(&registry_lock);
	}
	if (rc < 0) {
		free_all(udp);
		return rc;
	}
	*out = udp;
	return 0;
}

void udp_close(struct udp *udp)
{
	if (!udp)
		return;
	pthread_mutex_lock(&registry_lock);
	for (struct udp **p = &registry; *p; p = &(*p)->next) {
		if (*p == udp) {
			*p = udp->next;
			break;
		}
	}
	pthread_mutex_unlock(&registry_lock);
	free_all(udp);
}

int udp_set_port(struct udp *udp, uint16_t port)
{
	int rc = 0;

	pthread_mutex_lock(&registry_lock);
	if (port != udp->port)
		rc = take_port(udp, port);
	pthread_mutex_unlock(&registry_lock);
	return rc;
}

int udp_set_mark(struct udp *udp, uint32_t mark)
{
	(void)udp;
	(void)mark;
	return 0;
}

uint16_t udp_port(const struct udp *udp)
{
	return udp->port;
}

struct udp_queue *udp_queue_at(struct udp *udp, unsigned index)
{
	return &udp->queues[index];
}

void udp_queue_fds(const struct udp_queue *queue, int fds[2])
{
	fds[0] = pipe_mem_fd(queue->in);
	fds[1] = -1;
}

static int put(struct pipe_mem *pipe, const struct udp_message *m,
	       const struct udp_endpoint *endpoint)
{
	struct envelope e = {.endpoint = *endpoint,
			     .segment = m->segment,
			     .fragment = m->fragment,
			     .tos = m->tos};
	uint8_t *letter;
	int rc;

	if (m->len > DATA_MAX)
		return -EMSGSIZE;
	letter = malloc(sizeof(e) + m->len);
	if (!letter)
		return -ENOMEM;
	memcpy(letter, &e, sizeof(e));
	memcpy(letter + sizeof(e), m->data, m->len);
	rc = pipe_mem_put(pipe, letter, sizeof(e) + m->len, NULL, NULL);
	free(letter);
	return rc;
}

static bool take(struct pipe_mem *pipe, uint8_t *letter, struct udp_message *m)
{
	size_t size = pipe_mem_take(pipe, letter, BUF_SIZE, NULL, NULL);
	struct envelope e;

	if (size < sizeof(e))
		return false;
	memcpy(&e, letter, sizeof(e));
	m->len = (uint32_t)(size - sizeof(e));
	m->segment = e.segment;
	m->endpoint = e.endpoint;
	m->tos = e.tos;
	m->fragment = e.fragment;
	m->source_gone = m->too_long = false;
	memcpy(m->data, letter + sizeof(e), m->len);
	return true;
}

int udp_mem_inject(struct udp *udp, const struct udp_message *m)
{
	unsigned at = udp_select(m->data, m->len, udp->queue_count);
	struct udp_queue *q;
	struct udp_endpoint from = m->endpoint;
	int rc;

	if (udp->all_to < udp->queue_count)
		at = udp->all_to;
	q = &udp->queues[at < udp->queue_count ? at : 0];
	memcpy(from.source, udp->address[from.version == 6], sizeof(from.source));
	pthread_mutex_lock(&q->lock);
	rc = put(q->in, m, &from);
	pthread_mutex_unlock(&q->lock);
	return rc;
}

unsigned udp_recv_burst(struct udp_queue *q, struct udp_message *messages, unsigned n, size_t bytes)
{
	size_t sum = 0;
	unsigned got = 0;

	while (got < n && sum <= bytes && take(q->in, q->letter, &messages[got]))
		sum += messages[got++].len;
	return got;
}

/* To whoever has the port, as the kernel would: nobody waits for a full queue. */
static int deliver(struct udp *udp, const struct udp_message *m)
{
	struct udp_message arrival = *m;
	struct udp *far;
	int rc;

	pthread_mutex_lock(&registry_lock);
	far = find(m->endpoint.port);
	if (far) {
		memset(&arrival.endpoint, 0, sizeof(arrival.endpoint));
		arrival.endpoint.version = m->endpoint.version;
		arrival.endpoint.port = udp->port;
		memcpy(arrival.endpoint.addr, udp->address[m->endpoint.version == 6], 16);
		udp_mem_inject(far, &arrival);
		pthread_mutex_unlock(&registry_lock);
		return 0;
	}
	pthread_mutex_unlock(&registry_lock);
	pthread_mutex_lock(&udp->out_lock);
	rc = put(udp->out, m, &m->endpoint);
	pthread_mutex_unlock(&udp->out_lock);
	return rc;
}

/* As the kernel: only of several datagrams at once. */
static bool is_too_long(const struct udp *udp, const struct udp_message *m)
{
	unsigned path = __atomic_load_n(&udp->path, __ATOMIC_RELAXED);
	unsigned headers = m->endpoint.version == 4 ? 28 : 48;

	return path && m->len > m->segment && m->segment + headers > path;
}

unsigned udp_send_burst(struct udp_queue *q, struct udp_message *messages, unsigned n)
{
	unsigned refused = 0;

	for (unsigned i = 0; i < n; i++) {
		messages[i].source_gone = false;
		messages[i].too_long = is_too_long(q->udp, &messages[i]);
		if (__atomic_load_n(&q->udp->lose, __ATOMIC_RELAXED) > 0)
			__atomic_fetch_sub(&q->udp->lose, 1, __ATOMIC_RELAXED);
		else if (deliver(q->udp, &messages[i]) < 0)
			refused += udp_segments(&messages[i]);
	}
	return refused;
}

void udp_mem_set_address(struct udp *udp, uint8_t version, const uint8_t addr[16])
{
	memset(udp->address[version == 6], 0, 16);
	memcpy(udp->address[version == 6], addr, version == 6 ? 16 : 4);
}

bool udp_mem_take(struct udp *udp, struct udp_message *m)
{
	uint8_t *letter = malloc(BUF_SIZE);
	bool taken = letter && take(udp->out, letter, m);

	free(letter);
	return taken;
}

unsigned udp_mem_count_racy(const struct udp *udp)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < udp->queue_count; i++)
		sum += pipe_mem_count_racy(udp->queues[i].in);
	return sum;
}

void udp_mem_misdirect(struct udp *udp, unsigned queue)
{
	udp->all_to = queue;
}

void udp_mem_set_path(struct udp *udp, unsigned mtu)
{
	__atomic_store_n(&udp->path, mtu, __ATOMIC_RELAXED);
}

unsigned udp_path_mtu(const struct udp *udp, const struct udp_endpoint *to)
{
	(void)to;
	return __atomic_load_n(&udp->path, __ATOMIC_RELAXED);
}

void udp_mem_lose(struct udp *udp, unsigned n)
{
	__atomic_store_n(&udp->lose, n, __ATOMIC_RELAXED);
}
