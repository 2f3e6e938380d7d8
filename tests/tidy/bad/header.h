/* tidy: lpm/alone.h: header */
#ifndef LPM_ALONE_H
#define LPM_ALONE_H

uint32_t lpm_alone(void);

#endif
