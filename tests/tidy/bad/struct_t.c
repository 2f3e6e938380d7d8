/* tidy: tun/x.c: typedef */
struct queue_t {
	int fd;
};
