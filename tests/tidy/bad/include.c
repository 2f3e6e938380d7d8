/* tidy: dataplane/other.c: include */
#include "dataplane/flow.h"
#include "ctl/conf.h"
#include "lpm/lpm.h"
#include <tests/none.h>
