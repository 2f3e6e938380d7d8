/* tidy: dataplane/x.c: tag */
/* [half-1] has no partner at all, and [i-1] and array[last-1] are no tags */
/* [half-1] */
