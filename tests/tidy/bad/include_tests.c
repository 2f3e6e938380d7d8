/* tidy: ctl/x.c: include */
#include "tests/model/naive.h"
