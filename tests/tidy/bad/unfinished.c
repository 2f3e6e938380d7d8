/* tidy: lpm/x.c: unfinished */
/* TODO: say something */
