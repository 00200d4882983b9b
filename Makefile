# Every command installs what it needs: a fresh clone, Python >= 3.11, git and make are enough.
.DEFAULT_GOAL := help
ROUNDS := 5
SECONDS := 2
KEYS := 300000
MINUTES := 10
ENGINE := docker
# Two pytest workers for each core: half of the time, tests wait for processes, leases and clocks.
TESTERS := $(shell expr 2 \* `nproc`)
# All tests of a file run in one worker and share its fixtures. Files start in their usual order: by default those with
# many tests start first, and one long test would start last, with the other workers idle.
PARALLEL = -n $(TESTERS) --dist loadfile --no-loadscope-reorder
# These load the machine, or measure memory or time, so they run one by one, after all others.
SERIAL := tests/overload
# What uses keys, for the runs with keys in a token.
KEY_TESTS := $(addprefix tests/conformance/test_,$(addsuffix .py,encryption signing macs key_agreement multi_region key_life \
	recipients public_keys data_key_pairs import interop_openssl aws_cli)) $(addprefix tests/conformance/third_party/test_, \
	$(addsuffix .py,openbao tink jwt ethereum aws_encryption_sdk))
# What is run on three nodes whenever everything is tested: keys and identities that change, and who sees it.
NODE_TESTS := $(addprefix tests/conformance/test_,$(addsuffix .py,encryption key_life aliases_and_lists grants grant_lists multi_region \
	enforcement iam_policies iam_access_keys))
# What single tests run. It is installed before all of them: while Debian packages are written, commits to the disk wait.
PROGRAMS_OF_TESTS := age groff zsh fish promtool pgbouncer rsyslogd chromium-headless-shell
PACKAGES_OF_TESTS := age groff-base zsh fish prometheus pgbouncer rsyslog-gnutls chromium-headless-shell
# The same for libraries, and for programs that others of their name may hide.
LIBRARIES_OF_TESTS := openssl curl openssh-client systemd golang-go golang-github-aws-aws-sdk-go-dev golang-github-aws-aws-sdk-go-v2-dev \
	golang-github-smallstep-certificates-dev ruby ruby-aws-sdk-kms awscli aws-nuke libnss3 libfaketime patroni etcd-server
INSTALLED = dpkg-query --show --showformat '$${db:Status-Status}\n' $(LIBRARIES_OF_TESTS) 2>/dev/null | grep -cx installed
# What depends on the version of the database server.
POSTGRESQL_TESTS := --ignore=tests/contract/test_matrix.py tests/contract tests/unit/store/postgresql tests/faults/test_nodes.py $(wildcard tests/faults/test_postgresql_*.py) \
	$(addprefix tests/conformance/test_,postgresql.py postgresql_connections.py regions_of_nodes.py)
# Where this is set, as in many container images, every process would compile all our modules again: half of its start.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help demo demo-identities demo-hardware serve quick test test-hardware test-nodes test-postgresql lint check format bench bench-scale bench-backup bench-decisions bench-move bench-fronts bench-hardware bench-leases bench-nodes soak faults fuzz dist image man lock

help: ## Show these commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

demo: ## Watch real AWS clients envelope-encrypt a real file against a server started for it
	@tools/venv demo
	@PYTHONPATH=tools .venv/bin/python demo/demo.py

demo-identities: ## Watch what policies, roles and grants allow users to do, and what is refused
	@tools/venv demo
	@.venv/bin/python tools/local_server.py demo/who-may-do-what.sh

demo-hardware: ## Watch keys in a hardware token: SoftHSM, set up from nothing, pulled out and put back
	@command -v softhsm2-util >/dev/null || tools/apt softhsm2
	@tools/venv demo
	@PYTHONPATH=tools .venv/bin/python demo/hardware.py

serve: ## Start a server on 127.0.0.1:4599 with its data in ./strongroom-data
	@tools/venv demo
	@exec .venv/bin/strongroom serve

