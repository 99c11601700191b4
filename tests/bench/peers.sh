#!/bin/sh
# tests/bench/peers.sh FOLDER [llama|whisper|python]...: makes the programs that `make bench` compares with, below FOLDER.
#
#   FOLDER/llama/bin    llama-bench, llama-mtmd-cli, llama-quantize: the source package of llama-cpp-python holds llama.cpp
#   FOLDER/whisper/bin  whisper-bench, whisper-cli: the source package of pywhispercpp holds whisper.cpp
#   FOLDER/venv         a Python with faster-whisper, onnxruntime, openvino, onnx and gguf
#
# The long recording that recognisers are compared on is read by espeak-ng, where that is installed.
#
# Sources and wheels come by pip from the index it is set up for. Built for this machine (GGML_NATIVE), Release, without
# OpenMP's competitors: what their own documentation recommends. Needs cmake, a C++ compiler, python3-venv. Then:
#
#   make bench PEER_LLAMA=FOLDER/llama/bin PEER_WHISPER=FOLDER/whisper/bin PEER_PYTHON=FOLDER/venv/bin/python
set -eu

usage() { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2; }
[ $# -ge 1 ] || usage
mkdir -p "$1"
root=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- python llama whisper

[ -x "$root/venv/bin/pip" ] || python3 -m venv "$root/venv"

# The source package $1, unpacked; prints its folder.
unpacked()
{
    mkdir -p "$root/src"
    ls -d "$root/src/$2"-*/ >/dev/null 2>&1 || {
        "$root/venv/bin/pip" download -q --no-deps --no-binary "$1" -d "$root/src" "$1"
        tar -xzf "$root/src/$2"-*.tar.gz -C "$root/src"
    }
    ls -d "$root/src/$2"-*/
}

# cmake $1 into $root/$2 with the options after; builds the targets in $TARGETS.
built()
{
    from=$1 to=$root/$2
    shift 2
    cmake -S "$from" -B "$to" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DGGML_NATIVE=ON "$@" >"$to.log" 2>&1 &&
        cmake --build "$to" -j "${JOBS:-$(nproc)}" --target $TARGETS >>"$to.log" 2>&1 ||
        { tail -20 "$to.log" >&2; echo "peers: $to.log says why $from was not built" >&2; exit 1; }
}

for what; do
    case $what in
    python) "$root/venv/bin/pip" install -q --upgrade numpy faster-whisper onnxruntime openvino onnx gguf ;;
    llama)
        TARGETS='llama-bench llama-mtmd-cli llama-quantize'
        built "$(unpacked llama-cpp-python llama_cpp_python)vendor/llama.cpp" llama -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_CURL=OFF ;;
    whisper)
        TARGETS='whisper-bench whisper-cli'
        built "$(unpacked pywhispercpp pywhispercpp)whisper.cpp" whisper -DWHISPER_BUILD_TESTS=OFF -DWHISPER_BUILD_SERVER=OFF ;;
    *) usage ;;
    esac
done
echo "in $root: $*"
