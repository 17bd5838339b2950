#include "gateway/zone.h"

#include <stdlib.h>
#include <time.h>

#include "gateway/budget.h"

void hf_gw_zone_use(const struct hf_config_gateway *conf)
{
    if (conf->budget_zone_min != HF_CONFIG_ZONE_NAMED)
        return;
    setenv("TZ", conf->budget_zone, 1);
    tzset();
}

/* Minutes east of UTC at that time. */
static int64_t offset_min(const struct hf_config_gateway *conf, int64_t wall_ms)
{
    struct tm tm;
    time_t t = (time_t)(wall_ms / 1000);
    if (conf->budget_zone_min != HF_CONFIG_ZONE_NAMED)
        return conf->budget_zone_min;
    return localtime_r(&t, &tm) == NULL ? 0 : tm.tm_gmtoff / 60;
}

int64_t hf_gw_zone_day(const struct hf_config_gateway *conf, int64_t wall_ms)
{
    return hf_gw_day(wall_ms, offset_min(conf, wall_ms));
}

int64_t hf_gw_zone_day_end_ms(const struct hf_config_gateway *conf, int64_t day)
{
    int64_t near = hf_gw_day_end_ms(day, 0);
    near = hf_gw_day_end_ms(day, offset_min(conf, near)); /* an hour off when clocks change then */
    return hf_gw_day_end_ms(day, offset_min(conf, near - 1));
}
