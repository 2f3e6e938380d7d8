/* tidy: lpm/x.c: file-length */
800 lines
