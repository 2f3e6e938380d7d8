/* The device itself: its life, its queue of messages, its thread. See device.h and state.h. */
#include "dataplane/wireguard/device.h"

#include <errno.h>
#include <openssl/rand.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/check.h"
#include "dataplane/pipe.h"
#include "dataplane/ring.h"
#include "dataplane/wireguard/state.h"

struct wg_post {
	struct udp_endpoint from;
	uint32_t *waiting; /* of its source */
	uint32_t len;
	uint8_t data[WG_MESSAGE_MAX];
};

void wg_random_bytes(struct wg_device *d, void *out, size_t size)
{
	if (d->options.random)
		d->options.random(d->options.context, out, size);
	else
		CHECK(RAND_bytes(out, (int)size) == 1);
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * WG_NS + (uint64_t)now.tv_nsec;
}

uint64_t wg_wall_ns(struct wg_device *d)
{
	return d->options.wall_ns ? d->options.wall_ns(d->options.context)
				  : clock_ns(CLOCK_REALTIME);
}

static int posts_init(struct wg_posts *p, unsigned count)
{
	size_t size = ring_size_bytes(count);

	p->source_max = count / 2;
	p->memory = calloc(count, sizeof(*p->memory));
	p->waiting = aligned_alloc(RING_LINE, size);
	p->room = aligned_alloc(RING_LINE, size);
	if (!p->memory || !p->waiting || !p->room)
		return -ENOMEM;
	CHECK(ring_init(p->waiting, count, RING_MULTI, RING_SINGLE) == 0);
	CHECK(ring_init(p->room, count, RING_SINGLE, RING_MULTI) == 0);
	for (unsigned i = 0; i < count; i++) {
		void *post = &p->memory[i];

		ring_enqueue_burst(p->room, &post, 1);
	}
	return 0;
}

static void posts_fini(struct wg_posts *p)
{
	free(p->room);
	free(p->waiting);
	free(p->memory);
}

static int memory_init(struct wg_device *d)
{
	d->roster = calloc(1, sizeof(*d->roster));
	d->owners = calloc(INDEX_SLOTS, sizeof(*d->owners));
	d->keypairs = calloc(INDEX_SLOTS, sizeof(struct wg_keypair *));
	d->limiter = wg_limiter_create(d->seed);
	if (!d->roster || !d->owners || !d->keypairs || !d->limiter ||
	    claims_copy(NULL, 0, &d->claims) < 0 || claims_build(d->claims, &d->allowed) < 0)
		return -ENOMEM;
	if (posts_init(&d->posts[false], WG_POST_MAX) < 0)
		return -ENOMEM;
	return posts_init(&d->posts[true], WG_POST_COOKIE_MAX);
}

