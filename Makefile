# Every command makes what it needs: a fresh clone, Python >= 3.11, git and make are enough.
.DEFAULT_GOAL := help
ROUNDS := 5
SECONDS := 2
KEYS := 300000
MINUTES := 10
.PHONY: help demo demo-identities serve test check format bench bench-scale bench-decisions bench-fronts soak lock

help: ## Show these commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

demo: ## Watch real AWS clients envelope-encrypt a real file against a server started for it
	@tools/venv demo
	@PYTHONPATH=tools .venv/bin/python demo/demo.py

demo-identities: ## Watch users, roles and grants get what they may do, and be refused the rest
	@tools/venv demo
	@.venv/bin/python tools/local_server.py demo/who-may-do-what.sh

serve: ## Start a server on 127.0.0.1:4599 with its data in ./strongroom-data
	@tools/venv demo
	@exec .venv/bin/strongroom serve

test: ## Run every test, under coverage
	@tools/venv dev
	@.venv/bin/coverage erase
	@.venv/bin/coverage run -m pytest
	@.venv/bin/coverage combine --quiet

check: ## Format, lint, types, imports, tests, coverage
	@tools/venv dev
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache
	@$(MAKE) --no-print-directory test
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

bench-decisions: ## Measure the cost of one authorization decision as keys, grants and users grow
	@tools/venv bench
	@.venv/bin/python bench/decisions.py

bench-fronts: ## Measure the HTTP fronts that ADR 2 chose between
	@command -v wrk >/dev/null || tools/apt wrk
	@tools/venv bench
	@.venv/bin/python bench/http_fronts.py

soak: ## Do everything with a server for a while, and see that its memory does not grow (MINUTES=10)
	@command -v wrk >/dev/null || tools/apt wrk
	@tools/venv bench
	@PYTHONPATH=tools:tests/support .venv/bin/python bench/soak.py --minutes $(MINUTES)

lock: ## Lock the requirements anew
	@requirements/compile --upgrade
