# make demo       the whole kit on a small scale, in about three minutes
# make test       the tests
### BEGIN SOLUTION
# make test-quick most of them, in less than a minute: before each commit
# make test-long  50 kills of a training, many thousands of random inputs, a class of 60: half an hour
### END SOLUTION
### BEGIN SOLUTION
# make bench      how fast it is, compared with the plain way of doing it, in about ten minutes
### END SOLUTION
# make lab        JupyterLab with the notebooks
### BEGIN SOLUTION
# make lint       faults that a look at the code finds, spelling, and what the stored notebooks hold
# make slides     the slides of two lectures, in both languages (docs/slides)
# make browser    Chromium for the test of the gallery, where no Chrome, Edge or Chromium is installed
### END SOLUTION
#
# Each makes .venv and installs requirements.txt the first time.
# torch is the build for the CPU where uv finds no NVIDIA (or AMD) card: under 1 GB in place of 5.5 GB.  A mirror, a
# closed network, another build: docs/network.md.
# Without make (Windows): see README.md, the same in plain Python.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: demo test lab
### BEGIN SOLUTION
.PHONY: test-quick test-long bench browser slides lint notebooks
### END SOLUTION

demo: $(INSTALLED)
	$(BIN)/python run_notebooks.py

test: $(INSTALLED)
### BEGIN SOLUTION
	$(BIN)/python -m pytest $(PARALLEL)
### REPLACED BY
# 	$(BIN)/python -m pytest
### END SOLUTION

### BEGIN SOLUTION
# On more than two cores: make test WORKERS=8.  Tests that share an expensive fixture stay together (xdist_group).
WORKERS ?= 2
PARALLEL = -n $(WORKERS) --dist loadgroup

# What is too slow for this is named at the end: mark it.
test-quick: $(INSTALLED)
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow and not long" --durations=5 --durations-min=2

test-long: $(INSTALLED)
	$(BIN)/python -m pytest $(PARALLEL) -m "long or fuzz" --hypothesis-profile=long
### END SOLUTION

### BEGIN SOLUTION
bench: $(INSTALLED)
	$(BIN)/python -m benchmarks
### END SOLUTION

### BEGIN SOLUTION
browser: $(INSTALLED)
	$(BIN)/python -m playwright install chromium

slides: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --no-deps -r docs/slides/requirements.txt
	$(BIN)/python -m benchmarks.slides
### END SOLUTION

lab: $(INSTALLED)
	$(BIN)/python -m jupyter lab

### BEGIN SOLUTION
lint: $(INSTALLED)
	$(BIN)/python -m ruff check
	$(BIN)/python -m codespell_lib
	$(BIN)/python tests/stored_notebooks.py
### END SOLUTION

### BEGIN SOLUTION
# Run the demo again from the beginning and store its outputs in the notebooks of the repository.  Training comes last:
# test.ipynb and super_resolution.ipynb are stored with the weights that come with the kit.
notebooks: $(INSTALLED)
	$(BIN)/python run_notebooks.py test super_resolution train --fresh --store
### END SOLUTION

# uv installs several times faster than pip; it lives in .venv with the rest.  It does not read pip's
# settings: a mirror that is set there is handed over.  Which torch: TORCH_INDEX is the address of an index that has
# it; without it, uv looks for a card and takes torch from PyTorch's own index.  Where that fails, the torch of the
# package index has to do, and the recipe says so.
UV_TORCH_BACKEND ?= auto
TORCH_INDEX ?=
$(INSTALLED): requirements.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 10) and 'Python 3.10 or newer is needed, this is ' + sys.version)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@echo "Installing requirements.txt into .venv"; unset UV_TORCH_BACKEND; \
	index="$${PIP_INDEX_URL:-`$(BIN)/python -m pip config get global.index-url 2>/dev/null`}"; \
	add() { $(BIN)/uv pip install --quiet --python $(BIN)/python "$$@"; }; \
	plain() { add $${index:+--default-index "$$index"} -r requirements.txt "$$@"; }; \
	sorry() { echo "torch could not be taken from $$1: the reason is above. Trying the package index, whose torch" \
		"is 5.5 GB large on Linux (docs/network.md: a mirror, a smaller torch)."; }; \
	if [ -n "$(TORCH_INDEX)" ]; then \
		add --default-index "$(TORCH_INDEX)" torch torchvision || sorry "$(TORCH_INDEX)"; plain; \
	else \
		plain --torch-backend=$(UV_TORCH_BACKEND) || { sorry "PyTorch's own index"; plain; }; \
	fi
# The learned VGG16 of the demo's SRGAN.  Where it cannot be had, the demo says so and trains with the pixel loss.
	@$(BIN)/python -m support.vgg16 || true
	@touch $(INSTALLED)
