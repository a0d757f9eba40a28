"""Speed, side by side with the plain way of doing it, and quality against time.

python -m benchmarks [part ...]      the speed table; see __main__.py
python -m benchmarks.quality         training from scratch on real photographs; see quality.py
"""
