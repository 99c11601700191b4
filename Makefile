# libmm - the targets (what `make help` prints; each line beginning with "#:" is part of it)
#
#: make              the library and the command line: lib/libmm.so, lib/libmm.a, build/mm
#: make demo         deps, all, the real weights into models/ (about 500 MB once), then the demo; needs a network once
#: make check        everything the project promises, tested; last line "N passed, N failed"; T=pattern runs a part of it
#: make check-gpu    of that, what runs on a Vulkan device (DEVICE=vulkan:0), under the validation layer where it is installed
#: make golden       DIR=folder: compares every stage of a recorded checkpoint, one line each
#:                   (DEVICE=vulkan:0 on that device)
#: make unit         builds the unit tests into build/t/
#: make layers       checks which room includes what (tests/layers.txt)
#: make faults       every failing allocation, read, thread and write of each test model, every place where it can be told to
#:                   stop, 1,000 kills while saving (a night's work), limits of memory, 20,000 mixed operations, and how soon
#:                   256 calls of each kind end that are told to stop
#:                   (T=reads: that part of alloc, cancel, reads, saving, vulkan, memory, soak, latency)
#: make analyze      gcc -fanalyzer and clang-tidy (.clang-tidy) over the rooms that read what strangers wrote
#: make valgrind     the unit tests under memcheck (T=pattern: those whose name matches)
#: make coverage     the lines and branches of these rooms that unit, golden, fault, fuzz and command line tests run: a table,
#:                   MISSED=1 adds what none reached (T=pattern: those tests alone)
#: make fuzz         T=target SECONDS=60: looks for inputs that end a parser badly (clang with libFuzzer); make fuzz lists targets
#: make fuzz-report  tests/fuzz/REPORT.md from the logs of all runs of fuzz, corpus, faults and coverage
#: make corpus       200,000 damaged files against the built library, SAN=address,undefined too; CASES=n or all
#: make bench        speed of kernels and models against the machine's limits: table, build/bench.json. REPS=1 is quick;
#:                   ONLY=kernels,models,scaling,context and MATCH=text choose; PEER_LLAMA=folder PEER_WHISPER=folder
#:                   PEER_PYTHON=program compare, interleaved (tests/bench/peers.sh makes them); MADE=folder adds models of
#:                   7 billion parameters with random weights, kept there
#: make bench-check  the same, and fails where a ratio is more than 10 % below tests/bench/baseline.json
#: make examples     the small programs of examples/ into build/examples/
#: make models       fetches the real weights only; ALL=1 adds Gemma
#: make deps         installs the Debian packages a build needs, or prints the command that does
#: make deps-test    the same for the tests
#: make help         prints this
#: make install      headers, libraries, pkg-config file, mm and its manual page below PREFIX (/usr/local), DESTDIR honoured
#: make uninstall    removes exactly these
#: make dist         the committed tree as build/libmm-VERSION.tar.xz
#: make clean        removes build*/ and lib/; distclean removes models/ too
#:
#: variables: CC, CFLAGS, JOBS, PREFIX, DESTDIR, SAN=address,undefined or SAN=thread (a build folder of its own)
#
# One file, not recursive. Every src/**/*.c makes one object, position independent and hidden by default, used for both
# libraries. Files named *_avx2.c, *_avx512.c ... get that instruction set and nothing else does: the library picks kernels
# at run time. A change of flags rebuilds what it touches ($(BUILD)/flags).

comma := ,
SAN   ?=
BUILD := build$(if $(SAN),-$(subst $(comma),-,$(SAN)))
LIB   := $(if $(SAN),$(BUILD)/lib,lib)
JOBS  ?= $(shell nproc 2>/dev/null || echo 2)

version = $(shell sed -n 's/^\#define MM_VERSION_$(1) //p' include/libmm.h)
MAJOR   := $(call version,MAJOR)
VERSION := $(MAJOR).$(call version,MINOR).$(call version,PATCH)
SONAME  := libmm.so.$(MAJOR)
SHARED  := $(LIB)/libmm.so.$(VERSION)
STATIC  := $(LIB)/libmm.a

CC      := $(if $(filter default,$(origin CC)),gcc,$(CC))
LD      ?= ld
OBJCOPY ?= objcopy
AR      ?= ar
PYTHON  ?= $(shell python3 -c 'import numpy' 2>/dev/null && echo python3 || echo /usr/bin/python3)

PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
PKGDIR     ?= $(LIBDIR)/pkgconfig
MANDIR     ?= $(PREFIX)/share/man

WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wno-unused-parameter
CFLAGS  ?= -O3 -g
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all -O1)
# Instrumented code draws false warnings about truncation and uninitialised values from gcc, so there they are no errors.
COMMON  := -std=c11 $(WARN) $(if $(SAN),-w,-Werror) -pthread -ffp-contract=off $(CFLAGS) $(SANFLAGS)
ALL_CFLAGS := -D_GNU_SOURCE -fPIC -fvisibility=hidden $(COMMON)
THIRD   := -lsndfile -lmpg123 -ljpeg -lzstd -lutf8proc -lpcre2-8 -ljansson
LDLIBS  := $(THIRD) -lm -ldl -pthread

# Vulkan is there when its headers and the compiler of shaders are; else one file stands for the whole folder.
GLSLC  ?= glslc
VULKAN := $(shell command -v $(GLSLC) >/dev/null && printf '\043include <vulkan/vulkan_core.h>\n' | $(CC) -E - >/dev/null 2>&1 && echo yes)
SRC := $(shell find src -name '*.c' | LC_ALL=C sort)
SRC := $(if $(VULKAN),$(filter-out src/backend/vulkan/absent.c,$(SRC)),$(filter-out src/backend/vulkan/%,$(SRC)) src/backend/vulkan/absent.c)
OBJ := $(SRC:%.c=$(BUILD)/obj/%.o) $(if $(VULKAN),$(BUILD)/obj/shaders.o)

.PHONY: all
all: $(STATIC) $(SHARED) $(BUILD)/mm examples

.PHONY: help
help:
	@sed -n 's/^#: \{0,1\}//p' Makefile

# `make V=1` shows the commands.
Q   := $(if $(V),,@)
say  = $(if $(V),@:,@echo "  $(1) $@")

# ---- objects ------------------------------------------------------------------------------------------------------

# Rewritten only when the text differs, so that its time is the time of the last change of flags.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(ALL_CFLAGS)' | cmp -s - $@ || echo '$(CC) $(ALL_CFLAGS)' > $@
.PHONY: FORCE
FORCE:

# The same for the list of objects: a source that is gone takes its object out of the libraries.
$(BUILD)/objects: FORCE
	@mkdir -p $(@D)
	@echo '$(OBJ)' | cmp -s - $@ || echo '$(OBJ)' > $@

# Once, before the first object: whether the headers of the libraries are there.
$(BUILD)/headers:
	@mkdir -p $(@D)
	@printf '#include <stdio.h>\n%s\n' $(foreach h,stb/stb_image jpeglib sndfile mpg123 zstd utf8proc jansson,'#include <$(h).h>') \
	    '#define PCRE2_CODE_UNIT_WIDTH 8' '#include <pcre2.h>' > $@.c
	@$(CC) -E $@.c >/dev/null 2>&1 || { echo 'The packages that a build needs are not there: make deps installs them, or says how.' >&2; exit 1; }
	@touch $@

AVX2   := -mavx2 -mfma -mf16c
AVX512 := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni $(AVX2)
$(BUILD)/obj/%_avx2.o: ISA := $(AVX2)
$(BUILD)/obj/%_avxvnni.o: ISA := -mavxvnni $(AVX2)
$(BUILD)/obj/%_avx512.o: ISA := $(AVX512)
$(BUILD)/obj/%_avx512bf16.o: ISA := -mavx512bf16 $(AVX512)
# The rooms that read what strangers wrote: no conversion there loses a value without a word, and they are the ones that
# `make analyze` looks at.
GUARDED := base file text image audio api
$(foreach room,$(GUARDED),$(BUILD)/obj/src/$(room)/%.o): ROOM := -Wconversion
# `make coverage` counts these rooms alone; the rest runs as fast as ever.
COVERED := build-coverage
$(foreach room,$(GUARDED),$(COVERED)/obj/src/$(room)/%.o): PLAIN := --coverage -O0
# Kernels get sizes that were checked; instrumented by libFuzzer's compiler each takes minutes. `make corpus SAN=address,undefined`
# runs them instrumented.
build-fuzz/obj/src/backend/cpu/kern/%.o: PLAIN := -fno-sanitize=fuzzer-no-link,address,undefined
$(BUILD)/obj/%.o: %.c $(BUILD)/flags $(BUILD)/headers
	@mkdir -p $(@D)
	$(call say,CC  )
	$(Q)$(CC) $(ALL_CFLAGS) $(ROOM) $(ISA) $(PLAIN) -MMD -MP -c $< -o $@
