/* See names.h. */
#include "ctl/wireguard/names.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct name {
	struct wg_device *device;
	uint8_t public_key[WG_KEY];
	struct wg_quick_host host;
	bool asked; /* at least once */
	bool found; /* likewise */
	uint64_t gap_ns;
	uint64_t due_ns; /* to look at the peer again */
};

struct wg_names {
	struct wg_names_options options;
	pthread_mutex_t lock; /* of all below; devices' are taken inside */
	pthread_cond_t changed;
	struct name *names;
	size_t count;
	bool running;
	bool stop;
};

static int system_look_up(void *context, const struct wg_quick_host *host, struct udp_endpoint *out)
{
	(void)context;
	return wg_quick_look_up(host, out);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * WG_NS + (uint64_t)now.tv_nsec;
}

static void wait_until(struct wg_names *n, uint64_t at_ns)
{
	const struct timespec at = {.tv_sec = (time_t)(at_ns / WG_NS),
				    .tv_nsec = (long)(at_ns % WG_NS)};

	if (at_ns == UINT64_MAX)
		pthread_cond_wait(&n->changed, &n->lock);
	else
		pthread_cond_timedwait(&n->changed, &n->lock, &at);
}

static void free_all(struct wg_names *n)
{
	pthread_cond_destroy(&n->changed);
	pthread_mutex_destroy(&n->lock);
	free(n->names);
	free(n);
}

static bool is_same(const struct name *a, const struct name *b)
{
	return a->device == b->device && memcmp(a->public_key, b->public_key, WG_KEY) == 0 &&
	       a->host.port == b->host.port && strcmp(a->host.name, b->host.name) == 0;
}

/* NULL: it is nobody's any more. */
static struct name *find(struct wg_names *n, const struct name *like)
{
	for (size_t i = 0; i < n->count; i++)
		if (is_same(&n->names[i], like))
			return &n->names[i];
	return NULL;
}

/* ---- The thread ---- */

static struct name *first_due(struct wg_names *n)
{
	struct name *first = n->count ? &n->names[0] : NULL;

	for (size_t i = 1; i < n->count; i++)
		if (n->names[i].due_ns < first->due_ns)
			first = &n->names[i];
	return first;
}

static void put_off(const struct wg_names *n, struct name *name, uint64_t least_ns)
{
	uint64_t gap_ns = 2 * name->gap_ns;

	if (gap_ns < least_ns)
		gap_ns = least_ns;
	if (gap_ns > n->options.most_ns)
		gap_ns = n->options.most_ns;
	name->gap_ns = gap_ns;
	name->due_ns = now_ns() + gap_ns;
}

static void tell_device(const struct name *name, const struct udp_endpoint *endpoint)
{
	struct wg_peer_change peer = {.set = WG_PEER_UPDATE_ONLY | WG_PEER_ENDPOINT,
				      .endpoint = *endpoint};
	const struct wg_changes changes = {.peers = &peer, .peer_count = 1};

	memcpy(peer.public_key, name->public_key, WG_KEY);
	(void)wg_device_apply(name->device, &changes, wg_device_now_ns());
}

/* The lock is let go meanwhile: the name may be gone, or elsewhere. */
static void ask(struct wg_names *n, const struct name *which)
{
	const struct name like = *which;
	struct udp_endpoint endpoint;
	struct name *name;
	int rc;

	pthread_mutex_unlock(&n->lock);
	rc = n->options.look_up(n->options.context, &like.host, &endpoint);
	pthread_mutex_lock(&n->lock);
	name = n->stop ? NULL : find(n, &like);
	if (!name)
		return;
	if (rc == 0)
		tell_device(name, &endpoint);
	name->asked = true;
	name->found |= rc == 0;
	put_off(n, name, rc == 0 ? n->options.silent_ns : n->options.missing_ns);
	pthread_cond_broadcast(&n->changed);
}

static void look_at(struct wg_names *n, struct name *name)
{
	if (!name->asked || wg_device_is_silent(name->device, name->public_key)) {
		ask(n, name);
		return;
	}
	name->gap_ns = 0;
	put_off(n, name, n->options.silent_ns);
}

static void *names_main(void *names)
{
	struct wg_names *n = names;

	pthread_mutex_lock(&n->lock);
	while (!n->stop) {
		struct name *name = first_due(n);

		if (name && name->due_ns <= now_ns())
			look_at(n, name);
		else
			wait_until(n, name ? name->due_ns : UINT64_MAX);
	}
	pthread_mutex_unlock(&n->lock);
	free_all(n);
	return NULL;
}

