# Every command makes what it needs: a fresh clone, Python >= 3.11, git and make are enough.
.DEFAULT_GOAL := help
.PHONY: help demo demo-identities serve test check format bench bench-decisions bench-fronts lock

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

bench: ## Measure signed, authorized, audited Encrypts against a hello-world on the same HTTP front
	@tools/venv bench
	@PYTHONPATH=tools .venv/bin/python bench/encrypt.py

bench-decisions: ## Measure the cost of one authorization decision as keys, grants and users grow
	@tools/venv bench
	@.venv/bin/python bench/decisions.py

bench-fronts: ## Measure the HTTP fronts that ADR 2 chose between
	@tools/venv bench
	@.venv/bin/python bench/http_fronts.py

lock: ## Lock the requirements anew
	@requirements/compile --upgrade
