/* Endpoints that are names: who is asked, when, and what becomes of the answer. */
#include "ctl/wireguard/names.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define KEY0 "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
#define KEY1 "IB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgE="
#define KEY2 "IB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgI="
#define HEAD "[Interface]\nPrivateKey = " KEY0 "\n"
#define PEER1 "[Peer]\nPublicKey = " KEY1 "\nAllowedIPs = 10.0.0.1\n"
#define PEER2 "[Peer]\nPublicKey = " KEY2 "\nAllowedIPs = 10.0.0.2\n"

TestSuite(ctl_wg_names, .timeout = 60);

/* A device, and a name server that says what it is told to. */
struct play {
	struct wg_device *device;
	struct wg_names *names;
	struct wg_quick quick;
	uint64_t now_ns;

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	unsigned asked;
	uint8_t last; /* byte of the address; 0: there is no such name */
	bool slow;    /* no answer before this is over */
	bool waiting;
};

static int look_up(void *context, const struct wg_quick_host *host, struct udp_endpoint *out)
{
	struct play *p = context;
	int rc;

	pthread_mutex_lock(&p->lock);
	p->asked++;
	p->waiting = p->slow;
	pthread_cond_broadcast(&p->changed);
	while (p->slow)
		pthread_cond_wait(&p->changed, &p->lock);
	p->waiting = false;
	rc = p->last ? 0 : -ENOENT;
	if (rc == 0)
		*out = (struct udp_endpoint){
			.version = 4, .addr = {192, 0, 2, p->last}, .port = host->port};
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	return rc;
}

static void parse(struct play *p, const char *text)
{
	struct conf_error err;

	wg_quick_free(&p->quick);
	cr_assert_eq(wg_quick_parse(text, strlen(text), &p->quick, &err), 0, "%s", err.text);
	wg_quick_resolve(&p->quick);
}

static void set(struct play *p, const char *text)
{
	parse(p, text);
	cr_assert_eq(wg_device_apply(p->device, &p->quick.changes, p->now_ns), 0);
	cr_assert_eq(wg_names_set(p->names, p->device, &p->quick), 0);
}

static void begin(struct play *p)
{
	const struct wg_device_options device = {.workers = 1, .aead = WG_AEAD_LIBCRYPTO};
	const struct wg_names_options names = {.look_up = look_up,
					       .context = p,
					       .missing_ns = 1000000,
					       .silent_ns = 1000000,
					       .most_ns = 4000000};

	*p = (struct play){.last = 1, .now_ns = 1000 * WG_NS};
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	cr_assert_eq(wg_device_create(&device, &p->device), 0);
	cr_assert_eq(wg_names_create(&names, &p->names), 0);
}

static void end(struct play *p)
{
	wg_names_destroy(p->names);
	wg_device_destroy(p->device);
	wg_quick_free(&p->quick);
}

static unsigned asked(struct play *p)
{
	unsigned n;

	pthread_mutex_lock(&p->lock);
	n = p->asked;
	pthread_mutex_unlock(&p->lock);
	return n;
}

static void answer(struct play *p, uint8_t last)
{
	pthread_mutex_lock(&p->lock);
	p->last = last;
	p->slow = false;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

/* The last byte of where a peer is said to be; 0: nowhere. */
static uint8_t where(struct play *p, size_t peer)
{
	struct wg_snapshot *now;
	uint8_t last;

	cr_assert_eq(wg_device_read(p->device, &now), 0);
	cr_assert_lt(peer, now->peer_count);
	last = now->peers[peer].endpoint.version ? now->peers[peer].endpoint.addr[3] : 0;
	wg_snapshot_free(now);
	return last;
}

/* The test's time ends it if it never comes. */
static void wait_for(struct play *p, size_t peer, uint8_t last)
{
	while (where(p, peer) != last)
		usleep(500);
}

/* Two initiations that nobody answers. */
static void fall_silent(struct play *p)
{
	wg_peer_want_session(wg_device_allowed(p->device)->peers[1]);
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_not(wg_device_is_silent(p->device, p->quick.peers[0].public_key));
		wg_device_serve(p->device, p->now_ns);
		p->now_ns += 6 * WG_NS;
	}
	cr_assert(wg_device_is_silent(p->device, p->quick.peers[0].public_key));
}

