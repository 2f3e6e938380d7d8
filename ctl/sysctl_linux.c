/* The network settings under /proc/sys/net that capture reads or changes, of this namespace. */
#include "ctl/sysctl_linux.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RESERVED_PATH "/proc/sys/net/ipv4/ip_local_reserved_ports"

enum {
	PATH_SIZE = 128,
	READ_STEP = 16 * 1024,
	STRICT = 1, /* of rp_filter */
	TIME_WAIT = 6,
};

int sysctl_read(const char *path, char **text, size_t *size)
{
	size_t length = 0, room = 0;
	char *buffer = NULL;
	int rc, fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	for (;;) {
		ssize_t n;

		if (room - length < READ_STEP) {
			char *larger = realloc(buffer, room = 2 * room + 2 * READ_STEP);

			if (!larger) {
				rc = -ENOMEM;
				goto fail;
			}
			buffer = larger;
		}
		n = read(fd, buffer + length, room - length - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			rc = -errno;
			goto fail;
		}
		if (n == 0)
			break;
		length += (size_t)n;
	}
	close(fd);
	buffer[length] = '\0';
	*text = buffer;
	*size = length;
	return 0;
fail:
	close(fd);
	free(buffer);
	return rc;
}

int sysctl_write(const char *path, const char *text, size_t size)
{
	int rc = 0, fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	while (size > 0 && rc == 0) {
		ssize_t n = write(fd, text, size);

		if (n < 0 && errno != EINTR)
			rc = -errno;
		if (n == 0)
			rc = -EIO;
		if (n > 0) {
			text += n;
			size -= (size_t)n;
		}
	}
	close(fd);
	return rc;
}

int sysctl_reserved_get(struct ports *out)
{
	char *text;
	size_t size;
	int rc = sysctl_read(RESERVED_PATH, &text, &size);

	if (rc != 0)
		return rc;
	rc = ports_parse(text, size, out);
	free(text);
	return rc;
}

int sysctl_reserved_set(const struct ports *ports)
{
	char *text = malloc(PORTS_TEXT_MAX + 1);
	size_t size;
	int rc;

	if (!text)
		return -ENOMEM;
	size = ports_format(ports, text, PORTS_TEXT_MAX);
	text[size++] = '\n'; /* alone it makes the set empty */
	rc = sysctl_write(RESERVED_PATH, text, size);
	free(text);
	return rc;
}

static void conf_path(char out[PATH_SIZE], unsigned version, const char *ifname, const char *key)
{
	snprintf(out, PATH_SIZE, "/proc/sys/net/ipv%u/conf/%s/%s", version, ifname, key);
}

int sysctl_conf_get(unsigned version, const char *ifname, const char *key, unsigned *out)
{
	char path[PATH_SIZE], *text, *end;
	unsigned long value;
	size_t size;
	int rc;

	conf_path(path, version, ifname, key);
	rc = sysctl_read(path, &text, &size);
	if (rc != 0)
		return rc;
	value = strtoul(text, &end, 10);
	rc = end == text ? -EINVAL : 0;
	free(text);
	if (rc == 0)
		*out = (unsigned)value;
	return rc;
}

int sysctl_conf_set(unsigned version, const char *ifname, const char *key, unsigned value)
{
	char path[PATH_SIZE], text[16];
	int n = snprintf(text, sizeof text, "%u\n", value);

	conf_path(path, version, ifname, key);
	return sysctl_write(path, text, (size_t)n);
}

/* A real interface other than the loopback and ifname. */
static bool is_other(const char *name, const char *ifname)
{
	static const char *const none[] = {".", "..", "all", "default", "lo"};

	for (size_t i = 0; i < sizeof none / sizeof *none; i++)
		if (strcmp(name, none[i]) == 0)
			return false;
	return strcmp(name, ifname) != 0;
}

bool sysctl_ipv6_exists(void)
{
	return access("/proc/sys/net/ipv6/conf", F_OK) == 0;
}

bool sysctl_ipv6_alive(const char *ifname)
{
	DIR *dir = opendir("/proc/sys/net/ipv6/conf");
	unsigned disabled, others = 0, alive = 0;
	struct dirent *entry;

	if (!dir)
		return false;
	while ((entry = readdir(dir))) {
		if (!is_other(entry->d_name, ifname) ||
		    sysctl_conf_get(6, entry->d_name, "disable_ipv6", &disabled) != 0)
			continue;
		others++;
		alive += disabled == 0;
	}
	closedir(dir);
	/* Without any other interface what new ones will do counts. */
	if (others == 0)
		return sysctl_conf_get(6, "default", "disable_ipv6", &disabled) == 0 &&
		       disabled == 0;
	return alive > 0;
}

bool sysctl_strict_collect(const char *ifname, struct note *note)
{
	DIR *dir = opendir("/proc/sys/net/ipv4/conf");
	bool complete = true;
	struct dirent *entry;
	unsigned all = 0;

	if (!dir)
		return true;
	(void)sysctl_conf_get(4, "all", "rp_filter", &all);
	while ((entry = readdir(dir))) {
		struct note_strict *strict = &note->strict[note->strict_count];
		unsigned own;

		/* The kernel takes the larger of the two; 2 is loose. */
		if (!is_other(entry->d_name, ifname) ||
		    sysctl_conf_get(4, entry->d_name, "rp_filter", &own) != 0 ||
		    (own > all ? own : all) != STRICT)
			continue;
		if (note->strict_count == NOTE_STRICT_MAX) {
			complete = false;
			continue;
		}
		snprintf(strict->name, sizeof strict->name, "%.15s", entry->d_name);
		strict->value = own;
		note->strict_count++;
	}
	closedir(dir);
	return complete;
}

void sysctl_busy_collect(const struct ports *within, struct ports *into)
{
	static const struct {
		const char *path;
		unsigned without;
	} tables[] = {
		{"/proc/net/tcp", TIME_WAIT},
		{"/proc/net/tcp6", TIME_WAIT},
		{"/proc/net/udp", 0},
		{"/proc/net/udp6", 0},
	};

	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
		char *text;
		size_t size;

		if (sysctl_read(tables[i].path, &text, &size) != 0)
			continue;
		connections_ports(text, size, within, tables[i].without, into);
		free(text);
	}
}

void sysctl_connections_collect(struct connections *into)
{
	static const char *const paths[] = {"/proc/net/tcp", "/proc/net/tcp6"};
	enum { TABLES = sizeof paths / sizeof *paths };
	char *texts[TABLES] = {0};
	size_t sizes[TABLES] = {0};
	struct ports listening = {0};

	/* An IPv6 socket may listen for the connections that the other table has. */
	for (size_t i = 0; i < TABLES; i++)
		if (sysctl_read(paths[i], &texts[i], &sizes[i]) == 0)
			connections_listeners(texts[i], sizes[i], &listening);
	for (size_t i = 0; i < TABLES; i++) {
		if (texts[i])
			(void)connections_collect(texts[i], sizes[i], &listening, into);
		free(texts[i]);
	}
}
