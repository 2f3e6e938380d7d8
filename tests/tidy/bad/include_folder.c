/* tidy: lpm/x.c: include */
#include "lpm.h"
