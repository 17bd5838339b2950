#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

_Noreturn void hf_assert_failed(const char *cond, const char *file, int line, const char *func)
{
    hf_log_flush();
    fprintf(stderr, "holdfast: bug: assertion '%s' failed in %s (%s:%d); please report it\n", cond,
            func, file, line);
    abort();
}
