#include "gateway/names.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

static const char latest[] = ":latest";

/* Length without a tag "latest". A colon before the last slash is a registry's port, no tag. */
static size_t bare_length(const char *name)
{
    size_t len = strlen(name);
    size_t tag = sizeof(latest) - 1;
    return len > tag && strcasecmp(name + len - tag, latest) == 0 ? len - tag : len;
}

bool hf_gw_name_equal(const char *a, const char *b)
{
    size_t len = bare_length(a);
    return len == bare_length(b) && strncasecmp(a, b, len) == 0;
}
