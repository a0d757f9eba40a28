"""Speed, side by side with the plain way of doing it, and quality against time.

python -m benchmarks [part ...]      the speed table; see __main__.py
python -m benchmarks.quality         training from scratch on real photographs; see quality.py
python -m benchmarks.results         the table of the weights that come with the kit; see results.py
python -m benchmarks.ship            makes such weights of a run, with a model card; see ship.py
"""
