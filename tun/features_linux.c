/* Device features by ethtool's ioctl: names first, since the bits have no fixed places. */
#include "tun/features_linux.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const needed[] = {
	"tx-scatter-gather",
	"tx-tcp-segmentation",
	"tx-tcp6-segmentation",
	"tx-udp-segmentation",
};

enum {
	NEEDED = sizeof(needed) / sizeof(needed[0]),
	FEATURES_MAX = 256, /* the kernel has about 60 */
};

static bool ask(int fd, const char *name, void *command)
{
	struct ifreq request = {.ifr_data = command};

	strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
	return ioctl(fd, SIOCETHTOOL, &request) == 0;
}

/* How many features the kernel knows; 0 if it does not say. */
static unsigned feature_count(int fd, const char *name)
{
	uint32_t count,
		buffer[(sizeof(struct ethtool_sset_info) + sizeof(uint32_t)) / sizeof(uint32_t)];
	struct ethtool_sset_info info = {.cmd = ETHTOOL_GSSET_INFO,
					 .sset_mask = 1ull << ETH_SS_FEATURES};

	memcpy(buffer, &info, sizeof(info));
	if (!ask(fd, name, buffer))
		return 0;
	memcpy(&info, buffer, sizeof(info));
	count = buffer[sizeof(info) / sizeof(uint32_t)]; /* the answer stands behind the head */
	return info.sset_mask != 0 && count <= FEATURES_MAX ? count : 0;
}

static bool is_active(const struct ethtool_gfeatures *features, unsigned index)
{
	return features->features[index / 32].active >> index % 32 & 1;
}

static bool has_all(const struct ethtool_gstrings *names, const struct ethtool_gfeatures *features)
{
	unsigned found = 0;

	for (unsigned i = 0; i < names->len; i++) {
		const char *name = (const char *)names->data + (size_t)i * ETH_GSTRING_LEN;

		for (unsigned n = 0; n < NEEDED; n++)
			found += strncmp(name, needed[n], ETH_GSTRING_LEN) == 0 &&
				 is_active(features, i);
	}
	return found == NEEDED;
}

bool device_takes_super_packets(const char *name)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ethtool_gstrings *names = NULL;
	struct ethtool_gfeatures *features = NULL;
	bool all = false;
	unsigned count, blocks;

	if (fd < 0)
		return false;
	count = feature_count(fd, name);
	blocks = (count + 31) / 32;
	names = calloc(1, sizeof(*names) + (size_t)count * ETH_GSTRING_LEN);
	features = calloc(1, sizeof(*features) + blocks * sizeof(features->features[0]));
	if (count == 0 || !names || !features)
		goto out;
	*names = (struct ethtool_gstrings){
		.cmd = ETHTOOL_GSTRINGS, .string_set = ETH_SS_FEATURES, .len = count};
	*features = (struct ethtool_gfeatures){.cmd = ETHTOOL_GFEATURES, .size = blocks};
	if (ask(fd, name, names) && ask(fd, name, features))
		all = has_all(names, features);
out:
	free(names);
	free(features);
	close(fd);
	return all;
}
