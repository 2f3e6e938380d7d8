/* tidy: tun/x.c: typedef */
typedef unsigned int verdict_t;
