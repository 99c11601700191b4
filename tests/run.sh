#!/bin/bash
# `make check`: runs every test, or those whose name matches T. Each kind prints lines that begin with "ok" or "FAIL" (unit
# tests: TAP). A program that ends badly without such a line counts as one failure, a case it promised and never reached as
# another. Prints one line per program, the lines of a failing one with the command that repeats it, and closes with
# "N passed, N failed". Uses no network.
set -u
cd "$(dirname "$0")/.."
BUILD=${BUILD:-build} LIB=${LIB:-lib} T=${T:-} SAN=${SAN:-} CC=${CC:-gcc} PYTHON=${PYTHON:-python3} LDLIBS=${LDLIBS:-}
export BUILD LIB SAN CC PYTHON LDLIBS
passed=0 failed=0
# Sanitizers slow programs down: every limit of time, here and inside the tests, is multiplied by this.
export MM_TEST_SLOW=${SAN:+5}
slow=${MM_TEST_SLOW:-1}
out=$(mktemp)
trap 'rm -f "$out"' EXIT

# run NAME COMMAND...: runs one test program and counts its lines.
run() {
    local name=$1 start=$SECONDS limit=$((${LIMIT:-600} * slow)) rc ok bad cases ran
    shift
    if [ -n "$T" ] && ! [[ $name =~ $T ]]; then return; fi
    timeout "$limit" "$@" >"$out" 2>&1
    rc=$?
    ok=$(grep -c -E '^ok( |$)' "$out")
    bad=$(grep -E '^(FAIL|not ok)( |$)' "$out" | grep -c -v '# SKIP')
    cases=$(sed -n 's/^1\.\.//p' "$out" | head -n 1)
    ran=$(grep -c -E '^(not )?ok [0-9]' "$out")
    if [ "${cases:-0}" -gt "$ran" ]; then bad=$((bad + cases - ran)); fi
    if [ $rc -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
    if [ "$ok" -eq 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi # says nothing: it may have tested nothing
    passed=$((passed + ok)) failed=$((failed + bad))
    printf '%-4s %-40s %4d passed, %d failed  (%d s)\n' "$([ "$bad" -eq 0 ] && echo ok || echo FAIL)" "$name" "$ok" "$bad" $((SECONDS - start))
    if [ "$bad" -ne 0 ]; then
        grep -v -E '^ok( |$)' "$out" | tail -n 40 | sed 's/^/     | /'
        [ $rc -eq 124 ] && echo "     | stopped after $limit s"
        echo "     repeat: make check T='^$name\$'${SAN:+ SAN=$SAN}"
    fi
}

# Under a sanitizer only the tests of the Vulkan backend see a device, and no leaks are looked for there: drivers leave memory
# behind in libraries that are unloaded by then, which no suppression can name.
devices=env
if [ -n "$SAN" ]; then
    devices="env -u VK_ICD_FILENAMES ASAN_OPTIONS=detect_leaks=0"
    export VK_ICD_FILENAMES=/nonexistent
fi

run layers tests/layers.sh
run "layers finds" bash tests/layers_find.sh
run clang tests/clang.sh
run "analyze gcc" tests/analyze.sh gcc
run "analyze tidy" tests/analyze.sh tidy
run header tests/header/run.sh
run shaders tests/shaders.sh
run abi tests/abi/run.sh
run install tests/install/run.sh
run make tests/make.sh

# libvorbis loses memory on damaged files; the rest must not.
echo 'leak:vorbis_info_init' >"$BUILD/lsan.supp"
export LSAN_OPTIONS=suppressions=$PWD/$BUILD/lsan.supp:print_suppressions=0
# The validation layer, which is not instrumented, has a thread of its own whose locks look like races.
echo 'race:libVkLayer_khronos_validation.so' >"$BUILD/tsan.supp"
export TSAN_OPTIONS=suppressions=$PWD/$BUILD/tsan.supp:print_suppressions=0
export CMOCKA_MESSAGE_OUTPUT=TAP MM_TEST_MODELS=models
for source in $(find tests/unit -name '*.c' | LC_ALL=C sort); do
    name=${source#tests/unit/}
    name=${name%.c}
    case $name in
        */vulkan*) run "unit/$name" $devices tests/validated.sh "$BUILD/t/${name//\//_}" ;;
        *) run "unit/$name" "$BUILD/t/${name//\//_}" ;;
    esac
done

for dir in tests/golden/*/; do
    [ -e "$dir/expected.json" ] && run "golden/$(basename "$dir")" "$BUILD/golden" "${dir%/}"
done

# Bit for bit the same with 1, 2, 3, 4 and 8 threads.
for dir in tests/golden/*/; do
    [ -e "$dir/expected.json" ] && run "threads/$(basename "$dir")" "$BUILD/golden" --threads "${dir%/}"
done

# The goldens on a Vulkan device, if there is one; not under a sanitizer, which would look at the driver most of the time.
DEVICE=${DEVICE:-vulkan:0}
if [ -z "$SAN" ] && "$BUILD/mm" devices | grep -q "^$DEVICE "; then
    for dir in tests/golden/*/; do
        [ -e "$dir/expected.json" ] && run "golden on $DEVICE/$(basename "$dir")" tests/validated.sh "$BUILD/golden" --device "$DEVICE" "${dir%/}"
    done
fi

# Failing allocations, reads and writes: each month another sixteenth of all there are (make faults runs them all).
SEED=${SEED:-$(date -u +%Y%m)}
for source in tests/fault/*.c; do
    name=$(basename "$source" .c)
    case $name in
    alloc | cancel | reads | saving | vulkan) run "fault/$name seed $SEED" "$BUILD/fault_$name" -s "$SEED" ;;
    *) run "fault/$name" "$BUILD/fault_$name" ;;
    esac
done

for source in tests/fuzz/*.c; do
    name=$(basename "$source" .c)
    case $name in
    replay) ;;
    corpus) run fuzz/corpus "$BUILD/corpus" -n 10000 ;;
    *) run "fuzz/$name" "$BUILD/replay_$name" "$name" "tests/fuzz/corpus/$name" ;;
    esac
done

# Where the rest runs without: those of the unit tests that read files and media under memcheck (make valgrind runs all),
# the damaged files and stored inputs under sanitizers.
if [ -z "$SAN" ] && [ "$BUILD" = build ]; then
    run memcheck bash tests/valgrind.sh "$BUILD" '^(base|file|image|audio)/'
    if echo 'int main(void) { return 0; }' | "$CC" -fsanitize=address,undefined -x c -o "$BUILD/probe" - 2>/dev/null; then
        for source in tests/fuzz/*.c; do
            name=$(basename "$source" .c)
            [ "$name" = replay ] || run "sanitized/$name" bash tests/fuzz/sanitized.sh "$name"
        done
    else
        echo "     sanitized: $CC has no sanitizers here, left out"
    fi
fi

for script in tests/cli/*.sh; do
    [ "$script" = tests/cli/lib.sh ] || run "cli/$(basename "$script" .sh)" bash "$script"
done
run examples bash tests/examples/run.sh

# The Python package, as it is in the tree. A sanitizer's runtime must be the first library of the process; the system's own
# Python bears that. Python leaves memory of its own behind, so of the leaks only the library's count. The search for them
# must stay out of thread-local storage: it crashes in that of libraries that were loaded late.
python() {
    local interpreter=$PYTHON reports=$BUILD/reports runtime status
    if [ -z "$SAN" ]; then
        "$interpreter" "$@"
        return
    fi
    [ -x /usr/bin/python3 ] && interpreter=/usr/bin/python3
    runtime=$("$CC" -print-file-name="lib$([ "$SAN" = thread ] && echo tsan || echo asan).so")
    rm -rf "$reports"
    mkdir "$reports"
    LD_PRELOAD=$runtime ASAN_OPTIONS=log_path=$PWD/$reports/report LSAN_OPTIONS=$LSAN_OPTIONS:exitcode=0:use_tls=0 "$interpreter" "$@"
    status=$?
    "$interpreter" tests/bindings/python/leaks.py "$reports" && return $status
    return 1
}
export -f python
for source in tests/bindings/python/test_*.py; do
    name=$(basename "$source" .py)
    if [ -z "$SAN" ] || [ "$name" != test_wheel ]; then # it carries the plain library
        run "python/${name#test_}" bash -c 'python "$1"' - "$source"
    fi
done
LIBMM_TEST_NO_NUMPY=1 run "python/use without numpy" bash -c 'python tests/bindings/python/test_use.py'

# Also in the oldest and the newest other Python that are there, of those that the package is for: 3.9 and later.
other_pythons() {
    local minor found mine
    mine=$("$PYTHON" -c 'import sys; print(sys.version_info.minor)')
    for minor in $(seq 9 30); do
        for found in "python3.$minor" "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/"3.$minor".*/bin/python3; do
            if [ "$minor" != "$mine" ] && "$found" -c "import ctypes, sys; sys.exit(sys.version_info.minor != $minor)" 2>/dev/null; then
                echo "3.$minor $found"
                break
            fi
        done
    done | sed -n '1p; $p' | uniq
}
if [ -z "$SAN" ]; then
    while read -r version found; do
        for name in use bad_use raw signals parity; do
            PYTHON=$found run "python$version/$name" bash -c 'python "$1"' - "tests/bindings/python/test_$name.py"
        done
    done < <(other_pythons)
fi
run go bash tests/bindings/go.sh
run readme "$PYTHON" tests/readme.py

# With the weights of `make demo` present, the real models too.
if [ -d models ] && [ -x "$BUILD/real" ]; then
    LIMIT=1500 run real "$BUILD/real" models examples/demo/demo-vlm.mm.json
else
    echo "     real: models/ is not there, left out (make models fetches it)"
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
