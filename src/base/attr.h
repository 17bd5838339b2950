/*
 * Compiler attributes under short names (gcc and clang).
 */
#ifndef HF_BASE_ATTR_H
#define HF_BASE_ATTR_H

/* The result must be looked at. */
#define HF_MUST __attribute__((warn_unused_result))
/* printf-like: format is argument number f, values begin at number v (1-based). */
#define HF_PRINTF(f, v) __attribute__((format(printf, f, v)))
/* Runs fn(&variable) when the variable goes out of scope. */
#define HF_CLEANUP(fn) __attribute__((cleanup(fn)))
/* A parameter or variable that is not used on purpose. */
#define HF_UNUSED __attribute__((unused))

#define HF_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
