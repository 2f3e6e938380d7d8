/* tidy: lpm/x.c: include */
#include "lpm/lpm.h"
#include "tun/tun.h"