-include $(OBJ:.o=.d)

# ---- shaders ------------------------------------------------------------------------------------------------------

# shaders/variants.def -> $(BUILD)/shaders/NAME.inc, the words of each shader's SPIR-V, and shaders.c, the table of all.
SHADER_DEF := shaders/variants.def
# name:source:definition:definition
SHADER_LINES := $(if $(VULKAN),$(shell sed -n 's/^MM__VK_SHADER(\([^,]*\), *\([^,]*\), *\(.*\))/\1:\2:\3/p' $(SHADER_DEF) | tr ' ' ':'))
SHADERS      := $(foreach l,$(SHADER_LINES),$(firstword $(subst :, ,$(l))))
define shader_rule
$(BUILD)/shaders/$(word 1,$(1)).inc: shaders/$(word 2,$(1)).comp $(wildcard shaders/*.glsl) $(SHADER_DEF)
	@mkdir -p $$(@D)
	$$(call say,GLSL)
	$(Q)$(GLSLC) -O --target-env=vulkan1.1 $(wordlist 3,9,$(1)) -mfmt=num -o $$@ $$<
endef
$(foreach l,$(SHADER_LINES),$(eval $(call shader_rule,$(subst :, ,$(l)))))
$(BUILD)/shaders/shaders.c: $(SHADER_DEF) Makefile
	@mkdir -p $(@D)
	@{ printf '%s\n' '/* Generated from $(SHADER_DEF). */' '#include "src/backend/vulkan/pipeline.h"'; \
	for s in $(SHADERS); do printf 'static const uint32_t code_%s[] = {\n#include "%s.inc"\n};\n' $$s $$s; done; \
	echo 'const mm__vk_shader mm__vk_shaders[MM__VK_N_SHADER] = {'; \
	for s in $(SHADERS); do printf '    {"%s", code_%s, sizeof code_%s},\n' $$s $$s $$s; done; echo '};'; } > $@
$(BUILD)/obj/shaders.o: $(BUILD)/shaders/shaders.c $(SHADERS:%=$(BUILD)/shaders/%.inc) $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC  )
	$(Q)$(CC) $(ALL_CFLAGS) -I. -I$(BUILD)/shaders -MMD -MP -c $< -o $@

# ---- libraries ----------------------------------------------------------------------------------------------------

# Every internal symbol, for the unit tests.
$(BUILD)/libmm_all.a: $(OBJ) $(BUILD)/objects
	@rm -f $@
	$(call say,AR  )
	$(Q)$(AR) rcs $@ $(OBJ)

# One relocatable object in which everything but mm_* is local, so that a static link exports no more than a shared one.
$(STATIC): $(OBJ) $(BUILD)/objects
	@mkdir -p $(@D)
	$(call say,AR  )
	$(Q)$(LD) -r -o $(BUILD)/libmm.o $(OBJ)
	$(Q)$(OBJCOPY) --localize-hidden $(BUILD)/libmm.o
	@rm -f $@
	$(Q)$(AR) rcs $@ $(BUILD)/libmm.o

$(SHARED): $(OBJ) $(BUILD)/objects src/api/libmm.map
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) -shared $(SANFLAGS) -Wl,-soname,$(SONAME) -Wl,--version-script=src/api/libmm.map $(if $(SAN),,-Wl$(comma)--no-undefined) \
	    -Wl,--as-needed -o $@ $(OBJ) $(LDLIBS)
	$(Q)ln -sf $(@F) $(@D)/$(SONAME)
	$(Q)ln -sf $(SONAME) $(@D)/libmm.so

# ---- programs: the public header only -----------------------------------------------------------------------------

