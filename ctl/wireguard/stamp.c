/* See stamp.h. */
#include "ctl/wireguard/stamp.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/wireguard/text.h"

enum {
	LINE_MAX_BYTES = 24,
};

#define LAG_MIN (5 * WG_NS)

static int read_seconds(const char *path, uint64_t *out)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char line[LINE_MAX_BYTES];
	ssize_t n;
	int rc;

	if (fd < 0)
		return -errno;
	n = read(fd, line, sizeof(line));
	rc = n < 0 ? -errno : 0;
	close(fd);
	if (rc < 0)
		return rc;
	if (n == 0 || line[n - 1] != '\n' ||
	    !wg_number_parse(line, (size_t)n - 1, UINT64_MAX / WG_NS / 2, out))
		return -EINVAL;
	return 0;
}

int wg_stamp_open(struct wg_stamp *s, const char *folder, const char *name, uint64_t wall_ns)
{
	uint64_t seconds;
	int rc;

	*s = (struct wg_stamp){0};
	if (snprintf(s->path, sizeof(s->path), "%s/%s.stamp", folder, name) >=
	    (int)sizeof(s->path)) {
		s->path[0] = '\0';
		return -ENAMETOOLONG;
	}
	rc = read_seconds(s->path, &seconds);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	s->kept_ns = s->given_ns = seconds * WG_NS;
	/* Some may have been sent and not been kept. With a clock that goes on they are past. */
	if (wall_ns < s->kept_ns)
		s->given_ns += WG_STAMP_GAP;
	return 0;
}

uint64_t wg_stamp_lag_s(uint64_t sent_ns, uint64_t wall_ns)
{
	return sent_ns > wall_ns + LAG_MIN ? (sent_ns - wall_ns) / WG_NS : 0;
}

static int write_line(const char *path, uint64_t seconds)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	char line[LINE_MAX_BYTES];
	int size, rc = 0;

	if (fd < 0)
		return -errno;
	size = snprintf(line, sizeof(line), "%" PRIu64 "\n", seconds);
	errno = EIO; /* of a write that is cut short */
	if (write(fd, line, (size_t)size) != size || fdatasync(fd) < 0)
		rc = -errno;
	if (close(fd) < 0 && rc == 0)
		rc = -errno;
	return rc;
}

int wg_stamp_keep(struct wg_stamp *s, uint64_t sent_ns, uint64_t gap_ns)
{
	char made[WG_STAMP_PATH_MAX + 4];
	char *slash = strrchr(s->path, '/');
	int rc;

	if (sent_ns <= s->given_ns || sent_ns < s->kept_ns + gap_ns || slash == NULL)
		return 0;
	s->kept_ns = sent_ns;
	*slash = '\0';
	rc = mkdir(s->path, 0700) == 0 || errno == EEXIST ? 0 : -errno;
	*slash = '/';
	if (rc < 0)
		return rc;
	snprintf(made, sizeof(made), "%s.new", s->path);
	rc = write_line(made, sent_ns / WG_NS + 1);
	if (rc == 0 && rename(made, s->path) < 0)
		rc = -errno;
	if (rc < 0)
		unlink(made);
	return rc;
}