Test(ctl_wg_names, names_are_looked_up_and_addresses_are_not)
{
	struct play p;

	begin(&p);
	cr_assert_eq(wg_names_wait(p.names, 0, NULL), 0, "there are none");
	set(&p, HEAD PEER1 "Endpoint = here.example:7\n" PEER2 "Endpoint = 192.0.2.77:7\n");
	cr_assert_eq(wg_names_wait(p.names, 50000, NULL), 0);
	cr_assert_eq(where(&p, 0), 1);
	cr_assert_eq(where(&p, 1), 77);
	/* Nobody is silent: many looks later it has been asked once. */
	usleep(20000);
	cr_assert_eq(asked(&p), 1);
	/* The same again is nothing new; another name is. */
	set(&p, HEAD PEER1 "Endpoint = here.example:7\n");
	cr_assert_eq(wg_names_wait(p.names, 50000, NULL), 0);
	cr_assert_eq(asked(&p), 1);
	answer(&p, 2);
	set(&p, HEAD PEER1 "Endpoint = there.example:7\n");
	wait_for(&p, 0, 2);
	cr_assert_eq(asked(&p), 2);
	end(&p);
}

Test(ctl_wg_names, a_silent_peer_is_sought_again)
{
	struct play p;

	begin(&p);
	set(&p, HEAD PEER1 "Endpoint = here.example:7\n");
	cr_assert_eq(wg_names_wait(p.names, 50000, NULL), 0);
	fall_silent(&p);
	answer(&p, 3);
	wait_for(&p, 0, 3);
	answer(&p, 4); /* it is silent still */
	wait_for(&p, 0, 4);
	end(&p);
}

Test(ctl_wg_names, what_is_not_found_is_sought_further)
{
	struct wg_quick_host missing = {0};
	struct play p;

	begin(&p);
	answer(&p, 0);
	set(&p, HEAD PEER1 "Endpoint = here.example:7\n");
	cr_assert_eq(wg_names_wait(p.names, 50000, &missing), 1);
	cr_assert_str_eq(missing.name, "here.example");
	cr_assert_eq(where(&p, 0), 0);
	cr_assert(wg_device_is_silent(p.device, p.quick.peers[0].public_key), "it is nowhere");
	answer(&p, 5);
	wait_for(&p, 0, 5);
	cr_assert_eq(wg_names_wait(p.names, 50000, NULL), 0);
	end(&p);
}

Test(ctl_wg_names, who_is_told_where_a_peer_is_asks_no_more)
{
	struct play p;
	unsigned before;

	begin(&p);
	set(&p, HEAD PEER1 "Endpoint = here.example:7\n");
	cr_assert_eq(wg_names_wait(p.names, 50000, NULL), 0);
	wg_names_forget(p.names, p.device, p.quick.peers[0].public_key);
	before = asked(&p);
	fall_silent(&p);
	answer(&p, 6);
	usleep(20000);
	cr_assert_eq(asked(&p), before);
	cr_assert_eq(where(&p, 0), 1);
	end(&p);
}

/* The device and its owner do not wait for a name server, and it may answer to nobody. */
Test(ctl_wg_names, an_answer_may_come_too_late)
{
	struct play p;

	begin(&p);
	p.slow = true;
	set(&p, HEAD PEER1 "Endpoint = here.example:7\n");
	pthread_mutex_lock(&p.lock);
	while (!p.waiting)
		pthread_cond_wait(&p.changed, &p.lock);
	pthread_mutex_unlock(&p.lock);
	cr_assert_eq(wg_names_wait(p.names, 1, NULL), 1);
	wg_names_forget(p.names, p.device, NULL);
	cr_assert_eq(wg_names_wait(p.names, 50000, NULL), 0, "there are none any more");
	end(&p);
	answer(&p, 9);
	pthread_mutex_lock(&p.lock);
	while (p.waiting)
		pthread_cond_wait(&p.changed, &p.lock);
	pthread_mutex_unlock(&p.lock);
	usleep(5000); /* its thread sees that there is nothing left to do */
}
