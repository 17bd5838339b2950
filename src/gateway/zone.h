/*
 * Where a day of a budget begins: UTC, an offset, or a zone by name, whose days of 23 and 25 hours
 * the C library knows. That knows one zone a process, taken from TZ: it is set before there are
 * threads (setenv is not safe among them), and another name counts after a restart. Nothing else in
 * this program uses local time.
 */
#ifndef HF_GATEWAY_ZONE_H
#define HF_GATEWAY_ZONE_H

#include <stdint.h>

#include "config/gateway.h"

/* While the process has one thread. */
void hf_gw_zone_use(const struct hf_config_gateway *conf);
/* Days since 1970 at that time; when a day ends, wall time. Any thread. */
int64_t hf_gw_zone_day(const struct hf_config_gateway *conf, int64_t wall_ms);
int64_t hf_gw_zone_day_end_ms(const struct hf_config_gateway *conf, int64_t day);

#endif
