/*
 * From argv to a command and its exit code: all of main() but main() itself, for tests.
 */
#ifndef HF_CMD_RUN_H
#define HF_CMD_RUN_H

/* argv[0] is the program. Returns the exit code; errors were printed to stderr. */
int hf_cmd_main(int argc, char **argv);

#endif
