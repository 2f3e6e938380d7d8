/* tidy: dataplane/x.c: tag */
/* [alone-2] pairs with [alone-1], which is nowhere */
/* [both-1] stores before [both-2] loads */
/* [both-2] */
