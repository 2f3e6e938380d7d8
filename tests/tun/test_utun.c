/* macOS's utun on a faked kernel: names, options, the four bytes before each packet, errors. */
#include "tun/tun.h"

#include "tests/tun/fakes/utun_kernel.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

TestSuite(tun_utun, .init = utun_kernel_reset);

enum {
	BURST = 8,
};

static uint8_t bytes[BURST][BUF_SIZE];
static struct buf bufs[BURST];
static struct buf *list[BURST];

static struct tun *open_utun(void)
{
	const struct tun_options options = {.name = "utun3", .queues = 1, .fd = -1};
	struct tun *tun = NULL;
	int rc = tun_open(&options, &tun);

	cr_assert_eq(rc, 0, "tun_open: %d", rc);
	for (unsigned i = 0; i < BURST; i++) {
		bufs[i].data = bytes[i];
		list[i] = &bufs[i];
	}
	return tun;
}

Test(tun_utun, open_chooses_a_unit)
{
	static const struct {
		const char *name;
		int rc;
		uint32_t unit;
		const char *got;
	} cases[] = {
		{NULL, 0, 0, "utun4"},
		{"", 0, 0, "utun4"},
		{"utun0", 0, 1, "utun0"},
		{"utun12", 0, 13, "utun12"},
		{"utun", -EINVAL, 0, NULL},
		{"utun-1", -EINVAL, 0, NULL},
		{"utun+1", -EINVAL, 0, NULL},
		{"utun 1", -EINVAL, 0, NULL},
		{"utun01", -EINVAL, 0, NULL},
		{"utun1x", -EINVAL, 0, NULL},
		{"utun4294967296", -EINVAL, 0, NULL},
		{"utun99999999999999999999", -EINVAL, 0, NULL},
		{"tun0", -EINVAL, 0, NULL},
		{"en0", -EINVAL, 0, NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct tun_options options = {.name = cases[i].name, .queues = 1, .fd = -1};
		const char *name = cases[i].name ? cases[i].name : "NULL";
		struct tun *tun = NULL;
		int rc = tun_open(&options, &tun);

		cr_expect_eq(rc, cases[i].rc, "%s: %d, expected %d", name, rc, cases[i].rc);
		cr_expect_eq(utun_kernel.open_fds, rc == 0 ? 1 : 0, "%s: descriptors", name);
		if (tun) {
			cr_expect_eq(utun_kernel.unit, cases[i].unit, "%s: unit %u", name,
				     utun_kernel.unit);
			cr_expect_str_eq(tun_name(tun), cases[i].got);
			cr_expect_eq(tun_queue_fd(tun_queue_at(tun, 0)), UTUN_KERNEL_FD);
			cr_expect_eq(utun_kernel.fd_flags, FD_CLOEXEC);
			cr_expect_eq(utun_kernel.status_flags, O_NONBLOCK);
			cr_expect_str_eq(tun_offloads(tun), "none");
			cr_expect_eq(tun_queue_count(tun), 1);
		}
		tun_close(tun);
		cr_expect_eq(utun_kernel.open_fds, 0, "%s: left open", name);
	}
}

Test(tun_utun, open_refuses_what_utun_has_not)
{
	static const struct {
		const char *name;
		struct tun_options options;
		int rc;
	} cases[] = {
		{"no queue", {.queues = 0, .fd = -1}, -EINVAL},
		{"two queues", {.queues = 2, .fd = -1}, -ENOTSUP},
		{"too many queues", {.queues = 65, .fd = -1}, -EINVAL},
		{"persistent", {.queues = 1, .persist = true, .fd = -1}, -ENOTSUP},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tun *tun = NULL;
		int rc = tun_open(&cases[i].options, &tun);

		cr_expect_eq(rc, cases[i].rc, "%s: %d, expected %d", cases[i].name, rc,
			     cases[i].rc);
		cr_expect_null(tun);
	}
}

/* Whatever call fails, its error comes out and nothing stays open. */
Test(tun_utun, open_cleans_up)
{
	static const struct {
		enum utun_kernel_call call;
		int error;
		int fd; /* -1, or one that is passed on */
		int rc;
	} cases[] = {
		{UTUN_KERNEL_SOCKET, EPERM, -1, -EPERM},
		{UTUN_KERNEL_IOCTL, ENOENT, -1, -ENOENT},
		{UTUN_KERNEL_CONNECT, EBUSY, -1, -EBUSY},
		{UTUN_KERNEL_CONNECT, EPERM, -1, -EPERM},
		{UTUN_KERNEL_SETFD, EBADF, -1, -EBADF},
		{UTUN_KERNEL_GETSOCKOPT, ENOMEM, -1, -ENOMEM},
		{UTUN_KERNEL_SETFL, EIO, -1, -EIO},
		{UTUN_KERNEL_GETSOCKOPT, ENOPROTOOPT, UTUN_KERNEL_FD, -EINVAL},
		{UTUN_KERNEL_GETSOCKOPT, ENOTSOCK, UTUN_KERNEL_FD, -EINVAL},
		{UTUN_KERNEL_SETFL, EIO, UTUN_KERNEL_FD, -EIO},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct tun_options options = {.queues = 1, .fd = cases[i].fd};
		struct tun *tun = NULL;
		int rc;

		utun_kernel_reset();
		utun_kernel.open_fds = cases[i].fd >= 0;
		utun_kernel.fails = cases[i].call;
		utun_kernel.fail_errno = cases[i].error;
		utun_kernel.fail_count = 1;
		rc = tun_open(&options, &tun);
		cr_expect_eq(rc, cases[i].rc, "call %d: %d, expected %d", cases[i].call, rc,
			     cases[i].rc);
		cr_expect_null(tun);
		cr_expect_eq(utun_kernel.open_fds, cases[i].fd >= 0, "call %d: %d open",
			     cases[i].call, utun_kernel.open_fds);
	}
}

Test(tun_utun, open_takes_a_descriptor)
{
	const struct tun_options options = {.queues = 1, .fd = UTUN_KERNEL_FD};
	struct tun *tun = NULL;

	utun_kernel.open_fds = 1;
	utun_kernel.unit = 8;
	utun_kernel.status_flags = O_RDWR;
	cr_assert_eq(tun_open(&options, &tun), 0);
	cr_expect_str_eq(tun_name(tun), "utun7");
	cr_expect_eq(utun_kernel.status_flags, O_RDWR | O_NONBLOCK);
	tun_close(tun);
	cr_expect_eq(utun_kernel.open_fds, 0, "the device owns it now");
}

Test(tun_utun, receive_takes_the_family_off)
{
	struct tun *tun = open_utun();
	int error = 0;
	unsigned got;

	utun_kernel_send("\0\0\0\2\x45packet", 11);
	utun_kernel_send("\0\0\0\x1e\x60six", 8);
	utun_kernel_send("\0\0\0\2", 4);         /* empty */
	utun_kernel_send("\0\0", 2);             /* cut */
	utun_kernel_send("\0\0\0\x12other", 9);  /* another family */
	utun_kernel_send("\2\0\0\0\x45swap", 9); /* host order */
	utun_kernel_send("\0\0\0\2\x45last", 9);
	bufs[0].offload.gso_type = 77;
	got = tun_recv_burst(tun_queue_at(tun, 0), bufs, BURST, SIZE_MAX, &error);
	cr_assert_eq(got, 3, "%u packets", got);
	cr_expect_eq(bufs[0].len, 7);
	cr_expect_arr_eq(bufs[0].data, "\x45packet", 7);
	cr_expect_eq(bufs[0].offload.gso_type, OFFLOAD_GSO_NONE);
	cr_expect_eq(bufs[1].len, 4);
	cr_expect_arr_eq(bufs[1].data, "\x60six", 4);
	cr_expect_arr_eq(bufs[2].data, "\x45last", 5);
	cr_expect_eq(error, 0, "error %d", error);
	tun_close(tun);
}

Test(tun_utun, receive_bounds)
{
	static const struct {
		unsigned n;
		size_t bytes_max;
		unsigned want;
	} cases[] = {
		{BURST, SIZE_MAX, 6},
		{4, SIZE_MAX, 4},
		{BURST, 0, 1},
		{BURST, 250, 3},
	};
	static const uint8_t packet[104] = {0, 0, 0, 2, 0x45};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tun *tun;
		unsigned got;

		utun_kernel_reset();
		tun = open_utun();
		for (unsigned k = 0; k < 6; k++)
			utun_kernel_send(packet, sizeof(packet));
		got = tun_recv_burst(tun_queue_at(tun, 0), bufs, cases[i].n, cases[i].bytes_max,
				     &(int){0});
		cr_expect_eq(got, cases[i].want, "n %u, bytes_max %zu: %u, expected %u", cases[i].n,
			     cases[i].bytes_max, got, cases[i].want);
		tun_close(tun);
	}
}

