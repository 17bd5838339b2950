/*
 * holdfast: start reading at commands.c, the table of what it can do.
 */
#include "cmd/run.h"

int main(int argc, char **argv)
{
    return hf_cmd_main(argc, argv);
}
