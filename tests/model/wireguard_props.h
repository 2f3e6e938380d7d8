/*
 * What a device does with any datagram: for fuzzing, and a unit test.
 *
 * The unauthenticated get no answer. Only a device under load answers, to a message with a right
 * first MAC and no second one, by one cookie reply, which is no longer than the message.
 */
#ifndef SLUICE_TESTS_MODEL_WIREGUARD_PROPS_H
#define SLUICE_TESTS_MODEL_WIREGUARD_PROPS_H

#include <stddef.h>
#include <stdint.h>

enum {
	WIREGUARD_PROPS_MAC = 1,   /* flags: make the first MAC right */
	WIREGUARD_PROPS_LOAD = 2,  /* the device is under load */
	WIREGUARD_PROPS_TYPE = 4,  /* make it a handshake message, of the right length */
	WIREGUARD_PROPS_NOISE = 8, /* the first key is read right: a known peer's, unauthentic */
};

/* Gives a device one datagram and checks what it does; aborts if it is not as above. */
void wireguard_props_hold(uint8_t flags, const uint8_t *data, size_t size);

#endif
