# Paylink: `make demo` shows it, `make test` proves it. HACKING.md says the rest.
#
#   make            build/paylink and build/ngx_http_paylink_module.so
#   make SAN=1      the same under build/asan/ with ASan, UBSan and failpoints
#   make up|down    the private stack in run/, without the tour
#   make lint       formatting, warnings with clang, clang-tidy, cppcheck, tidy
#   make fuzz       every parser of outside bytes, SECONDS_EACH=600
#   make bench      side-by-side figures, see tests/bench/RESULTS.md

SHELL := /bin/bash
.DELETE_ON_ERROR:
.SECONDARY:

ROOT := $(CURDIR)
CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 \
	-Wpointer-arith -Wwrite-strings -Wvla
HARDEN := -fstack-protector-strong -fPIE
LIBS := libpq hiredis jansson libcurl libevent libmicrohttpd libcrypto icu-uc icu-i18n inih \
	cairo pangocairo fontconfig
PKG_CFLAGS := $(shell pkg-config --cflags $(LIBS) 2>/dev/null)
PKG_LIBS := $(shell pkg-config --libs $(LIBS) 2>/dev/null)

ifdef SAN
OUT := build/asan
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT := -O1 -g $(SANITIZE) -DPAYLINK_FAILPOINTS
LINK := $(SANITIZE) -pie
NGX_OPT := -O1 -g $(SANITIZE)
NGX_LINK := $(SANITIZE)
else
OUT := build
OPT := -O2 -g -D_FORTIFY_SOURCE=2
LINK := -pie -Wl,-z,relro,-z,now
NGX_OPT := -O2 -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong
NGX_LINK := -Wl,-z,relro,-z,now
endif
OBJ := $(OUT)/obj

CFLAGS = -std=gnu11 -D_GNU_SOURCE $(OPT) $(WARN) $(HARDEN) $(PKG_CFLAGS)

WORKER_SRC := worker/main.c $(wildcard worker/*/*.c)
WORKER_OBJ := $(WORKER_SRC:%.c=$(OBJ)/%.o)
CORE_SRC := $(wildcard worker/core/*.c)
BASE_SRC := $(wildcard worker/base/*.c)
NGX_SRC := $(wildcard ngx_module/*.c ngx_module/*.h ngx_module/config ngx_module/*.map)

.PHONY: all worker module clean install-packages up down demo test lint fuzz bench unit \
	fuzz-targets

all: worker module
worker: $(OUT)/paylink
module: $(OUT)/ngx_http_paylink_module.so

$(OUT)/paylink: $(WORKER_OBJ)
	@echo "  LD   $@"
	@$(CC) $(LINK) -o $@ $^ $(PKG_LIBS)

$(OBJ)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC   $<"
	@$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

# The module is built by nginx's own build, out of tree, against the packaged sources; one at a time.
NGX_PKG := /usr/share/nginx/src
NGX_BUILD := $(ROOT)/$(OUT)/nginx
$(OUT)/ngx_http_paylink_module.so: $(NGX_SRC) $(CORE_SRC) $(wildcard worker/core/*.h)
	@mkdir -p $(NGX_BUILD)
	@echo "  NGX  $@"
	@cd $(NGX_PKG) && . ./conf_flags && exec {lock}>$(NGX_BUILD)/lock && flock $$lock \
		&& bash ./configure --with-cc="$(CC)" \
		--with-cc-opt="$(NGX_OPT) -fPIC -Wall -Wextra -Werror -Wno-unused-parameter" \
		--with-ld-opt="$(NGX_LINK)" "$${NGX_CONF_FLAGS[@]}" \
		--add-dynamic-module=$(ROOT)/ngx_module --builddir=$(NGX_BUILD) \
		> $(NGX_BUILD)/configure.log 2>&1 \
		|| { tail -n 20 $(NGX_BUILD)/configure.log; exit 1; }; \
	$(MAKE) -s -C $(NGX_PKG) -f $(NGX_BUILD)/Makefile modules \
		&& cp $(NGX_BUILD)/ngx_http_paylink_module.so $(ROOT)/$@

# Unit tests: one cmocka program per file, always under the sanitizers.
UNIT_SRC := $(wildcard tests/unit/test_*.c)
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=build/test/unit/%)
UNIT_CFLAGS := -std=gnu11 -D_GNU_SOURCE -O1 -g -fsanitize=address,undefined \
	-fno-sanitize-recover=all $(WARN) -DPAYLINK_FAILPOINTS
test_locale_SRC := worker/io/locale.c
test_brand_SRC := worker/document/brand.c worker/document/colour.c worker/document/png.c
test_brand_LIBS := -lm
test_mime_SRC := worker/document/mime.c
test_document_SRC := worker/document/receipt.c worker/document/button.c worker/document/colour.c \
	worker/io/canvas.c
test_document_CFLAGS := $(shell pkg-config --cflags pangocairo 2>/dev/null)
test_document_LIBS := $(shell pkg-config --libs cairo pangocairo fontconfig 2>/dev/null)
test_locale_LIBS := $(shell pkg-config --libs icu-uc icu-i18n 2>/dev/null)

unit: $(UNIT_BIN)

.SECONDEXPANSION:
build/test/unit/%: tests/unit/%.c $$($$*_SRC) $(CORE_SRC) $(BASE_SRC)
	@mkdir -p $(@D)
	@echo "  CC   $@"
	@$(CC) $(UNIT_CFLAGS) $($*_CFLAGS) -o $@ $< $($*_SRC) $(CORE_SRC) $(BASE_SRC) \
		-lcmocka -lcrypto -linih $($*_LIBS)

FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_BIN := $(FUZZ_SRC:tests/fuzz/%.c=build/test/fuzz/%)
fuzz_sandbox_SRC := $(filter-out %/sandbox.c %/server.c %/exchange.c %/webhooks.c, \
	$(wildcard worker/sandbox/*.c)) worker/io/json.c worker/io/languages.c worker/io/locale.c worker/io/translated.c
fuzz_sandbox_LIBS := $(shell pkg-config --libs jansson icu-uc icu-i18n 2>/dev/null)
fuzz_png_SRC := worker/document/png.c
fuzz_stripe_reply_SRC := worker/gateway/stripe_reply.c worker/gateway/stripe_amount.c \
	worker/gateway/gateway.c worker/io/json.c
fuzz_stripe_reply_LIBS := -ljansson

fuzz-targets: $(FUZZ_BIN)

build/test/fuzz/%: tests/fuzz/%.c $$($$*_SRC) $(CORE_SRC) $(BASE_SRC)
	@mkdir -p $(@D)
	clang -std=gnu11 -D_GNU_SOURCE -O1 -g -fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=all $(WARN) -o $@ $< $($*_SRC) $(CORE_SRC) $(BASE_SRC) \
		-lcrypto -linih $($*_LIBS)

install-packages:
	@config/stack/stack install

demo: install-packages
	@$(MAKE) --no-print-directory all
	@config/stack/demo

up: install-packages
	@$(MAKE) --no-print-directory all
	@config/stack/stack up --mail

down:
	@config/stack/stack down

test: install-packages
	@tests/run

lint:
	@tests/lint

fuzz: fuzz-targets
	@tests/fuzz/run $(or $(SECONDS_EACH),600)

bench:
	@config/stack/stack install build runtime bench
	@$(MAKE) --no-print-directory all
	@tests/bench/run

clean:
	rm -rf build

-include $(WORKER_OBJ:.o=.d)
