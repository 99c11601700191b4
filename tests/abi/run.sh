#!/bin/bash
# What the libraries export and import: the symbol list of this epoch, nothing but mm_*, no call that prints, ends the
# process, reads its surroundings or changes its state.
LIB=${LIB:-lib} SAN=${SAN:-}
shared=$(readlink -f "$LIB/libmm.so") static=$LIB/libmm.a bad=0
result() { # NAME, text of what is wrong (empty: nothing)
    if [ -z "$2" ]; then echo "ok abi: $1"; else echo "FAIL abi: $1"; echo "$2"; bad=1; fi
}

result "the symbol list equals tests/abi/symbols.txt" \
    "$(nm -D --defined-only "$shared" | awk '$2 != "A" { print $3 }' | LC_ALL=C sort | diff tests/abi/symbols.txt - 2>&1)"
result "the header declares exactly these functions" \
    "$(grep -o 'MM_API.*\bmm_[a-z_]*(' include/libmm.h | sed 's/.*\b\(mm_[a-z_]*\)($/\1@@LIBMM_0/' | LC_ALL=C sort | diff tests/abi/symbols.txt - 2>&1)"
result "libmm.a exports mm_* only" "$(nm -g --defined-only "$static" | awk 'NF == 3 { print $3 }' | grep -v '^mm_[a-z]')"
result "libmm.a and libmm.so export the same" \
    "$(nm -g --defined-only "$static" | awk 'NF == 3 { print $3 "@@LIBMM_0" }' | LC_ALL=C sort | diff tests/abi/symbols.txt - 2>&1)"
result "the soname is libmm.so.0" "$(readelf -d "$shared" | grep SONAME | grep -v '\[libmm.so.0\]')"
result "no executable stack, no text relocation" \
    "$(readelf -lW "$shared" | grep GNU_STACK | grep RWE; readelf -d "$shared" | grep TEXTREL)"
if [ -z "$SAN" ]; then
    forbidden='exit|_exit|_Exit|quick_exit|abort|__assert_fail|atexit|getenv|secure_getenv|setenv|putenv|setlocale|signal|sigaction|raise|system|popen|execve?|fork|printf|vprintf|fprintf|vfprintf|__printf_chk|__fprintf_chk|puts|putchar|fputs|fputc|fwrite|perror|stdout|stderr|srand|rand|strtok|dlopen'
    result "no forbidden import" "$(nm -D --undefined-only "$shared" | awk '{ sub(/@.*/, "", $2); print $2 }' | grep -x -E "$forbidden")"
fi
exit $bad
