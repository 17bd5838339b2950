/*
 * holdfast: start reading at commands.c, the table of what it can do.
 */
#include <string.h>

#include "cmd/run.h"
#include "os/heap.h"
#include "sqlite/sqlproc.h"

int main(int argc, char **argv)
{
    hf_heap_setup();
    if (argc == 2 && strcmp(argv[1], HF_SQLPROC_ARG) == 0)
        return hf_sqlproc_serve(HF_SQLPROC_FD);
    return hf_cmd_main(argc, argv);
}
