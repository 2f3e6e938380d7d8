#include "ctl/client.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "ctl/reply.h"

enum {
	REQUEST_ID = 1,
	RETRY_MS = 50,
	SEND_TIMEOUT_S = 10,
	CHUNK_BYTES = 1 << 16,
	COMPLAINT_MAX = 1024,
};

static const char default_socket[] = SLUICE_RUN_DIR "/sluice0.sock";

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int connect_once(const char *path, int *out)
{
	struct timeval timeout = {.tv_sec = SEND_TIMEOUT_S}; /* of connect too */
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t size = strlen(path) + 1;
	int fd, rc;

	if (size > sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, size);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) != 0 ||
	    connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	*out = fd;
	return 0;
}

/* Try until it works, the time is over, or waiting cannot help. */
static int connect_waiting(const char *path, unsigned wait_ms, int *out)
{
	const struct timespec pause = {.tv_nsec = RETRY_MS * 1000000L};
	int64_t deadline = now_ms() + wait_ms;

	for (;;) {
		int rc = connect_once(path, out);

		if (rc != -ENOENT && rc != -ECONNREFUSED && rc != -EAGAIN)
			return rc;
		if (now_ms() >= deadline)
			return rc;
		nanosleep(&pause, NULL);
	}
}

static int complain_no_daemon(const char *path, int rc)
{
	fprintf(stderr, "sluice: cannot reach the daemon at %s: %s\n", path, strerror(-rc));
	if (rc == -EACCES || rc == -EPERM)
		fprintf(stderr, "        be root, or in the group that owns the socket\n");
	else if (rc == -ENAMETOOLONG)
		fprintf(stderr, "        a socket's path has %zu bytes at most\n",
			sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1);
	else
		fprintf(stderr,
			"        start it with `sluice run`, or name its socket with -S PATH\n");
	return STATUS_NO_DAEMON;
}