int wg_device_create(const struct wg_device_options *options, struct wg_device **out)
{
	struct wg_device *d;
	int rc;

	if (options->workers == 0)
		return -EINVAL;
	d = secret_map(sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->options = *options;
	d->port = options->port;
	d->mark = options->mark;
	d->wall_floor_ns = options->wall_floor_ns;
	d->due_ns = NEVER;
	pthread_mutex_init(&d->lock, NULL);
	secret_pool_init(&d->member_pool, sizeof(struct wg_member));
	secret_pool_init(&d->keypair_pool, sizeof(struct wg_keypair));
	wg_random_bytes(d, &d->seed, sizeof(d->seed));
	rc = pipe_open(d->pipe);
	if (rc < 0)
		goto unmap;
	rc = wg_crypto_create(&d->crypto);
	if (rc == 0)
		rc = wg_aead_create(options->aead, &d->aead);
	if (rc == 0)
		rc = memory_init(d);
	if (rc < 0) {
		wg_device_destroy(d);
		return rc;
	}
	*out = d;
	return 0;
unmap:
	pthread_mutex_destroy(&d->lock);
	secret_unmap(d, sizeof(*d));
	return rc;
}

void wg_device_destroy(struct wg_device *d)
{
	if (!d)
		return;
	wg_device_stop(d);
	secret_pool_fini(&d->keypair_pool);
	secret_pool_fini(&d->member_pool);
	posts_fini(&d->posts[true]);
	posts_fini(&d->posts[false]);
	wg_allowed_destroy(d->allowed);
	claims_destroy(d->claims);
	wg_limiter_destroy(d->limiter);
	free(d->keypairs);
	free(d->owners);
	free(d->roster);
	wg_aead_destroy(d->aead);
	wg_crypto_destroy(d->crypto);
	pipe_close(d->pipe);
	pthread_mutex_destroy(&d->lock);
	secret_unmap(d, sizeof(*d));
}

/* Whether a message claims a cookie: so does nobody who has not heard of one, or lies. */
static bool has_mac2(const uint8_t *data, size_t len)
{
	static const uint8_t none[WG_COOKIE];

	return (len == WG_INITIATION_SIZE || len == WG_RESPONSE_SIZE) &&
	       memcmp(data + len - WG_COOKIE, none, WG_COOKIE) != 0;
}

bool wg_device_post(struct wg_device *d, const uint8_t *data, size_t len,
		    const struct udp_endpoint *endpoint)
{
	struct wg_posts *posts = &d->posts[has_mac2(data, len)];
	uint32_t *waiting = &posts->sources[wg_source_hash(endpoint, d->seed) % POST_SOURCES];
	struct wg_post *post;
	void *object;

	/* One source leaves room for others. */
	if (len > WG_MESSAGE_MAX ||
	    __atomic_load_n(waiting, __ATOMIC_RELAXED) >= posts->source_max ||
	    ring_dequeue_burst(posts->room, &object, 1) == 0) {
		__atomic_fetch_add(&d->posts_lost, 1, __ATOMIC_RELAXED);
		return false;
	}
	__atomic_fetch_add(waiting, 1, __ATOMIC_RELAXED);
	post = object;
	post->waiting = waiting;
	post->from = *endpoint;
	post->len = (uint32_t)len;
	memcpy(post->data, data, len);
	/* There is room: each ring holds them all. A full pipe wakes as well. */
	ring_enqueue_burst(posts->waiting, &object, 1);
	/* [wg-post-1] The message before the flag; pairs with [wg-post-2]. */
	return __atomic_exchange_n(&d->posted, 1, __ATOMIC_ACQ_REL) != 0 ||
	       write(d->pipe[1], "", 1) >= 0 || errno == EAGAIN;
}

/* Under load once many messages wait, and for a second after. */
static bool under_load(struct wg_device *d, unsigned waiting, uint64_t now_ns)
{
	if (waiting >= WG_UNDER_LOAD) {
		d->loaded = true;
		d->loaded_ns = now_ns;
	} else if (d->loaded && now_ns - d->loaded_ns >= UNDER_LOAD_TIME) {
		d->loaded = false;
	}
	return d->loaded;
}

void wg_device_receive(struct wg_device *d, const uint8_t *data, size_t len,
		       const struct udp_endpoint *endpoint, uint64_t now_ns)
{
	pthread_mutex_lock(&d->lock);
	wg_receive(d, data, len, endpoint, under_load(d, 0, now_ns), now_ns);
	wg_session_reclaim(d);
	pthread_mutex_unlock(&d->lock);
}

/*
 * Those with a second MAC and those without in turn: neither kind keeps the other from being heard.
 *
 * Returns: whether more may wait
 */
static bool serve_posts(struct wg_device *d, uint64_t now_ns)
{
	for (unsigned i = 0; i < SERVE_MAX; i++) {
		struct wg_posts *posts = &d->posts[i % 2];
		unsigned waiting = ring_count_racy(posts->waiting);
		struct wg_post *post;
		void *object = NULL;

		if (waiting == 0) {
			posts = &d->posts[1 - i % 2];
			waiting = ring_count_racy(posts->waiting);
		}
		if (ring_dequeue_burst(posts->waiting, &object, 1) == 0)
			return false;
		CHECK(object);
		post = object;
		wg_receive(d, post->data, post->len, &post->from, under_load(d, waiting, now_ns),
			   now_ns);
		__atomic_fetch_sub(post->waiting, 1, __ATOMIC_RELAXED);
		ring_enqueue_burst(posts->room, &object, 1);
	}
	return true;
}

static void serve_marks(struct wg_device *d, uint64_t now_ns)
{
	for (unsigned w = 0; w < MARK_WORDS; w++) {
		/* [wg-mark-2] The bits before the marks; pairs with [wg-mark-1]. */
		uint64_t bits = __atomic_load_n(&d->marked[w], __ATOMIC_RELAXED)
					? __atomic_exchange_n(&d->marked[w], 0, __ATOMIC_ACQUIRE)
					: 0;

		for (; bits != 0; bits &= bits - 1) {
			unsigned number = w * 64 + (unsigned)__builtin_ctzll(bits);
			struct wg_peer *peer = d->allowed->peers[number];

			if (peer)
				wg_member_attend(d, member_of(peer), now_ns);
		}
	}
}

static void serve_timers(struct wg_device *d, uint64_t now_ns)
{
	uint64_t due_ns = NEVER;

	if (now_ns < d->due_ns)
		return;
	for (unsigned i = 0; i < d->roster->count; i++) {
		uint64_t member_ns = wg_timers_run(d, d->roster->members[i], now_ns);

		due_ns = member_ns < due_ns ? member_ns : due_ns;
	}
	d->due_ns = due_ns;
}

uint64_t wg_device_serve(struct wg_device *d, uint64_t now_ns)
{
	uint64_t due_ns;
	char bytes[64];

	while (read(d->pipe[0], bytes, sizeof(bytes)) > 0)
		;
	/* [wg-post-2] The flag before the messages; pairs with [wg-post-1]. */
	__atomic_exchange_n(&d->posted, 0, __ATOMIC_ACQ_REL);
	pthread_mutex_lock(&d->lock);
	serve_marks(d, now_ns);
	due_ns = serve_posts(d, now_ns) ? now_ns : NEVER;
	serve_timers(d, now_ns);
	if (d->due_ns < due_ns)
		due_ns = d->due_ns;
	wg_session_reclaim(d);
	wg_aead_forget(d->aead);
	pthread_mutex_unlock(&d->lock);
	return due_ns;
}

int wg_device_fd(const struct wg_device *d)
{
	return d->pipe[0];
}

uint64_t wg_device_now_ns(void)
{
#ifdef CLOCK_BOOTTIME
	return clock_ns(CLOCK_BOOTTIME);
#else
	return clock_ns(CLOCK_MONOTONIC);
#endif
}

/* poll() counts no time while the machine sleeps: looked at again when it has woken, or soon. */
static int sleep_ms(uint64_t now_ns, uint64_t due_ns)
{
	uint64_t ms;

	if (due_ns == NEVER)
		return -1;
	ms = due_ns > now_ns ? (due_ns - now_ns + WG_NS / 1000 - 1) / (WG_NS / 1000) : 0;
	return ms < 10000 ? (int)ms : 10000;
}

static void *device_main(void *device)
{
	struct wg_device *d = device;
	struct pollfd wait = {.fd = d->pipe[0], .events = POLLIN};

	while (!__atomic_load_n(&d->stop, __ATOMIC_RELAXED)) {
		uint64_t due_ns = wg_device_serve(d, wg_device_now_ns());

		poll(&wait, 1, sleep_ms(wg_device_now_ns(), due_ns));
	}
	return NULL;
}

int wg_device_start(struct wg_device *d)
{
	int rc;

	__atomic_store_n(&d->stop, 0, __ATOMIC_RELAXED);
	rc = -pthread_create(&d->thread, NULL, device_main, d);
	d->started = rc == 0;
	return rc;
}

void wg_device_stop(struct wg_device *d)
{
	if (!d->started)
		return;
	__atomic_store_n(&d->stop, 1, __ATOMIC_RELAXED);
	while (write(d->pipe[1], "", 1) < 0 && errno == EINTR)
		;
	pthread_join(d->thread, NULL);
	d->started = false;
}

void wg_device_review_sources(struct wg_device *d, const struct wg_ways *ways)
{
	static const uint8_t none[16];

	pthread_mutex_lock(&d->lock);
	for (unsigned i = 0; i < d->roster->count; i++) {
		struct wg_peer *peer = &d->roster->members[i]->peer;
		struct udp_endpoint endpoint;

		if (wg_peer_endpoint(peer, &endpoint) && endpoint.link &&
		    memcmp(endpoint.source, none, sizeof(none)) != 0 &&
		    !ways->stands(ways->context, &endpoint, d->mark))
			wg_peer_forget_source(peer, endpoint.source);
	}
	pthread_mutex_unlock(&d->lock);
}

uint64_t wg_device_wall_floor(struct wg_device *d)
{
	return __atomic_load_n(&d->wall_floor_ns, __ATOMIC_RELAXED);
}

bool wg_device_is_silent(struct wg_device *d, const uint8_t public_key[WG_KEY])
{
	struct udp_endpoint ignored;
	const struct wg_member *m;
	bool silent;

	pthread_mutex_lock(&d->lock);
	m = wg_roster_find(d, d->roster, public_key);
	silent = m && (m->unanswered >= SILENT_AFTER || !wg_peer_endpoint(&m->peer, &ignored));
	pthread_mutex_unlock(&d->lock);
	return silent;
}

void wg_device_read_counters(struct wg_device *d, struct wg_device_counters *out)
{
	pthread_mutex_lock(&d->lock);
	*out = d->counters;
	out->posts_lost = __atomic_load_n(&d->posts_lost, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&d->lock);
}
