/* tidy: dataplane/own.c: own-header */
#include <stdint.h>

#include "dataplane/own.h"