Test(tun_utun, receive_errors)
{
	static const struct {
		int fail_errno; /* 0: end of file */
		unsigned count;
		unsigned packets;
		int error;
	} cases[] = {
		{EINTR, 3, 1, 0},
		{EAGAIN, 1, 0, 0},
		{ENXIO, 1, 0, -ENXIO},
		{0, 1, 0, -ENODEV},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tun *tun;
		int error = 0;
		unsigned got;

		utun_kernel_reset();
		tun = open_utun();
		utun_kernel_send("\0\0\0\2\x45", 5);
		utun_kernel.fails = UTUN_KERNEL_READV;
		utun_kernel.fail_errno = cases[i].fail_errno;
		utun_kernel.fail_count = cases[i].count;
		got = tun_recv_burst(tun_queue_at(tun, 0), bufs, BURST, SIZE_MAX, &error);
		cr_expect_eq(got, cases[i].packets, "errno %d: %u packets", cases[i].fail_errno,
			     got);
		cr_expect_eq(error, cases[i].error, "errno %d: error %d, expected %d",
			     cases[i].fail_errno, error, cases[i].error);
		tun_close(tun);
	}
}

Test(tun_utun, send_puts_the_family_on)
{
	static const struct {
		const char *name;
		const char *packet;
		uint32_t len;
		struct offload offload;
		const char *wire; /* NULL: refused */
	} cases[] = {
		{"v4",
		 "\x45"
		 "four",
		 5,
		 {0},
		 "\0\0\0\2\x45"
		 "four"},
		{"v6", "\x60six", 4, {0}, "\0\0\0\x1e\x60six"},
		{"verified", "\x45ok", 3, {.flags = OFFLOAD_DATA_VALID}, "\0\0\0\2\x45ok"},
		{"no checksum yet", "\x45no", 3, {.flags = OFFLOAD_NEEDS_CSUM}, NULL},
		{"super-packet", "\x45no", 3, {.gso_type = OFFLOAD_GSO_TCPV4}, NULL},
		{"empty", "", 0, {0}, NULL},
	};
	struct tun *tun = open_utun();

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const unsigned want = cases[i].wire ? 1 : 0;
		unsigned got;

		utun_kernel.out_count = 0;
		memcpy(bufs[0].data, cases[i].packet, cases[i].len);
		bufs[0].len = cases[i].len;
		bufs[0].offload = cases[i].offload;
		got = tun_send_burst(tun_queue_at(tun, 0), list, 1);
		cr_expect_eq(got, want, "%s: %u taken", cases[i].name, got);
		cr_expect_eq(utun_kernel.out_count, want, "%s: %u written", cases[i].name,
			     utun_kernel.out_count);
		if (!cases[i].wire)
			continue;
		cr_expect_eq(utun_kernel.out[0].len, 4 + cases[i].len, "%s: length", cases[i].name);
		cr_expect_arr_eq(utun_kernel.out[0].bytes, cases[i].wire, 4 + cases[i].len,
				 "%s: bytes", cases[i].name);
	}
	tun_close(tun);
}

/* One that is refused does not keep back those behind it; an interrupted call is made again. */
Test(tun_utun, send_errors)
{
	static const struct {
		int fail_errno;
		unsigned count;
		unsigned taken;
	} cases[] = {
		{EINTR, 2, 3},
		{ENOBUFS, 1, 2},
		{EAGAIN, 1, 2},
		{EMSGSIZE, 3, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tun *tun;
		unsigned got;

		utun_kernel_reset();
		tun = open_utun();
		for (unsigned k = 0; k < 3; k++) {
			memcpy(bufs[k].data, "\x45", 1);
			bufs[k].len = 20;
			bufs[k].offload = (struct offload){0};
		}
		utun_kernel.fails = UTUN_KERNEL_WRITEV;
		utun_kernel.fail_errno = cases[i].fail_errno;
		utun_kernel.fail_count = cases[i].count;
		got = tun_send_burst(tun_queue_at(tun, 0), list, 3);
		cr_expect_eq(got, cases[i].taken, "errno %d: %u taken, expected %u",
			     cases[i].fail_errno, got, cases[i].taken);
		tun_close(tun);
	}
}
