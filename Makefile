SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
export PYTHON

DEV := .venv/.ready
SAM := .local/venvs/sam/.ready
MINISTACK := .local/venvs/ministack/.ready
NODE := .local/venvs/node/.ready
NPM := tests/npm/node_modules/.ready
SECURITY := .local/venvs/security/.ready
MICROBURST := .local/venvs/microburst/.ready
RUN := PYTHONPATH=layers/pixhook .venv/bin/python
# `sam build` looks for python3.13 on PATH; the environment it lives in has one.
SAM_CLI := PATH="$(CURDIR)/.local/venvs/sam/bin:$$PATH" SAM_CLI_TELEMETRY=0 sam

.PHONY: help demo up down test chaos check format build deploy openapi lock clean tools

help: ## Say what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

demo: tools ## Everything from nothing: start, deploy, generate images with each provider
	@$(RUN) -m local demo

up: tools ## Start the local AWS and the provider simulators; build and deploy; again after a change
	@$(RUN) -m local up

down: $(DEV) ## Stop what `make up` or `make demo` started
	@$(RUN) -m local down

test: check $(NPM) ## Check, then the whole suite: unit, contract, flow, and end to end on a stack of its own
	$(RUN) -m pytest -m "not e2e" -n 2 --dist worksteal
	$(RUN) -m pytest -m e2e

chaos: tools $(MICROBURST) ## Faults on a stack of its own: 500 tasks, minutes; a small one: make chaos TASKS=40 [SEED=...]
	@$(RUN) -m local.chaos $(if $(TASKS),--tasks $(TASKS)) $(if $(SEED),--seed $(SEED))

check: tools $(SECURITY) ## Format, lint, types, template, security
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	PYTHONPATH=layers/pixhook .venv/bin/lint-imports --no-logo --no-cache
	.venv/bin/cfn-lint template.yaml
	$(SAM_CLI) validate --lint --region us-east-1
	.local/venvs/security/bin/checkov --config-file .checkov.yaml
	$(RUN) -m local.audit

format: $(DEV) ## Rewrite the code in its one format
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

build: $(SAM) ## Build the template for AWS, into .aws-sam
	$(SAM_CLI) build

deploy: build ## Deploy to AWS, asking for what it needs
	$(SAM_CLI) deploy --guided

openapi: $(DEV) ## Write the API's document anew, from the code
	$(RUN) -m local.openapi

lock: ## Lock the dependencies anew (needs uv)
	$(call lock,pyproject.toml -o layers/dependencies/requirements.txt)
	$(call lock,pyproject.toml --group dev -c layers/dependencies/requirements.txt -o requirements/dev.txt)
	$(call lock,--group node -o requirements/node.txt)
	$(call lock,--group sam -o requirements/sam.txt)
	$(call lock,--group ministack -o requirements/ministack.txt)
	$(call lock,--group security -o requirements/security.txt)
	$(call lock,--group microburst -o requirements/microburst.txt)

clean: ## Stop the stack and delete all that was made here, the environments included
	@if [ -x .venv/bin/python ]; then $(RUN) -m local down; fi
	rm -rf tests/npm/node_modules .aws-sam .local .venv .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# These environments do not depend on each other: make them side by side.
tools:
	@$(MAKE) --no-print-directory -j3 $(DEV) $(SAM) $(MINISTACK)

$(DEV): requirements/dev.txt
	$(call environment,.venv)

.local/venvs/%/.ready: requirements/%.txt
	$(call environment,.local/venvs/$*)

# What checks our documents and signatures as users in JavaScript do.
$(NPM): tests/npm/package-lock.json $(NODE)
	@echo "Installing $<"
	@cd tests/npm && PATH="$(CURDIR)/.local/venvs/node/bin:$$PATH" npm ci --silent
	@touch $@

define environment
@echo "Installing $< into $1"
@python=$$(local/find-python) && $$python -m venv --clear $1 \
	&& $1/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $< \
	&& touch $1/.ready
endef

define lock
uv pip compile --quiet --upgrade --python-version 3.13 --universal --generate-hashes --no-emit-index-url \
	--no-header --no-annotate $1
endef
