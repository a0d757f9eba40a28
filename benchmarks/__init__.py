"""Speed compared with the plain way of doing the same thing, quality against time, and the tables of the weights.

python -m benchmarks [part ...]      the speed table; see __main__.py
python -m benchmarks.diffusion       the speed of SRDiff and SR3; see diffusion.py
python -m benchmarks.quality         training from scratch on real photographs; see quality.py
python -m benchmarks.results         the table of the weights that come with the kit; see results.py
python -m benchmarks.model_card      makes such weights from a run, with a model card; see model_card.py
"""