quick: ## Run the tests that need no server process, but for the state matrix; five minutes on two cores
	@ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || tools/apt postgresql
	@tools/venv dev
	@.venv/bin/python -m pytest $(PARALLEL) tests/unit tests/contract tests/vectors tests/architecture --ignore=tests/contract/test_matrix.py

test: ## Run every test, what adds to it under coverage: in parallel, then alone those that load the machine
	@{ command -v softhsm2-util && command -v gcc; } >/dev/null || tools/apt softhsm2 gcc libc6-dev
	@ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || tools/apt postgresql
	@{ command -v swtpm && pkg-config --exists tss2-esys && command -v gcc; } >/dev/null || tools/apt swtpm libtss2-dev pkg-config gcc python3-dev
	@PATH="$$PATH:/usr/sbin"; for each in $(PROGRAMS_OF_TESTS); do command -v $$each >/dev/null || { tools/apt $(PACKAGES_OF_TESTS) || exit 1; break; }; done
	@! command -v dpkg-query >/dev/null || test "$$($(INSTALLED))" = $(words $(LIBRARIES_OF_TESTS)) || tools/apt $(LIBRARIES_OF_TESTS)
	@{ command -v node && command -v npm; } >/dev/null || tools/apt nodejs npm
	@tools/venv dev
	@tools/venv tpm
	@tools/venv packaging
	@.venv/bin/coverage erase
	@.venv/bin/coverage run -m pytest $(PARALLEL) $(SERIAL:%=--ignore=%)
	@.venv/bin/coverage run -m pytest $(PARALLEL) -r fE $(KEY_TESTS) --key-protection pkcs11-full
	@.venv/bin/python -m pytest $(PARALLEL) -r fE $(KEY_TESTS) --key-protection pkcs11-full --token nss
	@.venv/bin/python -m pytest $(PARALLEL) -r fE $(NODE_TESTS) --store postgresql --nodes 3
	@.venv/bin/python -m pytest $(SERIAL)
	@.venv/bin/coverage combine --quiet

test-hardware: ## Run the tests that use keys with their keys under SoftHSM and NSS, in root depth and in full depth
	@{ command -v softhsm2-util && command -v gcc; } >/dev/null || tools/apt softhsm2 gcc libc6-dev
	@tools/venv dev
	@set -e; for depth in root full; do for token in softhsm nss; do \
		.venv/bin/python -m pytest $(PARALLEL) $(KEY_TESTS) --key-protection pkcs11-$$depth --token $$token; \
	done; done

test-nodes: ## Run the tests of running servers with PostgreSQL, on one node and on three
	@ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || tools/apt postgresql
	@tools/venv dev
	@set -e; for nodes in 1 3; do .venv/bin/python -m pytest $(PARALLEL) -r fE tests/conformance --store postgresql --nodes $$nodes; done

test-postgresql: ## Run the tests of the store and of nodes on another PostgreSQL (PROGRAMS=/usr/lib/postgresql/18/bin)
	@test -x "$(PROGRAMS)/postgres" || { echo 'Name the folder of its programs: make test-postgresql PROGRAMS=FOLDER' >&2; exit 1; }
	@tools/venv dev
	@POSTGRESQL_PROGRAMS=$(PROGRAMS) .venv/bin/python -m pytest $(PARALLEL) -r fE $(POSTGRESQL_TESTS)

lint: ## Check format, lint, types and imports
	@tools/venv dev
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache

check: lint test ## Run all that CI requires: lint, tests, coverage of at least 95 %
	.venv/bin/coverage report

format: ## Format the code
	@tools/venv dev
	.venv/bin/ruff format
	.venv/bin/ruff check --fix

bench: ## Measure every kind of call beside hello-world, OpenBao, moto and OpenSSL (ROUNDS=5 SECONDS=2)
	@command -v wrk >/dev/null || tools/apt wrk
	@tools/venv bench
	@PYTHONPATH=tools:tests/support .venv/bin/python bench/compare.py --rounds $(ROUNDS) --seconds $(SECONDS)

