/* See listener.h. */
#include "ctl/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	BACKLOG = 64,
};

/* The folder of the socket, made if it is missing. */
static int make_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder;
	int fd, rc = 0;

	if (slash == NULL || slash == path)
		return 0;
	folder = strndup(path, (size_t)(slash - path));
	if (folder == NULL)
		return -ENOMEM;
	if (mkdir(folder, 0755) == 0) {
		/* Whatever the umask: others must be able to pass. */
		fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		rc = fd >= 0 && fchmod(fd, 0755) == 0 ? 0 : -errno;
		if (fd >= 0)
			close(fd);
	} else if (errno != EEXIST) {
		rc = -errno;
	}
	free(folder);
	return rc;
}

/* Remove a socket that nobody listens on. 0 if nothing stands at the path afterwards. */
static int remove_stale(const struct sockaddr_un *address, struct rpc_error *err)
{
	struct stat st;
	int fd, rc;

	if (lstat(address->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode)) {
		rpc_error_set(err, 0, "path", "%s: %s stands there, not a socket",
			      address->sun_path,
			      S_ISLNK(st.st_mode) ? "a symbolic link" : "something else");
		return -EEXIST;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	rc = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
	close(fd);
	if (rc == -ECONNREFUSED)
		return unlink(address->sun_path) == 0 || errno == ENOENT ? 0 : -errno;
	if (rc == 0 || rc == -EAGAIN || rc == -EPROTOTYPE) {
		rpc_error_set(err, 0, "path", "%s: another program listens there",
			      address->sun_path);
		return -EADDRINUSE;
	}
	return rc == -ENOENT ? 0 : rc;
}

static int find_group(const char *name, gid_t *gid, struct rpc_error *err)
{
	const struct group *group = getgrnam(name);

	if (group == NULL) {
		rpc_error_set(err, 0, "group", "no group \"%.64s\"", name);
		return -ESRCH;
	}
	*gid = group->gr_gid;
	return 0;
}

/*
 * Give the bound socket its group and mode, and remember what it is. By descriptor: a path could
 * be made to lead elsewhere between two calls.
 */
static int adorn(struct listener *listener, const char *path,
		 const struct listener_options *options, struct rpc_error *err)
{
	char link[64];
	struct stat st;
	gid_t gid = (gid_t)-1;
	int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int rc = fd >= 0 ? 0 : -errno;

	if (rc == 0 && (fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode)))
		rc = -EEXIST;
	if (rc == 0) {
		listener->dev = st.st_dev;
		listener->ino = st.st_ino;
	}
	if (rc == 0 && options->group != NULL)
		rc = find_group(options->group, &gid, err);
	if (rc == 0 && gid != (gid_t)-1 && fchownat(fd, "", (uid_t)-1, gid, AT_EMPTY_PATH) < 0)
		rc = -errno;
	if (rc == 0) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		rc = chmod(link, options->mode) == 0 ? 0 : -errno;
	}
	if (fd >= 0)
		close(fd);
	return rc;
}

static void remove_socket(const struct listener *listener)
{
	struct stat st;

	if (lstat(listener->path, &st) == 0 && st.st_dev == listener->dev &&
	    st.st_ino == listener->ino)
		unlink(listener->path);
}

/*
 * Listen at a name beside the path, then move there: whoever finds the socket can connect. (The
 * program wg removes one that refuses it.)
 */
static int bind_and_listen(struct listener *listener, const struct listener_options *options,
			   struct rpc_error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t size = strlen(listener->path);
	int rc;

	if (size + 1 >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, listener->path, size);
	rc = make_folder(listener->path);
	if (rc == 0)
		rc = remove_stale(&address, err);
	if (rc < 0)
		return rc;
	/*
	 * The mode that a socket has before bind() is that of the file it makes: nobody else can
	 * connect until adorn(), and the umask, which all threads share, stays as it is.
	 */
	address.sun_path[size] = '~';
	unlink(address.sun_path); /* of one that was killed */
	if (fchmod(listener->fd, 0600) < 0 ||
	    bind(listener->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	rc = adorn(listener, address.sun_path, options, err);
	if (rc == 0 &&
	    (listen(listener->fd, BACKLOG) < 0 ||
	     renameat2(AT_FDCWD, address.sun_path, AT_FDCWD, listener->path, RENAME_NOREPLACE) < 0))
		rc = errno == EEXIST ? -EADDRINUSE : -errno;
	if (rc < 0)
		unlink(address.sun_path);
	return rc;
}

/* What another program made. */
static int adopt(struct listener *l)
{
	struct stat st;
	int flags = fcntl(l->fd, F_GETFL);

	if (flags < 0 || fcntl(l->fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(l->fd, F_SETFD, FD_CLOEXEC) < 0 || lstat(l->path, &st) < 0)
		return -errno;
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	return 0;
}

int listener_open(const struct listener_options *options, struct listener *out,
		  struct rpc_error *err)
{
	struct listener l = {.path = strdup(options->path), .fd = options->fd};
	int rc = -ENOMEM;

	if (l.path == NULL)
		return rc;
	if (options->fd >= 0) {
		rc = adopt(&l);
	} else {
		l.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		rc = l.fd < 0 ? -errno : bind_and_listen(&l, options, err);
	}
	if (rc < 0) {
		if (l.fd >= 0)
			close(l.fd);
		free(l.path);
		return rc;
	}
	*out = l;
	return 0;
}

void listener_close(struct listener *l)
{
	remove_socket(l);
	close(l->fd);
	free(l->path);
}