/* Nobody joins it: see wg_names_destroy. */
static int start(struct wg_names *n)
{
	pthread_attr_t detached;
	pthread_t thread;
	int rc;

	if (n->running)
		return 0;
	rc = -pthread_attr_init(&detached);
	if (rc < 0)
		return rc;
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	rc = -pthread_create(&thread, &detached, names_main, n);
	pthread_attr_destroy(&detached);
	n->running = rc == 0;
	return rc;
}

/* ---- The owner ---- */

int wg_names_create(const struct wg_names_options *options, struct wg_names **out)
{
	struct wg_names *n = calloc(1, sizeof(*n));
	pthread_condattr_t attr;

	if (!n)
		return -ENOMEM;
	n->options = *options;
	if (!n->options.look_up)
		n->options.look_up = system_look_up;
	if (!n->options.missing_ns)
		n->options.missing_ns = WG_NS;
	if (!n->options.silent_ns)
		n->options.silent_ns = 30 * WG_NS;
	if (!n->options.most_ns)
		n->options.most_ns = 120 * WG_NS;
	pthread_mutex_init(&n->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&n->changed, &attr);
	pthread_condattr_destroy(&attr);
	*out = n;
	return 0;
}

void wg_names_destroy(struct wg_names *n)
{
	bool running;

	if (!n)
		return;
	pthread_mutex_lock(&n->lock);
	running = n->running;
	n->stop = true;
	pthread_cond_broadcast(&n->changed);
	pthread_mutex_unlock(&n->lock);
	if (!running)
		free_all(n);
}

static size_t drop(struct wg_names *n, const struct wg_device *device, const uint8_t *public_key)
{
	size_t kept = 0;

	for (size_t i = 0; i < n->count; i++) {
		const struct name *name = &n->names[i];

		if (name->device != device ||
		    (public_key && memcmp(name->public_key, public_key, WG_KEY) != 0))
			n->names[kept++] = *name;
	}
	n->count = kept;
	return kept;
}

/* The names of a file, with what is known of them; the others' are put behind. */
static size_t collect(struct wg_names *n, struct wg_device *device, const struct wg_quick *q,
		      struct name *out)
{
	size_t count = 0;

	for (size_t i = 0; i < q->changes.peer_count; i++) {
		struct name name = {.device = device, .host = q->hosts[i]};
		const struct name *known;

		if (!name.host.name[0] || q->peers[i].set & WG_PEER_ENDPOINT)
			continue;
		memcpy(name.public_key, q->peers[i].public_key, WG_KEY);
		known = find(n, &name);
		out[count++] = known ? *known : name;
	}
	for (size_t i = 0; i < n->count; i++)
		if (n->names[i].device != device)
			out[count++] = n->names[i];
	return count;
}

int wg_names_set(struct wg_names *n, struct wg_device *device, const struct wg_quick *q)
{
	struct name *names;
	int rc = -ENOMEM;
	size_t count;

	pthread_mutex_lock(&n->lock);
	names = calloc(n->count + q->changes.peer_count + 1, sizeof(*names));
	if (!names)
		goto unlock;
	count = collect(n, device, q, names);
	rc = count > 0 ? start(n) : 0;
	if (rc < 0) {
		free(names);
		goto unlock;
	}
	free(n->names);
	n->names = names;
	n->count = count;
	pthread_cond_broadcast(&n->changed);
unlock:
	pthread_mutex_unlock(&n->lock);
	return rc;
}

void wg_names_forget(struct wg_names *n, const struct wg_device *device, const uint8_t *public_key)
{
	pthread_mutex_lock(&n->lock);
	drop(n, device, public_key);
	pthread_mutex_unlock(&n->lock);
}

unsigned wg_names_wait(struct wg_names *n, unsigned ms, struct wg_quick_host *missing)
{
	uint64_t until_ns = now_ns() + ms * (WG_NS / 1000);
	const struct name *first;
	unsigned count;

	pthread_mutex_lock(&n->lock);
	for (;;) {
		bool asked = true;

		first = NULL;
		count = 0;
		for (size_t i = n->count; i > 0; i--) {
			const struct name *name = &n->names[i - 1];

			asked &= name->asked;
			count += !name->found;
			first = name->found ? first : name;
		}
		if (asked || now_ns() >= until_ns)
			break;
		wait_until(n, until_ns);
	}
	if (first && missing)
		*missing = first->host;
	pthread_mutex_unlock(&n->lock);
	return count;
}
