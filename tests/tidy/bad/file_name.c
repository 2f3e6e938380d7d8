/* tidy: lpm/list_util.c: file-name */
