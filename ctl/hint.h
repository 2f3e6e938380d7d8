/* What a person can do about an error. */
#ifndef SLUICE_CTL_HINT_H
#define SLUICE_CTL_HINT_H

/*
 * Of tun_open. name: of the interface
 * Returns: a blank and text in brackets, or ""
 */
const char *hint_tun(int rc, const char *name);

#endif
