/* tidy: dataplane/own_linux.c: own-header */
#include "lpm/lpm.h"
#include "dataplane/own.h"