bench-scale: ## Measure what many keys, grants and idle connections cost (KEYS=300000 ROUNDS=5 SECONDS=2)
	@command -v wrk >/dev/null || tools/apt wrk
	@tools/venv bench
	@PYTHONPATH=tools:tests/support .venv/bin/python bench/scale.py --keys $(KEYS) --rounds $(ROUNDS) --seconds $(SECONDS)

bench-backup: ## Measure a backup and a restore of many keys, and calls meanwhile (KEYS=300000)
	@tools/venv bench
	@PYTHONPATH=tools:tests/support .venv/bin/python bench/backup.py --keys $(KEYS)

bench-move: ## Measure a move of many keys from SQLite to PostgreSQL and back (KEYS=300000)
	@tools/venv bench
	@PYTHONPATH=tools:tests/support .venv/bin/python bench/moves.py --keys $(KEYS)

bench-decisions: ## Measure the cost of one authorization decision as keys, grants and users grow
	@tools/venv bench
	@.venv/bin/python bench/decisions.py

bench-fronts: ## Measure the HTTP fronts that ADR 2 chose between
	@command -v wrk >/dev/null || tools/apt wrk
	@tools/venv bench
	@.venv/bin/python bench/http_fronts.py

bench-hardware: ## Measure what each depth of key protection adds to a hardware token, and a key store to its proxy (ROUNDS=5)
	@{ command -v softhsm2-util && command -v gcc; } >/dev/null || tools/apt softhsm2 gcc libc6-dev
	@tools/venv bench
	@PYTHONPATH=tools:tests/support .venv/bin/python bench/key_depths.py --rounds $(ROUNDS)

bench-leases: ## Measure what leases of nodes that share a PostgreSQL cost
	@tools/venv bench
	@PYTHONPATH=tools:tests/support .venv/bin/python bench/leases.py

bench-nodes: ## Measure what PostgreSQL and several nodes cost, beside SQLite (ROUNDS=5 SECONDS=2)
	@command -v wrk >/dev/null || tools/apt wrk
	@ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || tools/apt postgresql
	@tools/venv bench
	@PYTHONPATH=tools:tests/support .venv/bin/python bench/node_costs.py --rounds $(ROUNDS) --seconds $(SECONDS)

soak: ## Make all kinds of calls for a while, and check that memory does not grow (MINUTES=10)
	@command -v wrk >/dev/null || tools/apt wrk
	@tools/venv bench
	@PYTHONPATH=tools:tests/support .venv/bin/python bench/soak.py --minutes $(MINUTES)

faults: ## Kill, cut the power, flip bits, copy wrongly, ROUNDS times each, and print the lines of docs/reliability.md
	@tools/venv dev
	@PYTHONPATH=tools:tests/support .venv/bin/python tests/faults/campaigns.py --rounds $(ROUNDS)

fuzz: ## Fuzz every parser, guided by coverage (MINUTES=10); what breaks one is kept in tests/fuzz/seeds
	@tools/venv fuzz
	@PYTHONPATH=tools:tests/support:tests/fuzz .venv/bin/python tests/fuzz/coverage_guided.py --minutes $(MINUTES)

dist: ## Build the wheel and the source distribution in ./dist, the same bytes each time
	@tools/venv dev
	@.venv/bin/python -m hatchling build 2>&1

image: ## Build the container image (ENGINE=docker, podman or buildah)
	@tools/venv demo
	@$(ENGINE) build --tag strongroom:$$(.venv/bin/strongroom --version | sed 's/.* //') --tag strongroom:latest .

man: ## Make the manual page of the help of the commands
	@tools/venv dev
	@.venv/bin/python tools/man_page.py >deploy/man/strongroom.1

lock: ## Lock the newest releases of all requirements, at least a week old
	@requirements/compile --upgrade
