# libmm - `make help` lists the targets.
#
# Layout: every src/**/*.c goes into one object list that makes both libraries; build/ holds the objects, lib/ the
# libraries. Files named *_avx2.c and *_avx512.c get that instruction set and nothing else does: the library picks
# kernels at run time.

VERSION_MAJOR := $(shell sed -n 's/^\#define MM_VERSION_MAJOR //p' include/libmm.h)
VERSION_MINOR := $(shell sed -n 's/^\#define MM_VERSION_MINOR //p' include/libmm.h)
VERSION_PATCH := $(shell sed -n 's/^\#define MM_VERSION_PATCH //p' include/libmm.h)
SONAME  := libmm.so.$(VERSION_MAJOR)
LIBFILE := $(SONAME).$(VERSION_MINOR).$(VERSION_PATCH)

CC      ?= cc
AR      ?= ar
SAN     ?=
BUILD   ?= build$(if $(SAN),-$(subst $(comma),-,$(SAN)))
comma   := ,

WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wno-unused-parameter
CSTD    := -std=c11 -D_GNU_SOURCE
CFLAGS  ?= -O3 -g
ALL_CFLAGS := $(CSTD) $(WARN) -Werror -fPIC -fvisibility=hidden -pthread -ffp-contract=off $(CFLAGS) $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -O1)
LDLIBS  := -lsndfile -lsamplerate -lkissfft-float -lopenblas -lzstd -lutf8proc -lpcre2-8 -ljansson -lm -ldl -pthread

SRC := $(shell find src -name '*.c' | LC_ALL=C sort)
OBJ := $(SRC:%.c=$(BUILD)/obj/%.o)

.PHONY: all
all: lib/libmm.a lib/$(LIBFILE) build/mm

$(BUILD)/obj/%_avx2.o: ISA := -mavx2 -mfma -mf16c
$(BUILD)/obj/%_avx512.o: ISA := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mavx2 -mfma -mf16c
$(BUILD)/obj/%_avx512bf16.o: ISA := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mavx512bf16 -mavx2 -mfma -mf16c
$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(ISA) -MMD -MP -c $< -o $@
-include $(OBJ:.o=.d)

$(BUILD)/libmm_all.a: $(OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

# Unit tests: tests/unit/<room>/<name>.c -> build/t/<room>_<name>, linked with every internal object.
UNIT := $(shell find tests/unit -name '*.c' 2>/dev/null | LC_ALL=C sort)
UNIT_BIN := $(foreach u,$(UNIT),$(BUILD)/t/$(notdir $(patsubst %/,%,$(dir $(u))))_$(basename $(notdir $(u))))
define unit_rule
$(BUILD)/t/$(notdir $(patsubst %/,%,$(dir $(1))))_$(basename $(notdir $(1))): $(1) $(BUILD)/libmm_all.a
	@mkdir -p $$(@D)
	$(CC) $(ALL_CFLAGS) -Itests -MMD -MP $$< $(BUILD)/libmm_all.a -o $$@ -lcmocka $(LDLIBS)
endef
$(foreach u,$(UNIT),$(eval $(call unit_rule,$(u))))
.PHONY: unit
unit: $(UNIT_BIN)
