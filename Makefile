# phoenix-run: build, rehearse, test.
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X main.version=$(VERSION)
RACE    ?=

.PHONY: build demo test test-real fuzz bench deps check docs clean

build: bin/phoenix-run

# go build knows best whether anything has changed.
.PHONY: bin/phoenix-run
bin/phoenix-run:
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cmd/phoenix-run

# The guide's environment in a lab of its own, twice: the second run changes nothing.
demo: build
	rm -rf .phoenix/demo && mkdir -p .phoenix && cp -r examples/guide .phoenix/demo
	bin/phoenix-run --config-dir .phoenix/demo --lab letsgo.star
	bin/phoenix-run --config-dir .phoenix/demo --lab letsgo.star

# What the tests need besides Go.
deps:
	scripts/test-deps

test: deps
	go test -p 3 -timeout 25m $(RACE) ./... # most of them wait for labs and servers

# Each fuzz target for FUZZTIME, 60s by default.
fuzz:
	scripts/fuzz

# phoenix-run beside Ansible, rsync, tar and scp; writes docs/benchmarks.md. As root on Debian.
bench: build
	go build -o bin/bench ./bench
	bin/bench $(BENCHFLAGS)

# The same on real machines, as root on Debian. The first time makes their image: a minute or two.
test-real:
	scripts/test-deps-real
	go test -tags real -count=1 -timeout 60m -v ./lab/real

check:
	test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	go vet ./...
	go tool staticcheck ./...

# The reference in docs/ is made from the declarations; a test says when it is stale.
docs: build
	bin/phoenix-run doc > docs/reference.md
	bin/phoenix-run doc configuration > docs/configuration.md

clean:
	rm -rf bin .phoenix