static int send_all(int fd, const char *text, size_t size)
{
	while (size > 0) {
		ssize_t n = send(fd, text, size, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		text += n;
		size -= (size_t)n;
	}
	return 0;
}

static int send_request(int fd, const char *method, json_t *params)
{
	json_t *request = json_pack("{s:s, s:i, s:s, s:o*}", "jsonrpc", "2.0", "id", REQUEST_ID,
				    "method", method, "params", params);
	char *text;
	size_t size;
	int rc = -ENOMEM;

	if (request == NULL)
		return rc;
	text = json_dumps(request, JSON_COMPACT);
	if (text != NULL) {
		size = strlen(text);
		text[size] = '\n'; /* in the place of the terminator */
		rc = send_all(fd, text, size + 1);
	}
	free(text);
	json_decref(request);
	return rc;
}

/* What has come in, and how much of it was searched for the end of a line. */
struct inbox {
	char *text;
	size_t size;
	size_t room;
};

static int inbox_grow(struct inbox *in)
{
	size_t room = in->room == 0 ? CHUNK_BYTES : 2 * in->room;
	char *text;

	if (in->size < in->room)
		return 0;
	if (in->size >= CLIENT_REPLY_MAX)
		return -EMSGSIZE;
	text = realloc(in->text, room);
	if (text == NULL)
		return -ENOMEM;
	in->text = text;
	in->room = room;
	return 0;
}

static int wait_readable(int fd, int64_t deadline)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};

	for (;;) {
		int64_t left = deadline - now_ms();
		int n = left > 0 ? poll(&poller, 1, (int)left) : 0;

		if (n > 0)
			return 0;
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

/* Receive up to the end of a line; *line_size bytes of in->text are the line, without its end. */
static int receive_line(int fd, int64_t deadline, struct inbox *in, size_t *line_size)
{
	size_t searched = 0;

	for (;;) {
		char *end = in->size > searched
				    ? memchr(in->text + searched, '\n', in->size - searched)
				    : NULL;
		ssize_t n;
		int rc;

		if (end != NULL) {
			*line_size = (size_t)(end - in->text);
			return 0;
		}
		searched = in->size;
		rc = inbox_grow(in);
		if (rc == 0)
			rc = wait_readable(fd, deadline);
		if (rc != 0)
			return rc;
		n = recv(fd, in->text + in->size, in->room - in->size, 0);
		if (n == 0)
			return -ECONNRESET;
		if (n < 0 && errno != EINTR)
			return -errno;
		in->size += n > 0 ? (size_t)n : 0;
	}
}

/* The reply to our request; what else the daemon says, such as an event, is passed over. */
static int receive_reply(int fd, int64_t deadline, json_t **reply)
{
	struct inbox in = {0};
	int rc;

	for (;;) {
		size_t line_size;
		json_t *object;

		rc = receive_line(fd, deadline, &in, &line_size);
		if (rc != 0)
			break;
		object = json_loadb(in.text, line_size, JSON_REJECT_DUPLICATES, NULL);
		in.size -= line_size + 1;
		memmove(in.text, in.text + line_size + 1, in.size);
		if (!json_is_object(object)) {
			json_decref(object);
			rc = -EBADMSG;
			break;
		}
		/* An error without an id is of a request that could not be read: ours. */
		if (json_integer_value(json_object_get(object, "id")) == REQUEST_ID ||
		    json_object_get(object, "error") != NULL) {
			*reply = object;
			break;
		}
		json_decref(object);
	}
	free(in.text);
	return rc;
}

int client_explain_error(const json_t *error, char *out, size_t size)
{
	const json_t *data = json_object_get(error, "data");
	const char *reason = json_string_value(json_object_get(data, "reason"));
	const char *file = json_string_value(json_object_get(data, "file"));
	const char *text = json_string_value(json_object_get(data, "text"));
	json_int_t line = json_integer_value(json_object_get(data, "line"));
	json_int_t col = json_integer_value(json_object_get(data, "col"));

	if (text == NULL)
		text = json_string_value(json_object_get(error, "message"));
	if (text == NULL)
		text = reason != NULL ? reason : "refused without a reason";
	if (file == NULL || file[0] == '\0')
		snprintf(out, size, "sluice: %s", text);
	else if (line == 0)
		snprintf(out, size, "%s: %s", file, text);
	else
		snprintf(out, size, "%s:%lld:%lld: %s", file, (long long)line, (long long)col,
			 text);
	return reason != NULL && strcmp(reason, "not_found") == 0 ? STATUS_NOT_FOUND
								  : STATUS_REFUSED;
}

static int take_result(const json_t *reply, json_t **result)
{
	const json_t *error = json_object_get(reply, "error");
	json_t *value = json_object_get(reply, "result");
	char complaint[COMPLAINT_MAX];
	int status;

	if (error == NULL && value != NULL) {
		*result = json_incref(value);
		return STATUS_OK;
	}
	status = client_explain_error(error, complaint, sizeof(complaint));
	fprintf(stderr, "%s\n", complaint);
	return status;
}

static int complain_no_answer(const char *path, int rc)
{
	if (rc == -ECONNRESET || rc == -EPIPE)
		fprintf(stderr, "sluice: the daemon at %s hung up\n", path);
	else if (rc == -EBADMSG)
		fprintf(stderr, "sluice: what listens at %s is no Sluice daemon\n", path);
	else
		fprintf(stderr, "sluice: no answer from the daemon at %s: %s\n", path,
			strerror(-rc));
	return STATUS_NO_DAEMON;
}

static int64_t patience_ms(const char *method)
{
	static const char *const long_ones[] = {"reload", "diff", "list.add", "list.del"};

	for (size_t i = 0; i < sizeof(long_ones) / sizeof(long_ones[0]); i++) {
		if (strcmp(method, long_ones[i]) == 0)
			return CLIENT_RELOAD_MS;
	}
	return CLIENT_TIMEOUT_MS;
}

int client_call(const struct options *options, const char *method, json_t *params, json_t **result)
{
	const char *path = options->socket != NULL ? options->socket : default_socket;
	json_t *reply = NULL;
	int fd = -1, status;
	int rc = connect_waiting(path, options->wait_ms, &fd);

	if (rc != 0) {
		json_decref(params);
		return complain_no_daemon(path, rc);
	}
	rc = send_request(fd, method, params);
	/* A daemon that refuses a client may say why before it hangs up. */
	if (rc == 0 || rc == -EPIPE)
		rc = receive_reply(fd, now_ms() + patience_ms(method), &reply);
	status = rc != 0 ? complain_no_answer(path, rc) : take_result(reply, result);
	json_decref(reply);
	close(fd);
	return status;
}

int client_change(const struct options *options, const char *method, json_t *params,
		  void (*print)(const json_t *result))
{
	json_t *result;
	int status = client_call(options, method, params, &result);

	if (status == STATUS_REFUSED || status == STATUS_NOT_FOUND)
		fputs("nothing was changed\n", stderr);
	if (status != STATUS_OK)
		return status;
	if (options->json)
		reply_print_json(result, stdout);
	else
		print(result);
	json_decref(result);
	return STATUS_OK;
}
