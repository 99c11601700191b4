/* Read in front of every source that is analysed (tests/analyze.sh), never of one that is built. An analyser sees one file at a
 * time, so here it is told what the functions that describe an error promise: what they return is no MM_OK. */
#include "../src/base/error.h"

#define mm__fail(err, code, ...) (mm__fail(err, code, __VA_ARGS__), (code))
#define mm__fail_code(err, code, os_code, ...) (mm__fail_code(err, code, os_code, __VA_ARGS__), (code))
#define mm__fail_os(err, code, os_code, ...) (mm__fail_os(err, code, os_code, __VA_ARGS__), (code))
#define mm__nomem(err, what) (mm__nomem(err, what), MM_E_NOMEM)
