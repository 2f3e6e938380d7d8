/* tidy: tun/x.c: typedef */
typedef struct queue {
	int fd;
} queue;