MM_SRC := $(sort $(wildcard examples/mm/*.c))
MM_OBJ := $(MM_SRC:%.c=$(BUILD)/obj/%.o)
$(BUILD)/mm: $(MM_OBJ) $(STATIC)
	$(call say,LINK)
	$(Q)$(CC) $(SANFLAGS) -o $@ $^ -Wl,--as-needed $(LDLIBS)
-include $(MM_OBJ:.o=.d)

EXAMPLES := $(patsubst examples/%.c,$(BUILD)/examples/%,$(sort $(wildcard examples/*.c)))
.PHONY: examples
examples: $(EXAMPLES)
$(BUILD)/examples/%: examples/%.c include/libmm.h $(STATIC) $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) -D_GNU_SOURCE $(COMMON) -Iinclude -o $@ $< $(STATIC) -Wl,--as-needed $(LDLIBS)

# ---- tests --------------------------------------------------------------------------------------------------------

# tests/unit/<room>/<name>.c -> build/t/<room>_<name>, linked with every internal object.
UNIT     := $(shell find tests/unit -name '*.c' 2>/dev/null | LC_ALL=C sort)
unit_bin  = $(BUILD)/t/$(subst /,_,$(patsubst tests/unit/%.c,%,$(1)))
UNIT_BIN := $(foreach u,$(UNIT),$(call unit_bin,$(u)))
define unit_rule
$(call unit_bin,$(1)): $(1) $(BUILD)/libmm_all.a
	@mkdir -p $$(@D)
	$$(call say,LINK)
	$(Q)$(CC) $(ALL_CFLAGS) -Itests -MMD -MP $$< $$(filter %.o,$$^) $(BUILD)/libmm_all.a -o $$@ $$(WRAP) -lcmocka $(LDLIBS)
endef
$(foreach u,$(UNIT),$(eval $(call unit_rule,$(u))))
-include $(UNIT_BIN:=.d)
# This one is the decoder.
$(BUILD)/t/run_windows: WRAP := $(addprefix -Wl$(comma)--wrap=,mm__lm_logits_from mm__lm_step)
# The kernels for AVX-VNNI in the encoding of AVX-512, which more processors have.
$(BUILD)/t/backend_linear_avxvnni: $(BUILD)/obj/evex_avx512.o
$(BUILD)/obj/evex_avx512.o: src/backend/cpu/kern/linear/linear_avxvnni.c $(BUILD)/flags $(wildcard src/backend/cpu/kern/linear/*.h)
	$(call say,CC  )
	$(Q)$(CC) $(ALL_CFLAGS) $(AVX512) -DTABLE=mm__linear_isa_evex -c $< -o $@
.PHONY: unit
unit: $(UNIT_BIN)

# Tests may cut a path short: what does not exist then fails the test.
TEST_CFLAGS = $(ALL_CFLAGS) -Wno-format-truncation
# Programs that compare with recorded results, and benchmarks of one kernel each.
GOLDEN := $(if $(wildcard tests/golden/runner/*.c),$(BUILD)/golden)
REAL   := $(if $(wildcard tests/real/*.c),$(BUILD)/real)
BENCH  := $(patsubst tests/bench/%.c,$(BUILD)/bench_%,$(wildcard tests/bench/*.c))
test_program = $(CC) $(TEST_CFLAGS) -o $@ $(filter %.c,$^) $(BUILD)/libmm_all.a -Wl,--as-needed $(LDLIBS)
$(BUILD)/golden: $(wildcard tests/golden/runner/*.[ch])
$(BUILD)/real: $(wildcard tests/real/*.[ch])
$(BENCH): $(BUILD)/bench_%: tests/bench/%.c $(wildcard tests/bench/common/*.[ch])
$(GOLDEN) $(REAL) $(BENCH): $(BUILD)/libmm_all.a
	$(call say,LINK)
	$(Q)$(test_program)
# Failing memory, damaged files, wrong calls: through the public header only.
FAULT := $(patsubst tests/fault/%.c,$(BUILD)/fault_%,$(wildcard tests/fault/*.c))
$(BUILD)/fault_%: tests/fault/%.c $(wildcard tests/fault/*.h) include/libmm.h $(STATIC) $(BUILD)/libmm_all.a $(BUILD)/flags
	$(call say,LINK)
	$(Q)$(CC) $(TEST_CFLAGS) -Iinclude -o $@ $< $(or $(WITHIN),$(STATIC)) -Wl,--as-needed $(WRAP) $(LDLIBS)
# These stand between the library and the system, one within the library.
$(BUILD)/fault_reads: WRAP := $(addprefix -Wl$(comma)--wrap=,open fstat stat pread opendir readdir pthread_create)
$(BUILD)/fault_saving: WRAP := $(addprefix -Wl$(comma)--wrap=,open write fsync close rename)
$(BUILD)/fault_vulkan: WRAP := $(addprefix -Wl$(comma)--wrap=,dlsym clock_gettime)
$(BUILD)/fault_cancel: WRAP := -Wl,--wrap=mm__told_to_stop
$(BUILD)/fault_cancel: WITHIN := $(BUILD)/libmm_all.a

# The library as clang instruments it for libFuzzer, inputs that are found, and the logs that `make fuzz-report` reads.
FUZZ_DIR := build-fuzz
FUZZ_LOG := $(FUZZ_DIR)/log
FUZZ_BEFORE := $(FUZZ_LOG)/before.txt

# What make check runs a sixteenth of.
FAULTS := alloc cancel reads saving vulkan memory soak latency
.PHONY: faults
faults: $(addprefix $(BUILD)/fault_,$(or $(T),$(FAULTS))) $(FUZZ_BEFORE)
	@tests/fault/all.sh $(FUZZ_LOG) $(filter $(BUILD)/%,$^)

# Targets of tests/fuzz: with libFuzzer for `make fuzz`, with replay.c for `make check`; corpus.c damages files by itself.
FUZZ_HELPERS := tests/fuzz/replay.c tests/fuzz/corpus.c
FUZZ_TARGETS := $(filter-out $(FUZZ_HELPERS),$(sort $(wildcard tests/fuzz/*.c)))
REPLAY := $(FUZZ_TARGETS:tests/fuzz/%.c=$(BUILD)/replay_%)
FUZZERS := $(FUZZ_TARGETS:tests/fuzz/%.c=$(BUILD)/fuzz_%)
FUZZ_HEADERS := $(wildcard tests/fuzz/*.[hd]* tests/fault/*.h)
$(REPLAY): $(BUILD)/replay_%: tests/fuzz/%.c tests/fuzz/replay.c
$(FUZZERS): $(BUILD)/fuzz_%: tests/fuzz/%.c
$(BUILD)/corpus: $(wildcard tests/fuzz/corpus.c)
$(REPLAY) $(FUZZERS) $(BUILD)/corpus: $(FUZZ_HEADERS) $(BUILD)/libmm_all.a
	$(call say,LINK)
	$(Q)$(CC) $(TEST_CFLAGS) $(FUZZER) -Iinclude -o $@ $(filter %.c,$^) $(BUILD)/libmm_all.a -Wl,--as-needed $(LDLIBS)

SECONDS ?= 60
.PHONY: fuzz fuzz-report corpus
# The sums of a report go on where those of the committed one end, unless the folder has logs of its own from before.
$(FUZZ_BEFORE):
	@if [ -d $(@D) ]; then : >$@; else mkdir -p $(@D) && cp tests/fuzz/REPORT.md $@; fi
fuzz: $(FUZZ_BEFORE)
	@test -n '$(T)' || { echo 'make fuzz T=target, one of: $(FUZZ_TARGETS:tests/fuzz/%.c=%)'; exit 2; }
	@mkdir -p $(FUZZ_DIR); echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' | clang -fsanitize=fuzzer -x c -o $(FUZZ_DIR)/probe - || \
	    { echo 'libFuzzer is needed, which comes with clang: the package libclang-rt-14-dev, or what your clang calls it'; exit 2; }
	@$(MAKE) --no-print-directory -j$(JOBS) CC=clang SAN=fuzzer-no-link,address,undefined BUILD=$(FUZZ_DIR) FUZZER=-fsanitize=fuzzer $(FUZZ_DIR)/fuzz_$(T)
	@tests/fuzz/run.sh '$(FUZZ_DIR)' '$(T)' '$(SECONDS)'
fuzz-report:
	@$(PYTHON) tests/fuzz/report.py $(FUZZ_DIR)
CASES ?= 200000
corpus: $(BUILD)/corpus $(FUZZ_BEFORE)
	@$(if $(SAN),MM_TEST_SLOW=5) $(BUILD)/corpus -n $(CASES) >$(FUZZ_LOG)/corpus.now; rc=$$?; cat $(FUZZ_LOG)/corpus.now; \
	    echo "$$(date -u +%Y-%m-%d) $$(git rev-parse --short HEAD) $(CC)$(if $(SAN), $(SAN)): $$(grep ' corpus: ' $(FUZZ_LOG)/corpus.now)" >>$(FUZZ_LOG)/corpus.txt; exit $$rc

# What the bindings are compared with: the header as C sees it, and the shared table run in C.
BINDINGS := $(patsubst tests/bindings/%.c,$(BUILD)/bindings_%,$(wildcard tests/bindings/*.c))
$(BUILD)/bindings_%: tests/bindings/%.c include/libmm.h $(STATIC) $(BUILD)/flags
	$(call say,LINK)
	$(Q)$(CC) $(TEST_CFLAGS) -Iinclude -o $@ $< $(STATIC) -Wl,--as-needed $(LDLIBS)

.PHONY: golden
golden: $(GOLDEN)
	@test -n '$(DIR)' || { echo 'make golden DIR=folder, for example DIR=tests/golden/llama'; exit 2; }
	@$(BUILD)/golden $(if $(DEVICE),--device '$(DEVICE)') '$(DIR)'

.PHONY: layers
layers:
	@tests/layers.sh

# What analysers say of the guarded rooms.
.PHONY: analyze
analyze:
	@tests/analyze.sh gcc
	@tests/analyze.sh tidy

# Memory as valgrind sees it.
.PHONY: valgrind
valgrind: unit
	@tests/valgrind.sh '$(BUILD)' '$(T)'

# What tests reach of the guarded rooms. Counts of an earlier run would add to these.
.PHONY: coverage
coverage: $(FUZZ_BEFORE)
	@find $(COVERED) -name '*.gcda' -delete 2>/dev/null || true
	@$(MAKE) --no-print-directory check BUILD=$(COVERED) LIB=$(COVERED)/lib THIRD='$(THIRD) --coverage' T='$(or $(T),^(unit|golden|fault|fuzz|cli)/)'; rc=$$?; \
	    $(PYTHON) tests/coverage.py $(if $(MISSED),--missed) $(if $(T),,--log $(FUZZ_LOG)/coverage.txt) $(COVERED) $(GUARDED) && exit $$rc

.PHONY: check test-programs
test-programs: all unit $(GOLDEN) $(REAL) $(FAULT) $(REPLAY) $(BUILD)/corpus $(BINDINGS) $(BENCH)
check:
	@$(MAKE) --no-print-directory deps deps-test
	@$(MAKE) --no-print-directory -j$(JOBS) test-programs
	@BUILD='$(BUILD)' LIB='$(LIB)' CC='$(CC)' SAN='$(SAN)' T='$(T)' $(if $(DEVICE),DEVICE='$(DEVICE)') LDLIBS='$(LDLIBS)' PYTHON='$(PYTHON)' tests/run.sh

# The part that a graphics processor changes.
.PHONY: check-gpu
check-gpu:
	@$(MAKE) --no-print-directory check T=vulkan

.PHONY: bench bench-check
bench-check: BENCH_FLAGS := --check
bench bench-check: $(BUILD)/mm $(BENCH)
	@$(PYTHON) tests/bench/bench.py --mm $(BUILD)/mm --kernels $(BUILD)/bench_kernels --json $(BUILD)/bench.json $(BENCH_FLAGS) \
	    $(if $(DEVICE),--device '$(DEVICE)') $(if $(REPS),--reps '$(REPS)') $(if $(ONLY),--only '$(ONLY)') $(if $(MATCH),--match '$(MATCH)') $(if $(MADE),--made '$(MADE)') \
	    $(if $(PEER_LLAMA)$(PEER),--llama '$(or $(PEER_LLAMA),$(PEER))') $(if $(PEER_WHISPER),--whisper '$(PEER_WHISPER)') \
	    $(if $(PEER_PYTHON),--python '$(PEER_PYTHON)')

# ---- the demo -----------------------------------------------------------------------------------------------------

.PHONY: models demo
models:
	@$(PYTHON) examples/demo/fetch.py $(if $(ALL),--all)
demo:
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@$(MAKE) --no-print-directory models
	@MM=$(BUILD)/mm examples/demo/demo.sh

# ---- packages -----------------------------------------------------------------------------------------------------

DEPS := gcc libc6-dev binutils libstb-dev libjpeg62-turbo-dev libsndfile1-dev libmpg123-dev \
        libzstd-dev libutf8proc-dev libpcre2-dev libjansson-dev python3 python3-numpy python3-pip
# Without these the library is built without Vulkan, so only root, who needs not ask anybody, gets them.
DEPS += $(if $(filter 0,$(shell id -u)),libvulkan-dev glslc)
DEPS_TEST := libvulkan-dev spirv-tools mesa-vulkan-drivers vulkan-validationlayers libcmocka-dev g++ clang clang-tidy valgrind pkg-config $(if $(shell PATH=$$PATH:/usr/local/go/bin; command -v go),,golang-go) python3-venv python3-pil

# Installs what is missing of the list $(1); without root, or without apt, says what to do.
define install_missing
	@missing=; for p in $(1); do \
	    dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q ' installed$$' || missing="$$missing $$p"; done; \
	test -z "$$missing" && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing$$missing"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else \
	    echo "These packages are needed; install them and repeat:"; echo "  sudo apt-get install -y$$missing"; exit 1; \
	fi
endef

.PHONY: deps deps-test
deps:
	$(call install_missing,$(DEPS))
deps-test:
	$(call install_missing,$(DEPS_TEST))

# ---- install ------------------------------------------------------------------------------------------------------

.PHONY: install uninstall
HEADERS := libmm.h libmm_experimental.h
install: $(STATIC) $(SHARED) $(BUILD)/mm
	install -d '$(DESTDIR)$(BINDIR)' '$(DESTDIR)$(LIBDIR)' '$(DESTDIR)$(INCLUDEDIR)' '$(DESTDIR)$(PKGDIR)' '$(DESTDIR)$(MANDIR)/man1'
	install -m 644 $(HEADERS:%=include/%) '$(DESTDIR)$(INCLUDEDIR)'
	install -m 644 examples/mm/mm.1 '$(DESTDIR)$(MANDIR)/man1/mm.1'
	install -m 644 $(STATIC) '$(DESTDIR)$(LIBDIR)/libmm.a'
	install -m 755 $(SHARED) '$(DESTDIR)$(LIBDIR)/$(notdir $(SHARED))'
	ln -sf $(notdir $(SHARED)) '$(DESTDIR)$(LIBDIR)/$(SONAME)'
	ln -sf $(SONAME) '$(DESTDIR)$(LIBDIR)/libmm.so'
	install -m 755 $(BUILD)/mm '$(DESTDIR)$(BINDIR)/mm'
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' -e 's|@VERSION@|$(VERSION)|' \
	    -e 's|@PRIVATE@|$(LDLIBS)|' pkgconfig/libmm.pc.in > '$(DESTDIR)$(PKGDIR)/libmm.pc'
	@test -n '$(DESTDIR)' || echo "If programs do not find $(SONAME): run ldconfig, or add $(LIBDIR) to /etc/ld.so.conf.d first where it is not a system folder."
uninstall:
	rm -f $(HEADERS:%='$(DESTDIR)$(INCLUDEDIR)/%') '$(DESTDIR)$(MANDIR)/man1/mm.1' '$(DESTDIR)$(LIBDIR)/libmm.a' '$(DESTDIR)$(LIBDIR)/$(notdir $(SHARED))' \
	    '$(DESTDIR)$(LIBDIR)/$(SONAME)' '$(DESTDIR)$(LIBDIR)/libmm.so' '$(DESTDIR)$(BINDIR)/mm' '$(DESTDIR)$(PKGDIR)/libmm.pc'

# The tree as it is committed, as a source archive that builds without git.
.PHONY: dist
DIST := libmm-$(VERSION)
dist:
	@mkdir -p $(BUILD)
	git archive --prefix=$(DIST)/ HEAD | xz -9 > $(BUILD)/$(DIST).tar.xz
	@cd $(BUILD) && sha256sum $(DIST).tar.xz

.PHONY: clean distclean
clean:
	rm -rf build build-* lib
distclean: clean
	rm -rf models
